# SPDX-License-Identifier: Apache-2.0
"""Guests with Debian's kernels in which the package counts known workloads: what they do, and the record of each.

`package_guest` is the program inside. The tests' own probes come with objects, which the guests cannot build.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from support.kernel_fixtures import OWN_PROBES
from support.running_daemon import ROOT, Page, rise
from support.system import kernels
from support.system.arm_program import write_arm_program
from support.system.package import build
from support.workload_programs import compile_workloads, install

SPAWNED: Mapping[str, tuple[int, str]] = {
    "exits": (101, "{program}"),
    "error": (29, "{program} exit 7"),
    "signal": (31, "{program} signal 15"),
    "abort": (37, "{program} core 6"),
}
"""Programs that `spawn` starts: the number of times, and the command."""
FAILED_OPENS = {"ENOENT": 41, "ENOTDIR": 43}
CALLS, LOOPS = 40_009, 3
"""Calls of each loop; several loops at once make Linux 7.2 preempt programs of raw tracepoints."""

AT_FUNCTIONS = ("probed_reads", "traced_reads")
"""Probes of the tests with programs at functions of the kernel."""
OWN = (*AT_FUNCTIONS, "marks", "bucketed", "tasks", "groups", "call_paths")
"""These, one with programs at USDT probes of a workload, one with histograms that the kernel keeps, two with programs
at iterators, and one that reads the kernel's stack."""
GOOD_READS, FAILED_READS = 47, 53
"""Reads of 7 bytes by `reads`: those that fail end with EBADF, -9, for the file is open for writing only."""
OBSERVED = {0: 7, 1_000: 101, 1_001: 53, 2_001: 29, 8_193: 31, 1_000 << 26: 11, (1_000 << 26) + 1: 3}
"""How often `observes` observes each value."""

SLEEPING, THREADS = 53, 3
"""Processes that sleep while the page is made, and threads of each."""

RENAMES = (101, 97)
"""Renames of a thread in two ways, by `call_paths`."""

MARKS = 1_009
"""Times that `marks` reaches each of its USDT probes."""

LIBRARY = ("cpu_throttling", "file_system", "page_cache")
"""Probes off by default that some kernels, perhaps this machine's, lack attach points for."""
LOOKUPS = (101, 59, 53, 29)
"""Arguments of the workload `page_lookups`."""
FILE_CALLS = {"open": 13, "read": 101, "write": 53}
"""Calls on a file of ramfs, which nothing else uses."""
TAILED, FAILED_EXECS = 7, 5
"""Execs of a program with two arguments under a tail, and of an absent one."""

ARM_FCNTLS, ARM_GETPPIDS = 1_009, 503
"""Calls of the program of 32-bit ARM, on arm64."""

ALL = bool(os.environ.get("PROBED_ALL_GUESTS"))
GUESTS = (*kernels.KERNELS, kernels.ARM64) if ALL else kernels.KERNELS
"""The kernels that boot."""
BY_BCC = kernels.KERNELS if ALL else ()
"""The kernels on which BCC counts too: LLVM takes minutes in an emulated guest, more than CI has."""

RUNS = [(kernel, loader) for kernel in GUESTS for loader in ("core", "bcc")[: 1 + (kernel in BY_BCC)]]
"""Pairs of kernel and loader."""


@dataclass(frozen=True)
class Workload:
    """The programs under fresh names, by the keys of `SPAWNED`."""

    spawner: str
    programs: Mapping[str, str]
    opener: str
    script: str


@dataclass(frozen=True)
class Run:
    """A workload with the wait statuses of its programs, and the pages before and after."""

    workload: Workload
    loader: str
    waited: Mapping[int, int]
    before: Page
    after: Page

    def counted(self, name: str, **labels: str) -> float:
        return rise(self.before, self.after, name, **labels)

    def missed(self, probe: str, *programs: str) -> float:
        """Return the number of runs of these programs that the kernel left out."""
        name = "probed_probe_missed_runs_total"
        return sum(self.after.value(name, probe=probe, program=program) for program in programs)

    def assert_counted(self, expected: int, missed: float, name: str, **labels: str) -> None:
        """Assert that only missed runs are not counted."""
        assert expected - missed <= self.counted(name, **labels) <= expected, f"{missed:g} runs were left out"


@dataclass(frozen=True)
class Guest:
    """A guest's record, with a run by each loader, one of programs at functions, and the workload under a tail."""

    kernel: str
    seen: Mapping[str, Any]
    runs: Mapping[str, Run]
    functions: Run
    tailed: Workload
    renamer: str

    @property
    def library(self) -> Mapping[str, Any]:
        """The pages and counts after the workloads of `LIBRARY`."""
        return self.seen["library"]  # type: ignore[no-any-return]


def workload(folder: Path) -> Workload:
    """Name the workloads in OUT/bin, and write their script."""
    spawner = install(folder, "spawn").name
    programs = {name: install(folder, "exits" if name == "exits" else "exit_kinds").name for name in SPAWNED}
    opener = install(folder, "fail_opens").name
    lines = ["cd $(mktemp -d)"]
    for name, (times, how) in SPAWNED.items():
        lines.append(f"/out/bin/{spawner} {times} /out/bin/{how.format(program=programs[name])}")
    lines += [f"/out/bin/{opener} openat {errno} {times}" for errno, times in FAILED_OPENS.items()]
    lines += [f"/out/bin/calls sched_rr_get_interval {CALLS} &"] * LOOPS
    lines.append("wait")
    return Workload(spawner, programs, opener, "\n".join(lines))


