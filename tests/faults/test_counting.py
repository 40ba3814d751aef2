# SPDX-License-Identifier: Apache-2.0
"""Events count as lost when a ring or a map is full, or a record has the wrong size."""

from __future__ import annotations

import subprocess

from support.faulty_daemon import EXECS, LOST, StartFast, calls, ours, spawn
from support.running_daemon import PROBES, ROOT, site, stopped, until
from support.workload_programs import Install

FLOOD = "100019"
"""System call that the probe `flood` counts."""

CALLS = "probed_flood_calls_total"
BRIMFUL = "probed_brimful_calls_total"
MISFIT = "probed_misfit_calls_total"
EVENT, SHORT_EVENT, LONG_EVENT = "100201", "100202", "100203"


def test_two_producers_overrun_a_small_ring(start_fast: StartFast, install: Install) -> None:
    daemon = start_fast(site({"flood": None, "process": None}, [PROBES, ROOT / "tests" / "kernel" / "probes"]))
    first, second, program = install("calls"), install("calls"), install("exits")
    with stopped(daemon.exporter):
        both = [subprocess.Popen([each, FLOOD, "10007"]) for each in (first, second)]
        assert [each.wait() for each in both] == [0, 0]
        spawn(install("spawn"), 101, program)
    full = daemon.scrape()
    lost = full.value(LOST, probe="flood", reason="ring_full")
    assert lost == full.lost("flood") > 0
    assert sum(full.by("comm", CALLS).values()) == 2 * 10_007 - lost
    assert full.emitted("flood") == full.accounted("flood") == 2 * 10_007
    assert (full.total(EXECS, comm=program.name), full.lost("process")) == (101, 0)
    line = daemon.wait_for_log("events lost")
    assert f"probe 'flood': {lost:.0f} events lost ({lost:.0f} ring_full), {lost:.0f} in all" in line
    assert "ring.bytes" in line

    calls(first, FLOOD, "101")
    after = daemon.scrape()
    assert after.by("comm", CALLS)[first.name] == full.by("comm", CALLS).get(first.name, 0) + 101
    assert after.lost("flood") == lost


def test_a_full_map_counts_what_it_refuses(start_fast: StartFast, install: Install) -> None:
    daemon, program = start_fast(ours("brimful", "process")), install("calls")
    calls(program, *(word for number in range(100_100, 100_111) for word in (str(number), "101")))
    full = daemon.scrape()
    assert full.by("number", BRIMFUL) == {str(number): 101 for number in range(100_100, 100_108)}
    assert full.value(LOST, probe="brimful", reason="map_full") == full.lost("brimful") == 3 * 101
    assert full.emitted("brimful") == full.accounted("brimful") == 3 * 101
    assert "303 events lost (303 map_full)" in daemon.wait_for_log("events lost")

    calls(program, "100100", "7", "100110", "7")
    after = daemon.scrape()
    assert after.value(BRIMFUL, number="100100") == 101 + 7
    assert after.lost("brimful") == 3 * 101 + 7
    assert after.total(EXECS, comm=program.name) == 2


def test_records_of_another_size_are_corruption(start_fast: StartFast, install: Install) -> None:
    daemon, program = start_fast(ours("misfit", "process")), install("calls")
    calls(program, EVENT, "101")
    assert daemon.scrape().by("comm", MISFIT) == {program.name: 101}
    for call, lost in ((SHORT_EVENT, 1), (LONG_EVENT, 3), (SHORT_EVENT, 4)):
        calls(program, call, "1")
        page = daemon.scrape()
        assert page.value(LOST, probe="misfit", reason="corrupt") == page.lost("misfit") == lost
        assert page.emitted("misfit") == page.accounted("misfit") == 101 + lost
    assert " corrupt)" in daemon.wait_for_log("events lost")

    dead = daemon.exporter
    daemon.kill_exporter()
    until(lambda: daemon.exporter not in (0, dead) and daemon.is_ready(), "there is another exporter")
    calls(program, EVENT, "103")
    after = daemon.scrape()
    assert after.by("comm", MISFIT) == {program.name: 101 + 103}
    assert after.emitted("misfit") == after.accounted("misfit") == 101 + 4 + 103
    assert after.total(EXECS, comm=program.name) == 5
