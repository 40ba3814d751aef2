# SPDX-License-Identifier: Apache-2.0
"""Gauges of a test's probe, a folder without Python, over known workloads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cgroup2 import Cgroups
from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, Daemon, Page, site, until
from support.workload_programs import fresh_letters

TASKS = "probed_residents_tasks"
BY_CGROUP = "probed_residents_cgroup_tasks"
EXCESS = "probed_residents_oom_excess"
ADJUSTED = "probed_residents_adjusted_seconds"

FAMILY = """
import os, sys
for _ in range(int(sys.argv[1])):
    if not os.fork():
        os.read(0, 1)
        os._exit(0)
print("born", flush=True)
while True:
    os.wait()
    print("ended", flush=True)
"""
"""Forks children that end one at each byte; prints a line when all are born, and when one has ended."""


class Family:
    """A process that moved into a control group, with children born in the group."""

    def __init__(self, group: Path, children: int) -> None:
        def join() -> None:
            (group / "cgroup.procs").write_text("0")

        self.process = subprocess.Popen(
            [sys.executable, "-c", FAMILY, str(children)], bufsize=0, preexec_fn=join,  # noqa: PLW1509
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._hear("born")

    def _hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n".encode()

    def end(self, children: int) -> None:
        assert self.process.stdin is not None
        for _ in range(children):
            self.process.stdin.write(b"x")
            self._hear("ended")


@contextmanager
def families(*children: int) -> Iterator[dict[str, Family]]:
    """Yield families in fresh control groups by the label `unit`; remove the groups afterwards."""
    with Cgroups() as cgroups:
        units = [f"test-{fresh_letters()}.service" for _ in children]
        groups = [cgroups.make(f"system.slice/{unit}") for unit in units]
        made = {unit: Family(group, count) for unit, group, count in zip(units, groups, children, strict=True)}
        try:
            yield made
        finally:
            for family in made.values():
                family.process.kill()
                with family.process:
                    pass


@pytest.fixture
def residents(start: Start) -> Daemon:
    return start(site({"cgroups": None, "residents": None}, [PROBES, OWN_PROBES]))


def rows(page: Page) -> dict[str, float]:
    """Return the living tasks by unit, also the units at 0."""
    return {dict(labels)["unit"]: value for (name, labels), value in page.items() if name == TASKS}


def test_a_gauge_goes_up_and_down_and_leaves_with_its_map_entry(residents: Daemon) -> None:
    with families(101, 53) as made:
        (one, first), (two, second) = made.items()
        assert [rows(residents.scrape())[unit] for unit in made] == [101, 53]
        first.end(31)
        second.end(53)
        assert [rows(residents.scrape())[unit] for unit in made] == [70, 0]
        first.end(70)
        assert [rows(residents.scrape())[unit] for unit in made] == [0, 0]
    until(lambda: not {one, two} & rows(residents.scrape()).keys(), "the rows of removed control groups have left")
    page = residents.scrape()
    assert page.lost("residents") == 0
    assert page.value("probed_series", metric=TASKS) == len(rows(page))


def test_label_sets_over_the_budget_are_added_up_in_other(residents: Daemon) -> None:
    with families(211, 107, 41, 37, 3):
        page = residents.scrape()
        by_cgroup = page.by("cgroup", BY_CGROUP)
        assert len(by_cgroup) == 3
        assert {211, 107} < set(by_cgroup.values())
        assert by_cgroup["other"] >= 41 + 37 + 3
        assert sum(by_cgroup.values()) == page.total(TASKS) == page.value("probed_residents_all_tasks")


def test_a_gauge_is_exact_after_a_new_exporter(residents: Daemon) -> None:
    with families(61) as made:
        ((unit, family),) = made.items()
        assert rows(residents.scrape())[unit] == 61
        before = residents.exporter
        residents.kill_exporter()
        family.end(19)
        until(lambda: residents.exporter not in (0, before), "there is another exporter")
        assert rows(residents.scrape())[unit] == 42


def test_a_member_of_a_struct_is_signed_and_a_time_is_in_seconds(residents: Daemon, install: Install) -> None:
    program = install("naps")
    with subprocess.Popen([program, "100000000"], stdin=subprocess.DEVNULL) as process:
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == program.name, "it runs")
        try:
            for score in (499, 997):
                begin = time.monotonic()
                Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(score))
                end = time.monotonic()
                page = residents.scrape()
                assert page.value(EXCESS, comm=program.name) == score - 1000
                assert begin <= page.value(ADJUSTED, comm=program.name) <= end
        finally:
            process.kill()
    page = residents.scrape()
    assert program.name not in page.by("comm", ADJUSTED)
