# SPDX-License-Identifier: Apache-2.0
"""A local user who makes a new label set with every event blinds nothing: the neighbour's counts stay exact."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.kernel_fixtures import Install, Start

FAILURES = "probed_open_failures_total"
RENAMES, NEIGHBOURS = 12_007, 3_001
"""Of one round: ring and map have room for all label sets, 14,745, where the exporter gets no CPU until the scrape."""
ROUNDS = 25
STORM = 300_007


def test_a_process_that_renames_itself_before_each_failure_costs_its_neighbour_no_count(
    start: Start, install: Install, tmp_path: Path
) -> None:
    """The neighbour has its row before: one that begins in the storm waits for the budget's next window."""
    daemon, neighbour, hostile = start(), install("fail_opens"), install("renames")
    subprocess.run([neighbour, "openat", "ENOENT", str(NEIGHBOURS)], cwd=tmp_path, check=True)
    assert daemon.scrape().by("comm", FAILURES)[neighbour.name] == NEIGHBOURS
    for _ in range(ROUNDS):
        with subprocess.Popen([hostile, str(RENAMES)], cwd=tmp_path) as storm:
            subprocess.run([neighbour, "openat", "ENOENT", str(NEIGHBOURS)], cwd=tmp_path, check=True)
            assert storm.wait() == 0
        page = daemon.scrape()
    assert page.lost("open_failures") == 0
    assert page.by("comm", FAILURES)[neighbour.name] == (1 + ROUNDS) * NEIGHBOURS
    assert page.total(FAILURES) >= ROUNDS * RENAMES + (1 + ROUNDS) * NEIGHBOURS
    assert page.value("probed_probe_collect_failures_total", probe="open_failures") == 0


def test_no_event_of_any_number_of_names_is_lost(start: Start, install: Install, tmp_path: Path) -> None:
    daemon = start()
    subprocess.run([install("renames"), str(STORM)], cwd=tmp_path, check=True)
    page = daemon.scrape()
    counts = page.by("comm", FAILURES, errno="ENOENT")
    of_names = sum(count for comm, count in counts.items() if comm.startswith("r00000000"))
    assert of_names <= STORM <= of_names + page.total(FAILURES, comm="other")
    assert page.lost("open_failures") == page.value("probed_events_unaccounted", probe="open_failures") == 0
    assert page.emitted("open_failures") == page.accounted("open_failures")
