# SPDX-License-Identifier: Apache-2.0
"""Errors of the host end the daemon with status 1 and name the remedy."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from support.kernel_fixtures import NOBODY
from support.running_daemon import ROOT, free_port, run_to_its_end, site

BCC = {
    "missing": ("raise ModuleNotFoundError(\"No module named 'bcc'\", name='bcc')", "python3-bpfcc"),
    "broken": ("raise OSError('libbcc.so.0: cannot open shared object file')", "libbcc.so.0"),
    "another package": ("class Crystal: pass", "PyPI"),
}
"""Wrong contents of the module bcc, and the expected message."""

NO_BTF = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "probed.yaml"
    path.write_text(yaml.safe_dump(site()))
    return path


def fail_to_run(configuration: Path, under: tuple[str, ...] = (), port: int = 0, **variables: str) -> str:
    """Return the output of a daemon that fails to start."""
    address = f"127.0.0.1:{port or free_port()}"
    arguments = ("run", "--config.file", str(configuration), "--web.listen-address", address)
    status, text = run_to_its_end(*arguments, under=under, **variables)
    assert status == 1, text
    assert "Traceback" not in text
    return text


def test_a_taken_port(configuration: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = fail_to_run(configuration, port=port)
    assert f"127.0.0.1:{port}" in text
    assert "--web.listen-address" in text


def test_a_kernel_without_btf(configuration: Path) -> None:
    text = fail_to_run(configuration, NO_BTF)
    assert "/sys/kernel/btf/vmlinux" in text
    assert "CONFIG_DEBUG_INFO_BTF" in text


def test_an_ordinary_user(readable_copy: Path) -> None:
    # The distribution's interpreter: an ordinary user may be unable to reach the virtual environment's.
    status, text = run_to_its_end(
        "run", "--config.file", str(readable_copy / "config" / "probed.yaml"), under=NOBODY,
        python=str(Path(sys.executable).resolve()), PYTHONPATH=str(readable_copy / "daemon"),
    )  # fmt: skip
    assert status == 1, text
    assert "user 'nobody' lacks CAP_BPF and CAP_PERFMON" in text
    assert "root" in text


@pytest.mark.parametrize(("source", "said"), BCC.values(), ids=BCC)
def test_a_module_bcc_that_is_not_bcc(configuration: Path, source: str, said: str) -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the loader imports BCC as another user
        (Path(folder) / "bcc.py").write_text(f"{source}\n")
        text = fail_to_run(configuration, PYTHONPATH=f"{folder}:{ROOT / 'daemon'}")
    assert said in text
    assert "apt install" in text


def test_a_missing_site_configuration(tmp_path: Path) -> None:
    assert str(tmp_path / "absent.yaml") in fail_to_run(tmp_path / "absent.yaml")
