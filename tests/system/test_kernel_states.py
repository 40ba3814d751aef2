# SPDX-License-Identifier: Apache-2.0
"""Counts survive kernel states that only a guest can enter, one after another.

Processors go, clocks step, the machine suspends, kernel.unprivileged_bpf_disabled takes each value, lockdown each mode.
The probe is an object; with PROBED_ALL_GUESTS=1 BCC compiles it in a second guest.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from support.running_daemon import ROOT
from support.system import kernels
from support.workload_programs import compile_workloads

KERNEL = "6.12"


LOADERS = ("core", "bcc") if os.environ.get("PROBED_ALL_GUESTS") else ("core",)
"""LLVM takes minutes in an emulated guest, more than CI has."""


@pytest.fixture(scope="module", params=LOADERS)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The guest's record."""
    if not shutil.which("qemu-system-x86_64") or not shutil.which("mkfs.ext4"):
        pytest.skip("other kernels run in QEMU, from a disk: install qemu-system-x86 and e2fsprogs")
    folder = tmp_path_factory.mktemp("states")
    (folder / "bin").mkdir()
    compile_workloads(folder / "bin", "spawn", "exits", "lives")
    (folder / "bin/spawned").hardlink_to(folder / "bin/exits")
    for name in ("forth", "back", "frozen", "asleep"):
        (folder / "bin" / name).hardlink_to(folder / "bin/lives")
    for part in ("daemon", "probes/include", "probes/process", "tests/support"):
        shutil.copytree(ROOT / part, folder / "tree" / part, ignore=shutil.ignore_patterns("*.bpf.o"))
    subprocess.run([sys.executable, "-m", "probed", "build", folder / "tree/probes"], check=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "tree"], check=True)
    program = f"support.system.states_guest {request.param}"
    lines = (
        "exec >/dev/console 2>&1",
        "cp -a /out/tree /run",
        "cp -a /out/bin /var/tmp",
        "cd /run",
        f"exec env PYTHONPATH=/run/tree/daemon:/run/tree/tests /usr/bin/python3 -m {program}",
    )
    (folder / "guest.sh").write_text("\n".join(lines) + "\n")
    kernels.run(kernels.disks(), folder, KERNEL, folder / "seen.json", cpus=2)
    found: Mapping[str, Any] = json.loads((folder / "seen.json").read_text())
    assert found["end"] == "", f"{found['end']}\n{found['log']}"
    return found


def test_processors_go_and_come(seen: Mapping[str, Any]) -> None:
    assert seen["online"] == "0"
    counted = [seen[each] for each in ("unprivileged 0", "two processors", "one processor", "two again")]
    assert counted == [5, 5 + 23, 5 + 23 + 29, 5 + 23 + 29 + 31]


@pytest.mark.parametrize("step", ["forth", "back"])
def test_clock_steps_change_no_lifetime(seen: Mapping[str, Any], step: str) -> None:
    assert seen[step]["least"] <= seen[step]["lived"] <= seen[step]["most"] < 3600


def test_time_frozen_is_lifetime(seen: Mapping[str, Any]) -> None:
    frozen = seen["frozen"]
    assert frozen["least"] <= frozen["lived"] <= frozen["most"]


def test_time_asleep_is_lifetime_by_the_boot_clock(seen: Mapping[str, Any]) -> None:
    asleep = seen["asleep"]
    assert asleep["slept"] > 1, "the machine did not sleep"
    assert asleep["least"] <= asleep["lived"] <= asleep["most"]
    assert asleep["lived"] >= asleep["awake"] + asleep["slept"]


def test_the_daemon_counts_on_after_suspend(seen: Mapping[str, Any]) -> None:
    assert (seen["before sleep"], seen["after sleep"]) == (88 + 37, 88 + 37 + 41)
    assert seen["same exporter"]


def test_unprivileged_bpf_may_be_disabled_or_not(seen: Mapping[str, Any]) -> None:
    assert [seen["unprivileged 2"], seen["unprivileged 1"]] == [166 + 7, 166 + 14]
    assert seen["loaded with unprivileged 1"] == 11


def test_lockdown_for_integrity_allows_loading(seen: Mapping[str, Any]) -> None:
    assert seen["loaded with integrity"] == 13


def test_lockdown_for_confidentiality_is_the_reason_and_running_probes_count_on(seen: Mapping[str, Any]) -> None:
    assert seen["states"] == ["1", "none integrity [confidentiality]"]
    assert (list(seen["failures"]), seen["up"]) == (["lockdown"], 1)
    assert seen["running with confidentiality"] == 13 + 17
    assert "lockdown" in next(line for line in seen["log"].splitlines() if "probe 'process':" in line)
