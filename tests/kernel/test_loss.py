# SPDX-License-Identifier: Apache-2.0
"""Emitted events are delivered or counted as lost, under load and when a ring overflows."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, SHIPPED, Daemon, Page, site, stopped

FLOOD = "100019"
"""System call that the probe `flood` counts."""

CALLS = "probed_flood_calls_total"
ROOM = 4096 // 24


def flood(program: Path, count: int) -> None:
    subprocess.run([program, FLOOD, str(count)], check=True)


def test_an_overrun_ring_counts_its_losses_and_recovers(start: Start, install: Install) -> None:
    program = install("calls")
    daemon = start(site({"flood": {}}, [PROBES, OWN_PROBES]))
    with stopped(daemon.exporter):
        flood(program, 10_007)
    full = daemon.scrape()
    assert full.value("probed_events_lost_total", probe="flood", reason="ring_full") == full.lost("flood")
    assert full.by("comm", CALLS) == {program.name: 10_007 - full.lost("flood")}
    assert full.value("probed_events_delivered_total", probe="flood") <= ROOM
    assert full.emitted("flood") == full.accounted("flood") == 10_007
    assert full.value("probed_events_unaccounted", probe="flood") == 0
    assert full.value("probed_ring_fill_max_bytes", probe="flood") == ROOM * 24

    flood(program, 101)
    after = daemon.scrape()
    assert after.by("comm", CALLS)[program.name] == full.by("comm", CALLS)[program.name] + 101
    assert after.lost("flood") == full.lost("flood")
    assert after.emitted("flood") == after.accounted("flood") == 10_007 + 101


def test_the_site_can_give_a_ring_that_is_large_enough(start: Start, install: Install) -> None:
    program = install("calls")
    daemon = start(site({"flood": {"ring": {"bytes": "256 KiB"}}}, [PROBES, OWN_PROBES]))
    assert daemon.scrape().value("probed_ring_bytes", probe="flood") == 256 << 10
    with stopped(daemon.exporter):
        flood(program, 10_007)
    page = daemon.scrape()
    assert page.by("comm", CALLS) == {program.name: 10_007}
    assert page.lost("flood") == 0


def test_the_sum_closes_at_every_scrape_under_load(daemon: Daemon, install: Install, tmp_path: Path) -> None:
    commands = (
        (install("spawn"), "5003", install("exits")),
        (install("fail_opens"), "openat", "ENOENT", "500009"),
    )
    busy = [subprocess.Popen(list(map(str, each)), cwd=tmp_path, stdout=subprocess.DEVNULL) for each in commands]
    pages = [daemon.scrape()]
    while any(process.poll() is None for process in busy):
        pages.append(daemon.scrape())
    pages.append(daemon.scrape())
    for probe in SHIPPED:
        assert [page.emitted(probe) for page in pages] == [page.accounted(probe) for page in pages]
        assert {page.value("probed_events_unaccounted", probe=probe) for page in pages} == {0}


def falling(before: Page, after: Page) -> list[object]:
    """Return the counters that fell or disappeared."""
    counters = [key for key in before if key[0].endswith(("_total", "_count", "_bucket", "_sum"))]
    return [key for key in counters if after.get(key, -1.0) < before[key]]


def test_counters_only_rise(daemon: Daemon, install: Install) -> None:
    pages = [daemon.scrape()]
    for _ in range(7):
        subprocess.run([install("spawn"), "101", install("exits")], check=True, stdout=subprocess.DEVNULL)
        pages.append(daemon.scrape())
    assert [falling(*each) for each in pairwise(pages)] == [[]] * 7
