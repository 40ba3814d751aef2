# SPDX-License-Identifier: Apache-2.0
"""Thousands of control groups open files and go between two scrapes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.cgroup2 import Cgroups
from support.kernel_fixtures import Start
from support.running_daemon import Page
from support.workload_programs import fresh_letters

GROUPS, OPENS = 10_007, 3
"""More control groups than the map of opens has room for."""

LIVING, SHORT_LIVED = 5_003, 3_001

BURST = """
import os, sys
parent, groups, opens = sys.argv[1], *map(int, sys.argv[2:])
for number in range(groups):
    group = f"{parent}/{number}"
    os.mkdir(group)
    procs = os.open(group + "/cgroup.procs", os.O_WRONLY)
    child = os.fork()
    if not child:
        os.write(procs, b"0")
        for _ in range(opens):
            os.open("/dev/null", os.O_RDONLY)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(procs)
    os.rmdir(group)
"""
"""Makes one control group after another, each for a process that opens files and ends.

A process in each is how control groups are used, and takes a millisecond: without one, thousands would come while the
exporter waits for a CPU of a busy machine.
"""


def burst(parent: Path, groups: int) -> None:
    subprocess.run([sys.executable, "-c", BURST, str(parent), str(groups), str(OPENS)], check=True)


def assert_nothing_is_missing(page: Page, unit: str, groups: int) -> None:
    assert page.total("probed_opens_total", unit=unit) == groups * OPENS
    assert page.total("probed_opens_total", unit="unknown") == 0
    assert page.value("probed_events_lost_total", probe="open_failures", reason="map_full") == 0
    assert page.lost("cgroups") == 0


def test_a_burst_of_short_lived_cgroups_is_counted_and_named_without_a_scrape(start: Start) -> None:
    unit = f"test-{fresh_letters()}.service"
    with Cgroups() as cgroups:
        parent = cgroups.make(f"system.slice/{unit}")
        daemon = start()
        burst(parent, GROUPS)
        page = daemon.scrape()
    assert_nothing_is_missing(page, unit, GROUPS)
    assert page.value("probed_cgroups_removed_total") >= GROUPS
    assert page.value("probed_map_entries", probe="open_failures", map="opens") < 8192 / 2


def test_short_lived_cgroups_have_names_beside_thousands_of_living_ones(start: Start) -> None:
    unit = f"test-{fresh_letters()}.service"
    with Cgroups() as cgroups:
        parent = cgroups.make(f"system.slice/{unit}")
        for number in range(LIVING):
            (parent / f"living-{number}").mkdir()
        daemon = start()
        burst(parent, SHORT_LIVED)
        page = daemon.scrape()
    assert_nothing_is_missing(page, unit, SHORT_LIVED)
