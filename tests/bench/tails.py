# SPDX-License-Identifier: Apache-2.0
"""`probed tail execs` beside execsnoop, in turn in one run: rows lost, arguments cut, CPU time, cost to the spawner.

Then the cost of a filtered `probed tail opens` to calls that it does not show.

    PYTHONPATH=tests:daemon python3 -m bench.tails --peer 'libbpf-tools=execsnoop --max-args=60'

Each peer is a name and a command that prints a row for each exec, as execsnoop of libbpf-tools and of bpfcc-tools do.
As root; a peer may need tracefs at /sys/kernel/tracing, and the one of bpfcc-tools kernel headers and kprobes.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.figures import aligned, number
from bench.setup import HERE, cpu_seconds
from support import workload_programs
from support.argument_lists import COUNT, ODD, argument_lists, packed
from support.processes import bpf_program_ids
from support.running_daemon import ROOT, command, environment, until

SPAWNS: Final = 20_011
ROUNDS: Final = 3
SETTLE_SECONDS: Final = 1.0
"""From the load of a peer's programs to its attached state, and from the last spawn to its last row."""

CALLS: Final = {"getppid": 500_000, "failing": 100_000, "opening": 100_000}
"""Calls of tests/bench/timed.c, and how many are timed at once."""

SPAWNER_CPU: Final = 0
OWN: Final = "probed tail"
FILTERED: Final = "probed tail, filter without a match"


@dataclass(frozen=True, slots=True)
class Run:
    """One storm under one tool; `rows` of spawned programs, `whole` ones with all their arguments."""

    rows: int
    whole: int
    cpu_seconds: float
    spawn_microseconds: float


class Bench:
    """The spawner, its lists and the spawned program in a folder."""

    def __init__(self, folder: Path) -> None:
        workload_programs.compile_workloads(folder, "spawn_lists", "exits")
        self.spawned = workload_programs.install(folder, "exits")
        self._timed = folder / "timed"
        compiler = ["cc", "-static", "-O2", "-o", str(self._timed), str(HERE / "timed.c")]
        subprocess.run(compiler, check=True)
        self._lists = folder / "lists"
        self._lists.write_bytes(packed(argument_lists()))
        self._output = folder / "output"
        self._spawner = [str(folder / "spawn_lists"), str(self._lists), str(SPAWNS), str(self.spawned)]

    def calls(self, tail: Sequence[str]) -> list[float]:
        """Return the nanoseconds of each call of `CALLS` while a tail watches; an empty command is no tail."""
        if not tail:
            return [self._nanoseconds(call) for call in CALLS]
        with subprocess.Popen(tail, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()) as process:
            assert process.stderr is not None
            process.stderr.readline()
            found = [self._nanoseconds(call) for call in CALLS]
            process.send_signal(signal.SIGINT)
        return found

    def _nanoseconds(self, call: str) -> float:
        done = subprocess.run([self._timed, call, str(CALLS[call]), "5"], check=True, stdout=subprocess.PIPE)
        return min(map(float, done.stdout.split()))

    def run(self, tool: Sequence[str]) -> Run:
        """Run a storm while a tool watches; an empty command is no tool."""
        if not tool:
            return Run(0, 0, 0.0, self._spawn())
        with self._output.open("wb") as output:
            process = subprocess.Popen(tool, stdout=output, stderr=subprocess.STDOUT, env=environment())
            until(lambda: process.poll() is not None or bpf_program_ids(process.pid), f"{tool[0]} to load programs")
            time.sleep(SETTLE_SECONDS)
            if process.poll() is not None:
                raise ChildProcessError(f"{shlex.join(tool)}: {self._output.read_text(errors='replace')[-500:]}")
            before = cpu_seconds(process.pid)
            microseconds = self._spawn()
            time.sleep(SETTLE_SECONDS)
            used = cpu_seconds(process.pid) - before
            process.send_signal(signal.SIGINT)
            process.wait()
        return Run(*self._count(), used, microseconds)

    def _spawn(self) -> float:
        begin = time.monotonic()
        pinned = ["taskset", "--cpu-list", str(SPAWNER_CPU), *self._spawner]
        subprocess.run(pinned, check=True)
        return (time.monotonic() - begin) / SPAWNS * 1e6

    def _count(self) -> tuple[int, int]:
        """Count rows of the spawned program, and those that end with one of the plain lists.

        The first argument may be missing, because libbpf-tools shows the path in its place.
        """
        ends = tuple(b" " + b" ".join(each[1:]) for each in plain_lists())
        lines = [line.rstrip() for line in self._output.read_bytes().split(b"\n") if self.spawned.name.encode() in line]
        return len(lines), sum(line.endswith(ends) for line in lines)


def plain_lists() -> list[list[bytes]]:
    """Return the lists without odd bytes and empty arguments, which each tool writes in its own way."""
    return [each for each in argument_lists() if all(each) and ODD[0] not in each]


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    flags = parser.parse_args(arguments)
    own = command("tail", "--config.file", str(ROOT / "config" / "probed.yaml"), "execs")
    tools: dict[str, list[str]] = {"none": [], OWN: own, FILTERED: [*own, "--comm", "no-such-name"]}
    tools |= {name: shlex.split(text) for name, _, text in (peer.partition("=") for peer in flags.peer)}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        runs: dict[str, list[Run]] = {name: [] for name in tools}
        for _ in range(flags.rounds):
            for name, tool in tools.items():
                runs[name].append(bench.run(tool))
        opens = [*own[:-1], "opens", "--failed", "--errno", "EMFILE"]
        pairs = [(bench.calls([]), bench.calls(opens)) for _ in range(flags.rounds)]
    sys.stdout.write(table(runs) + calls_table(pairs))
    return 0


def calls_table(pairs: Sequence[tuple[list[float], list[float]]]) -> str:
    """Return a line for each call: least nanoseconds without a tail, and added ones under the filtered tail."""
    rows: list[Sequence[str]] = [("", "ns", "", "more under probed tail opens --errno EMFILE")]
    for at, call in enumerate(CALLS):
        without, under = (min(each[side][at] for each in pairs) for side in (0, 1))
        rows.append((call, number(without), "", number(under - without)))
    return f"\n{aligned(rows)}\n"


def table(runs: dict[str, list[Run]]) -> str:
    """Return a line for each tool: sums of rows, least CPU time, and least added time of a spawn."""
    turns, rest = divmod(SPAWNS, COUNT)
    plain = turns * len(plain_lists()) + sum(each in plain_lists() for each in argument_lists()[:rest])
    least = min(run.spawn_microseconds for run in runs["none"])
    rows: list[Sequence[str]] = [("", "rows", "", "whole", "CPU s", "us more a spawn")]
    for name, found in runs.items():
        rows.append((
            name, str(sum(run.rows for run in found)), f"of {SPAWNS * len(found)}",
            str(sum(run.whole for run in found)), number(min(run.cpu_seconds for run in found)),
            number(min(run.spawn_microseconds for run in found) - least),
        ))  # fmt: skip
    return f"{aligned(rows)}\n{plain} rows of a round have plain arguments and can be whole.\n"


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("run as root: the tools load BPF programs")
    sys.exit(main(sys.argv[1:]))
