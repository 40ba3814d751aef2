# SPDX-License-Identifier: Apache-2.0
"""The commands `check`, `list` and `version` on this kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from support.kernel_fixtures import OWN_PROBES
from support.running_daemon import PROBES, ROOT, run_to_its_end, site

CONFIGURATION = ROOT / "config" / "probed.yaml"
BROKEN = ROOT / "tests" / "unit" / "broken"


def test_check_shows_layout_and_series_of_every_probe() -> None:
    status, text = run_to_its_end("check", str(CONFIGURATION))
    assert status == 0, text
    for expected in (
        "lifetime_ns",
        "probed_process_lifetime_seconds",
        "probed_open_failures_total",
        "calls_elsewhere",
    ):
        assert expected in text


def test_check_with_host_tries_to_load() -> None:
    status, text = run_to_its_end("check", "--host", str(CONFIGURATION))
    assert status == 0, text


@pytest.mark.parametrize("probe", ["process", "open_failures", "syscalls"])
def test_a_shipped_probe_is_checked_by_its_folder(probe: str) -> None:
    status, text = run_to_its_end("check", str(PROBES / probe))
    assert status == 0, text
    assert probe in text


def test_a_site_probe_is_checked_by_its_folder() -> None:
    status, text = run_to_its_end("check", "--host", str(OWN_PROBES / "wakeups"))
    assert status == 0, text
    assert "probed_wakeups_total{comm}" in text
    assert "    args: struct task_struct *p\n" in text


@pytest.mark.parametrize(
    ("probe", "place"),
    [("garbled", "garbled.bpf.c:8"), ("refused", "program 'on_event'"), ("nowhere", "nowhere.yaml:4")],
)
def test_check_with_host_finds_every_fault(probe: str, place: str) -> None:
    status, text = run_to_its_end("check", "--host", str(OWN_PROBES / probe))
    assert status == 1
    assert place in text
    assert "Traceback" not in text


def test_check_reports_all_faulty_probes_of_a_site(tmp_path: Path) -> None:
    path = tmp_path / "probed.yaml"
    path.write_text(yaml.safe_dump(site(dict.fromkeys(["garbled", "nowhere", "process"]), [PROBES, OWN_PROBES])))
    status, text = run_to_its_end("check", str(path))
    assert status == 1
    assert "garbled.bpf.c:8" in text
    assert "nowhere.yaml:4" in text


def test_list_names_probes_attach_points_and_metrics() -> None:
    status, text = run_to_its_end("list", "--config.file", str(CONFIGURATION))
    assert status == 0, text
    for expected in ("process", "sched_process_exec", "probed_process_execs_total", "sys_exit"):
        assert expected in text


def test_version_is_a_version() -> None:
    status, text = run_to_its_end("version")
    assert status == 0
    assert text.split()[0] == "probed"
    assert text.split()[1][0].isdigit()


def broken() -> dict[str, list[Path]]:
    """Return paths to check by one command each; the mistakes against the C need a compiler each."""
    compiled = sorted((BROKEN / "against_c").iterdir())
    return {
        **{kind: sorted((BROKEN / kind).iterdir()) for kind in ("shape", "sites")},
        **{path.name: [path] for path in compiled},
    }


@pytest.mark.parametrize("paths", broken().values(), ids=broken())
def test_check_names_file_line_and_remedy_of_every_error(paths: list[Path]) -> None:
    cases = {path: path / f"{path.name}.yaml" if path.is_dir() else path for path in paths}
    status, text = run_to_its_end("check", *map(str, cases))
    assert status == 1
    for file in cases.values():
        for line, fragment in re.findall(r"^# expect (\d+) \[.*\] (.*)$", file.read_text(), re.MULTILINE):
            place = f"{file}:{line}: " if line != "0" else f"{file}: "
            assert any(said.startswith(place) and fragment in said for said in text.splitlines()), (place, fragment)
