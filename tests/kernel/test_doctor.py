# SPDX-License-Identifier: Apache-2.0
"""`probed doctor` and `probed list --live` on this machine, as root and without privilege."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.certificates import Authority
from support.guarded_daemon import USER, Guarded
from support.kernel_fixtures import NOBODY, OWN_PROBES, Start
from support.processes import bpf_program_ids
from support.running_daemon import (
    PATIENCE,
    PROBES,
    ROOT,
    command,
    environment,
    free_port,
    run_to_its_end,
    site,
)

CONFIGURATION = ROOT / "config" / "probed.yaml"
SCHEMA = ROOT / "config" / "schema" / "doctor.schema.json"
PYTHON = str(Path(sys.executable).resolve())
"""The distribution's interpreter: an unprivileged user may be unable to reach the virtual environment's."""


def as_nobody(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NOBODY, *command(*arguments, python=PYTHON)],
        env=environment(PYTHONPATH=str(copy / "daemon")), timeout=PATIENCE, check=False, capture_output=True, text=True,
    )  # fmt: skip


def diagnosis(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    return report


def by_name(of: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["name"]: each for each in of}


def address() -> str:
    """Return an address without a listener."""
    return f"127.0.0.1:{free_port()}"


def test_doctor_shows_root_every_check_on_one_screen() -> None:
    arguments = ("doctor", "--config.file", str(CONFIGURATION), "--web.listen-address", address())
    status, text = run_to_its_end(*arguments)
    assert status == 0, text
    assert len(text.splitlines()) <= 40
    for expected in (
        os.uname().release,
        "/sys/kernel/btf/vmlinux",
        "libbcc.so",
        "CAP_BPF",
        "on_exec at sched_process_exec",
    ):
        assert expected in text


def test_doctor_tries_each_probe_for_root() -> None:
    status, text = run_to_its_end(
        "doctor", "--json", "--config.file", str(CONFIGURATION), "--web.listen-address", address()
    )
    report = diagnosis(text)
    assert status == 0, text
    assert "failure" not in {each["status"] for each in report["checks"]}
    assert {(each["status"], each["tried"]) for each in report["probes"]} == {("ok", True)}


def test_doctor_shows_an_unprivileged_user_the_checks_that_need_no_privilege(readable_copy: Path) -> None:
    done = as_nobody(
        readable_copy, "doctor", "--json", "--config.file", str(readable_copy / "config" / "probed.yaml"),
        "--web.listen-address", address(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    report = diagnosis(done.stdout)
    checks = by_name(report["checks"])
    assert report["status"] == "warning"
    assert checks["capabilities"]["status"] == "warning"
    assert "'nobody' has none" in checks["capabilities"]["value"]
    assert checks["btf"]["status"] == checks["bcc"]["status"] == checks["configuration"]["status"] == "ok"
    assert {(each["status"], each["tried"]) for each in report["probes"]} == {("ok", False)}


@pytest.mark.parametrize(
    ("probe", "reason"), [("garbled", "compile"), ("refused", "verifier"), ("nowhere", "attach_point")]
)
def test_doctor_reports_a_faulty_probe_as_a_failure(tmp_path: Path, probe: str, reason: str) -> None:
    path = tmp_path / "probed.yaml"
    path.write_text(yaml.safe_dump(site(dict.fromkeys(["cgroups", probe]), [PROBES, OWN_PROBES])))
    status, text = run_to_its_end("doctor", "--json", "--config.file", str(path), "--web.listen-address", address())
    assert status == 1
    probes = by_name(diagnosis(text)["probes"])
    assert (probes["cgroups"]["status"], probes[probe]["status"]) == ("ok", "failure")
    assert probes[probe]["reason"] == reason


def test_doctor_finds_a_running_daemon_and_lists_its_programs(start: Start, readable_copy: Path) -> None:
    daemon = start()
    where = ("--config.file", str(CONFIGURATION), "--web.listen-address", f"127.0.0.1:{daemon.port}")
    _, text = run_to_its_end("doctor", "--json", *where)
    assert "runs and is ready" in by_name(diagnosis(text)["checks"])["daemon"]["value"]

    status, text = run_to_its_end("list", "--live", *where)
    assert status == 0, text
    rows = [line.split() for line in text.splitlines() if " raw_tracepoint:" in line]
    assert {int(row[3]) for row in rows} == bpf_program_ids(daemon.supervisor)
    assert all(int(row[5]) > 0 and int(row[6]) > 0 for row in rows)

    config = str(readable_copy / "config" / "probed.yaml")
    done = as_nobody(readable_copy, "list", "--live", "--config.file", config, where[2], where[3])
    assert done.returncode == 0
    assert "CAP_SYS_ADMIN" in done.stderr
    assert [line.split()[3] for line in done.stdout.splitlines()[1:]] == [row[3] for row in rows]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Guarded(tmp_path_factory.mktemp("guarded"), site({"process": None}), "right", mutual=True) as running:
        running.wait_until_ready()
        yield running


def asking(guarded: Guarded, tls: bool = True, password: str = "right") -> tuple[str, ...]:
    """Return the HTTP client configuration, with a certificate or without."""
    who: dict[str, Any] = {"basic_auth": {"username": USER, "password_file": "secret"}}
    if tls:
        who["tls_config"] = {"cert_file": "client.pem", "key_file": "client.key"}
    (guarded.folder / "secret").write_text(f"{password}\n")
    (guarded.folder / "http.yaml").write_text(yaml.safe_dump(who))
    where = ("--config.file", str(guarded.configuration), "--web.listen-address", f"127.0.0.1:{guarded.port}")
    return *where, "--http.config.file", str(guarded.folder / "http.yaml")


def test_doctor_sends_a_certificate_and_a_password_to_the_daemon(guarded: Guarded) -> None:
    _, text = run_to_its_end("doctor", "--json", *asking(guarded))
    assert "runs and is ready" in by_name(diagnosis(text)["checks"])["daemon"]["value"]
    status, text = run_to_its_end("list", "--live", *asking(guarded))
    assert status == 0, text
    rows = [line.split() for line in text.splitlines() if " raw_tracepoint:" in line]
    assert {int(row[3]) for row in rows} == bpf_program_ids(guarded.supervisor)
    status, text = run_to_its_end("top", "--once", "--interval", "100ms", *asking(guarded))
    assert (status, "Probes down: none" in text) == (0, True), text


@pytest.mark.parametrize(("tls", "password", "remedy"), [(True, "wrong", "basic_auth"), (False, "right", "tls_config")])
def test_doctor_names_the_missing_certificate_or_password(
    guarded: Guarded, tls: bool, password: str, remedy: str
) -> None:
    arguments = asking(guarded, tls, password)
    status, text = run_to_its_end("list", "--live", *arguments)
    assert (status, remedy in text, "Traceback" in text) == (1, True, False), text
    _, text = run_to_its_end("doctor", "--json", *arguments)
    seen = by_name(diagnosis(text)["checks"])["daemon"]
    assert (seen["status"], remedy in seen["remedy"]) == ("warning", True)


def test_doctor_sends_no_password_to_a_server_with_another_certificate(guarded: Guarded, tmp_path: Path) -> None:
    other = Authority(tmp_path).sign("other", "DNS:localhost", "IP:127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(other.certificate, other.key)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with context.wrap_socket(listener.accept()[0], server_side=True) as client, suppress(OSError):
                heard.append(client.recv(4096))

        listening = threading.Thread(target=listen)
        listening.start()
        where = ("--web.listen-address", f"127.0.0.1:{listener.getsockname()[1]}")
        status, text = run_to_its_end("list", "--live", *asking(guarded), *where)
        listening.join()
    assert (status, "is not the one that the site's web configuration names" in text) == (1, True), text
    assert heard in ([], [b""])
