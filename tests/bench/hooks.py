# SPDX-License-Identifier: Apache-2.0
"""Cost of a traced call without the daemon, with empty programs, with each probe and with all.

Each round measures all variants one after another, so that other load disturbs all alike.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Final

from bench.figures import Figure, difference, least, middle
from bench.peer import Peer
from bench.setup import HERE, Setup
from support.running_daemon import SHIPPED, Daemon, environment, site

CALLS: Final[Mapping[str, tuple[str, int, int]]] = {
    "getppid": ("ns", 20_000, 12),
    "failing open": ("ns", 6_000, 12),
    "open and close": ("ns", 4_000, 12),
    "spawn": ("µs", 100, 60),
}
"""Calls of tests/bench/timed.c: the unit of the figure, the number of calls timed at once, and how often in a round.

Of the times of a round the least counts.
"""

WORDS: Final = {"failing open": "failing", "open and close": "opening"}
ROUNDS: Final = 8

OF_PROCESS: Final = ("sched_process_fork", "sched_process_exec", "sched_process_exit", "sched_process_free", "sys_exit")
"""Raw tracepoints of the probe `process`."""

LABELLED: Final = "probe open_failures"
UNLABELLED: Final = "open_failures without unit"


def measure(setup: Setup) -> list[Figure]:
    """Return the cost that every variant adds to every call."""
    variants = _variants(setup)
    found: dict[str, dict[str, list[float]]] = {call: {name: [] for name in variants} for call in CALLS}
    for _ in range(setup.rounds(ROUNDS)):
        for name, variant in variants.items():
            with variant():
                for call in CALLS:
                    found[call][name].append(_time(setup, call))
    return [figure for call in CALLS for figure in _figures(call, found[call])]


def _figures(call: str, found: Mapping[str, list[float]]) -> Iterator[Figure]:
    unit, _, _ = CALLS[call]
    without = found["without"]
    yield least(f"{call}, without", unit, without)
    for name in list(found)[1:]:
        yield difference(f"{call}, {name}", unit, found[name], without)
    pairs = zip(found[LABELLED], found[UNLABELLED], strict=True)
    yield middle(f"{call}, what the label unit adds", unit, [with_it - without_it for with_it, without_it in pairs])


def _time(setup: Setup, call: str) -> float:
    unit, n, repeats = CALLS[call]
    times = setup.run("timed", WORDS.get(call, call), n, setup.rounds(repeats), setup.folder / "exits")
    return min(times) / {"ns": 1, "µs": 1e3}[unit]


Variants = dict[str, Callable[[], AbstractContextManager[None]]]


def _variants(setup: Setup) -> Variants:
    probes = {name: {"cgroups": None, name: None} for name in SHIPPED if name != "cgroups"}
    variants: Variants = {
        "without": nullcontext,
        "empty on sys_enter": partial(_empty_programs, "sys_enter"),
        "empty on sys_exit": partial(_empty_programs, "sys_exit"),
        "empty on both": partial(_empty_programs, "sys_enter", "sys_exit"),
        "empty on those of process": partial(_empty_programs, *OF_PROCESS),
    }
    variants |= {f"probe {name}": partial(_running, setup, these) for name, these in probes.items()}
    variants[UNLABELLED] = partial(_running, setup, {"cgroups": None, "no_unit": None})
    variants["all probes"] = partial(_running, setup, SHIPPED)
    variants |= {f"probe {name}, object": partial(_running_objects, setup, these) for name, these in probes.items()}
    variants["all probes, objects"] = partial(_running_objects, setup, SHIPPED)
    if setup.peer is not None:
        variants |= {
            f"{setup.peer.name}, {name}": partial(_peer, setup.peer, name) for name in setup.peer.configurations
        }
    return variants


@contextmanager
def _peer(peer: Peer, configuration: str) -> Iterator[None]:
    with peer.running(configuration):
        yield


@contextmanager
def _running(setup: Setup, probes: Mapping[str, object]) -> Iterator[None]:
    with setup.daemon(probes) as daemon:
        daemon.wait_until_ready()
        yield


@contextmanager
def _running_objects(setup: Setup, probes: Mapping[str, object]) -> Iterator[None]:
    with Daemon(setup.folder, site(probes, [setup.objects()], loader="core")) as daemon:
        daemon.wait_until_ready()
        yield


@contextmanager
def _empty_programs(*tracepoints: str) -> Iterator[None]:
    """Attach an empty program to each tracepoint from a child process."""
    command = [sys.executable, "-m", "bench.floor", *tracepoints]
    with subprocess.Popen(
        command, env=environment(), cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not process.stdout.readline():
            raise ChildProcessError(f"{' '.join(command)}: ended before its programs were attached")
        yield
        process.stdin.close()
