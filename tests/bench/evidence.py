# SPDX-License-Identifier: Apache-2.0
"""Time from the beginning of a short storm to the first row of evidence, by objects and by BCC.

    PYTHONPATH=tests:daemon python3 -m bench.evidence --seconds 3 --busy 8

As root, with the tools of `probed build`. `--busy` is a number of processes that use the CPUs meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.figures import aligned, number
from probed.ipc.manifest import LoaderName
from support.cgroup2 import Cgroups, start_in
from support.running_daemon import PROBES, Daemon, command, environment, site
from support.workload_programs import compile_workloads, fresh_letters

STORMS: Final = 7
SECONDS: Final = 3.0

SETTLE_SECONDS: Final = 4.0
"""After a storm: the exporter watches anew after two seconds, and a sample ends after two."""

AS_THE_UNIT: Final = ("nice", "-n", "-10")
"""Nine times the weight of other processes; the unit has CPUWeight=1000, ten times that of other units."""

ENDLESS: Final = str(1 << 30)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Let so many processes use the CPUs."""
    spinning = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(processes)]
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()


def first_row(daemon: Daemon, folder: Path, seconds: float) -> float | None:
    """Run a storm; return the seconds from its beginning to the first row, None without a row."""
    unit = f"bench-{fresh_letters()}.service"
    with Cgroups() as made:
        group = made.make(f"system.slice/{unit}")
        began = time.monotonic()
        with start_in(group, folder / "spawn", ENDLESS, folder / "exits") as process:
            found = _wait(daemon, unit, began, seconds)
            process.kill()
        return found if found is not None else _wait(daemon, unit, began, seconds + SETTLE_SECONDS)


def _wait(daemon: Daemon, unit: str, began: float, seconds: float) -> float | None:
    while (passed := time.monotonic() - began) < seconds:
        lines = (json.loads(line) for line in daemon.log().splitlines() if '"evidence_of"' in line)
        if any(line["unit"] == unit for line in lines):
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            return passed
        time.sleep(0.01)
    return None


def measure(loader: LoaderName, probes: Path, folder: Path, storms: int, seconds: float) -> list[float | None]:
    """Return the time of the first row of each storm."""
    evidence = {"rules": {"starts": 100}, "units": 100}
    configuration = site({"cgroups": {}, "process": {}}, [probes], loader=loader, evidence=evidence)
    found: list[float | None] = []
    with Daemon(folder, configuration | {"log": {"format": "json"}}, under=AS_THE_UNIT) as daemon:
        daemon.wait_until_ready()
        for _ in range(storms):
            time.sleep(SETTLE_SECONDS)
            found.append(first_row(daemon, folder, seconds))
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure, print a line for each loader; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storms", type=int, default=STORMS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of a storm")
    parser.add_argument("--busy", type=int, default=0, metavar="PROCESSES")
    flags = parser.parse_args(arguments)
    rows: list[Sequence[str]] = [("", "samples", "", "first row after s: least", "median", "most", "load")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        probes = shutil.copytree(PROBES, folder / "probes")
        subprocess.run(command("build", str(probes)), env=environment(), check=True, stdout=subprocess.DEVNULL)
        compile_workloads(folder, "spawn", "exits")
        with busy(flags.busy):
            for loader in ("core", "bcc"):
                found = measure(loader, probes, folder, flags.storms, flags.seconds)
                times = sorted(each for each in found if each is not None)
                shown = [number(times[at]) for at in (0, len(times) // 2, -1)] if times else ["", "", ""]
                rows.append((loader, str(len(times)), f"of {len(found)}", *shown, f"{os.getloadavg()[0]:.1f}"))
    sys.stdout.write(f"{aligned(rows)}\n")
    return 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("run as root: the daemon loads BPF programs")
    sys.exit(main(sys.argv[1:]))