def with_arm_program(known: Workload, folder: Path) -> Workload:
    """Return a workload that also runs a program of 32-bit ARM."""
    path = folder / f"arm-{secrets.token_hex(3)}"
    write_arm_program(path, ARM_FCNTLS, ARM_GETPPIDS)
    script = f"{known.script}\n/out/bin/{path.name}\n"
    return replace(known, programs={**known.programs, "arm": path.name}, script=script)


def reading(folder: Path) -> Workload:
    """Return a workload that reads, observes numbers, and calls functions of a file system."""
    reader, observer = install(folder, "reads").name, install(folder, "observes").name
    numbers = " ".join(f"{value} " * times for value, times in OBSERVED.items())
    lines = [
        f"echo {numbers} | /out/bin/{observer}",
        f"/out/bin/{reader} {GOOD_READS} {FAILED_READS}",
        f"/usr/bin/marks {MARKS} >/dev/null",
        "cd $(mktemp -d)",
        "mkdir ram",
        "mount -t ramfs none ram",
        f"/out/bin/file_calls ram {' '.join(map(str, FILE_CALLS.values()))}",
        "umount ram",
    ]
    return Workload("", {"reads": reader, "observes": observer}, "", "\n".join(lines))


def spawning(folder: Path) -> Workload:
    """Return a workload that spawns a few programs for a tail."""
    spawner, program = install(folder, "spawn").name, install(folder, "exits").name
    script = (
        f"/out/bin/{spawner} {TAILED} /out/bin/{program} one 'two words'\n/out/bin/{spawner} {FAILED_EXECS} /absent x"
    )
    return Workload(spawner, {"exits": program}, "", script)


def loaders_of(kernel: str) -> list[str]:
    """Return the loaders of the runs on a kernel."""
    return [loader for each, loader in RUNS if each == kernel]


@dataclass(frozen=True)
class Made:
    """Parts of the guests of one architecture: package, disk with kernels, and the tests' own probes with objects."""

    machine: str
    deb: Path
    disks: Path
    own: Path


def boot(kernel: str, folder: Path, made: Made) -> Guest:
    """Run a guest from power on to power off."""
    (folder / "bin").mkdir(parents=True)
    programs = (
        "spawn", "exits", "exit_kinds", "fail_opens", "calls", "reads", "observes", "file_calls", "page_lookups",
        "marks", "sleepers", "call_paths",
    )  # fmt: skip
    compile_workloads(folder / "bin", *programs, machine=made.machine)
    (folder / "library").write_text(" ".join(LIBRARY))
    (folder / "sleepers").write_text(f"{SLEEPING} {THREADS}")
    (folder / "lookups").write_text(" ".join(map(str, LOOKUPS)))
    known = {loader: workload(folder / "bin") for loader in loaders_of(kernel)}
    if kernel == kernels.ARM64:
        known["core"] = with_arm_program(known["core"], folder / "bin")
    shutil.copy(made.deb, folder / "probed.deb")
    shutil.copy(ROOT / "tests/support/system/package_guest.py", folder / "guest.py")
    (folder / "guest.sh").write_text("exec /usr/bin/python3 /out/guest.py\n")
    known["functions"] = reading(folder / "bin")
    for loader, its in known.items():
        (folder / f"workload-{loader}.sh").write_text(its.script)
    tailed = spawning(folder / "bin")
    (folder / "tail.sh").write_text(tailed.script)
    shutil.copy(ROOT / "packaging/systemd/kernel-symbols.conf", folder)
    renamer = install(folder / "bin", "call_paths").name
    (folder / "stacks.sh").write_text(f"/out/bin/{renamer} {' '.join(map(str, RENAMES))}")
    shutil.copytree(made.own, folder / "own")
    kernels.run(made.disks, folder, kernel, folder / "seen.json")
    seen = json.loads((folder / "seen.json").read_text())
    assert seen["end"] == "", f"{seen['end']}\n{seen['journal']}\n{seen['kernel']}"
    runs = {loader: read_run(its, loader, seen[loader]) for loader, its in known.items()}
    return Guest(
        kernel, seen, {loader: runs[loader] for loader in loaders_of(kernel)}, runs["functions"], tailed, renamer
    )


def read_run(known: Workload, loader: str, seen: Mapping[str, str]) -> Run:
    """Read what a guest has seen of one run."""
    waited = {int(status): int(times) for status, times in map(str.split, seen["workload"].splitlines())}
    return Run(known, loader, waited, Page.parse(seen["before"]), Page.parse(seen["after"]))


def own_objects(folder: Path, *options: str | Path) -> Path:
    """Return a folder with the probes in `OWN` and their objects, which the guests cannot build."""
    for name in OWN:
        shutil.copytree(OWN_PROBES / name, folder / name)
    command = [sys.executable, "-m", "probed", "build", *(folder / name for name in OWN), *options]
    subprocess.run(command, check=True)
    return folder


def made_for_this_machine(folder: Path) -> Made:
    return Made(os.uname().machine, build(), kernels.disks(), own_objects(folder))


def made_for_arm64(folder: Path) -> Made:
    """Build package and objects for arm64 on this machine."""
    if not shutil.which("qemu-system-aarch64"):
        pytest.skip("arm64 runs in QEMU: install qemu-system-arm")
    deb = build("ARCHITECTURE=arm64")
    types = deb.with_name("kernel-types.arm64")
    own = own_objects(folder, "--architecture", "aarch64", "--kernel.btf", types)
    return Made("aarch64", deb, kernels.arm64_disk(), own)
