# SPDX-License-Identifier: Apache-2.0
"""Thousands of control groups, each of which opens some files and goes, while no page is asked for."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

from support.cgroup2 import Cgroups
from support.kernel_fixtures import Start
from support.running_daemon import Page

GROUPS, OPENS = 10_007, 3
"""More control groups than the map of opens has room for."""

LIVING, SHORT_LIVED = 5_003, 3_001

BURST = """
import os, sys
parent, home, groups, opens = *sys.argv[1:3], *map(int, sys.argv[3:])
home = os.open(home + "/cgroup.procs", os.O_WRONLY)
for number in range(groups):
    group = f"{parent}/{number}"
    os.mkdir(group)
    procs = os.open(group + "/cgroup.procs", os.O_WRONLY)
    os.write(procs, b"0")
    for _ in range(opens):
        os.close(os.open("/dev/null", os.O_RDONLY))
    os.write(home, b"0")
    os.close(procs)
    os.rmdir(group)
"""
"""Makes one control group after another, goes into it, opens files, and leaves; other opens happen at home."""


def burst(parent: Path, home: Path, groups: int) -> None:
    subprocess.run([sys.executable, "-c", BURST, str(parent), str(home), str(groups), str(OPENS)], check=True)


def assert_nothing_is_missing(page: Page, unit: str, groups: int) -> None:
    assert page.total("probed_opens_total", unit=unit) == groups * OPENS
    assert page.total("probed_opens_total", unit="unknown") == 0
    assert page.value("probed_events_lost_total", probe="open_failures", reason="map_full") == 0
    assert page.lost("cgroups") == 0


def test_a_burst_of_short_lived_cgroups_is_counted_and_named_without_a_scrape(start: Start) -> None:
    unit = f"test-{secrets.token_hex(6)}.service"
    with Cgroups() as cgroups:
        parent, home = cgroups.make(f"system.slice/{unit}"), cgroups.root
        daemon = start()
        burst(parent, home, GROUPS)
        page = daemon.scrape()
    assert_nothing_is_missing(page, unit, GROUPS)
    assert page.value("probed_cgroups_removed_total") >= GROUPS
    assert page.value("probed_map_entries", probe="open_failures", map="opens") < 8192 / 2


def test_short_lived_cgroups_have_names_beside_thousands_of_living_ones(start: Start) -> None:
    unit = f"test-{secrets.token_hex(6)}.service"
    with Cgroups() as cgroups:
        parent, home = cgroups.make(f"system.slice/{unit}"), cgroups.root
        for number in range(LIVING):
            (parent / f"living-{number}").mkdir()
        daemon = start()
        burst(parent, home, SHORT_LIVED)
        page = daemon.scrape()
    assert_nothing_is_missing(page, unit, SHORT_LIVED)
