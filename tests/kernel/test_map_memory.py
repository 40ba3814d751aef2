# SPDX-License-Identifier: Apache-2.0
"""Kernel memory of the shipped probes' maps: the page shows it, and large machines do not multiply it."""

from __future__ import annotations

from support.possible_cpus import BYTES, bytes_for_each_cpu, map_memory
from support.running_daemon import SHIPPED, Daemon

MOST_FOR_EACH_CPU = 16 << 10
MOST_BESIDE = 128 << 20
"""Rings, shared hashes, and two notes for each of at most 524,288 threads."""


def test_the_page_has_the_map_memory_of_each_probe(daemon: Daemon) -> None:
    page = daemon.scrape()
    for probe in SHIPPED:
        assert page.value(BYTES, probe=probe) > page.value("probed_ring_bytes", probe=probe)


def test_maps_take_16_kib_for_each_possible_cpu_at_most(daemon: Daemon) -> None:
    assert 0 < bytes_for_each_cpu(daemon) <= MOST_FOR_EACH_CPU
    assert map_memory(daemon.scrape(), daemon, 1024) <= MOST_BESIDE + 1024 * MOST_FOR_EACH_CPU
