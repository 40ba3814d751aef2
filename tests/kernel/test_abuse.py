# SPDX-License-Identifier: Apache-2.0
"""What strangers do to the web side costs them an error status, and nobody else anything: see attacks.py.

The bound on a scrape's time, one second, is the requirement itself.
"""

from __future__ import annotations

import subprocess

import pytest
from fixtures import Install, Start

from attacks import ATTACKS, look_on, scraper, under
from daemon import Daemon, proportional_bytes, until

EXECS = "probed_process_execs_total"
SECONDS = 2.0
GROWTH = 8 << 20
"""What the exporter may have more of after all attacks than after the first: 512 clients alone had as much."""


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_a_client_is_answered_within_a_second_under(attack: str, daemon: Daemon) -> None:
    address = ("127.0.0.1", daemon.port)
    exporter = daemon.exporter
    with under(attack, address, SECONDS) as process:
        seen = look_on(scraper(address), process)
    assert seen.scrapes == seen.good > 0, seen
    assert seen.slowest < 1.0, seen
    assert daemon.exporter == exporter
    assert daemon.process.poll() is None


def test_no_event_is_lost_and_memory_returns(start: Start, install: Install) -> None:
    daemon = start()
    address = ("127.0.0.1", daemon.port)
    spawner, program = install("spawn"), install("exits")
    memory: list[int] = []
    for attack in ("idle", "garbage", "flood"):
        with under(attack, address, SECONDS) as process:
            assert subprocess.check_output([spawner, "10007", program]) == b"0 10007\n"
            process.wait()
        until(lambda: daemon.scrape().value("probed_http_clients") < 3, "the attackers are gone")
        memory.append(proportional_bytes(daemon.exporter))
    page = daemon.scrape()
    assert page.by("parent", EXECS, comm=program.name) == {spawner.name: 3 * 10_007}
    assert page.lost("process") == 0
    assert page.emitted("process") == page.accounted("process")
    assert memory[-1] < memory[0] + GROWTH, memory
