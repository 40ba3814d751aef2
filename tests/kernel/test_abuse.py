# SPDX-License-Identifier: Apache-2.0
"""Attacks on the HTTP server cost no scraper an answer, the daemon no event and no memory: see attacks/.

The tests count answered and unanswered scrapes; the bench measures seconds.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attacks import http, tls
from attacks.scraping import attacking, scrape_until, scraper
from attacks.target import Target
from support.certificates import RSA
from support.guarded_daemon import Guarded
from support.kernel_fixtures import Install
from support.processes import proportional_bytes
from support.running_daemon import Daemon, site, until

EXECS = "probed_process_execs_total"
SECONDS = 2.0
GROWTH = 8 << 20
"""Most bytes that the exporter may keep after an attack; 512 connected clients take 14 MB."""

HTTP = sorted(attack.__name__ for attack in http.ATTACKS)
TLS = sorted(attack.__name__ for attack in tls.ATTACKS)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A daemon behind TLS that asks for no certificate and no password."""
    with Guarded(tmp_path_factory.mktemp("encrypted"), key=RSA) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A daemon that requires a client certificate and a password."""
    with Guarded(tmp_path_factory.mktemp("guarded"), password="right", mutual=True) as running:
        running.wait_until_ready()
        yield running


def answers_every_scrape(daemon: Daemon, attack: str, attacker: Target, scrape: Callable[[], int]) -> None:
    exporter = daemon.exporter
    with attacking(attack, attacker, SECONDS) as process:
        seen = scrape_until(scrape, process)
    assert process.returncode == 0
    assert seen.scrapes == seen.good > 0, seen
    assert daemon.exporter == exporter
    assert daemon.process.poll() is None
    assert "Traceback" not in daemon.log()


@pytest.mark.parametrize("attack", HTTP)
def test_every_scrape_is_answered_under(attack: str, daemon: Daemon) -> None:
    target = Target(daemon.url(""))
    answers_every_scrape(daemon, attack, target, scraper(target))


@pytest.mark.parametrize("attack", [*HTTP, *TLS])
def test_every_scrape_through_tls_is_answered_under(attack: str, encrypted: Guarded) -> None:
    target = Target(encrypted.url(""))
    answers_every_scrape(encrypted, attack, target, scraper(target))


@pytest.mark.parametrize("attack", [*TLS, "connections"])
def test_clients_without_a_certificate_disturb_no_scrape_under(attack: str, guarded: Guarded) -> None:
    scrape = scraper(Target(guarded.url(""), str(guarded.identity)), guarded.authorization("right"))
    answers_every_scrape(guarded, attack, Target(guarded.url("")), scrape)


@pytest.mark.parametrize("attack", ["flood", "guesses"])
def test_clients_without_a_password_disturb_no_scrape_under(attack: str, guarded: Guarded) -> None:
    insider = Target(guarded.url(""), str(guarded.identity))
    answers_every_scrape(guarded, attack, insider, scraper(insider, guarded.authorization("right")))


@pytest.mark.parametrize(
    ("kind", "attacks"),
    [(Daemon, ("idle", "garbage", "flood")), (Guarded, ("idle", "garbage", "flood", "hellos", "tls_garbage"))],
)
def test_no_event_is_lost_and_memory_returns(
    kind: Callable[..., Any], attacks: tuple[str, ...], tmp_path: Path, install: Install
) -> None:
    spawner, program = install("spawn"), install("exits")
    with kind(tmp_path, site()) as daemon:
        before = proportional_bytes(daemon.wait_until_ready().exporter)
        for attack in 2 * attacks:
            with attacking(attack, Target(daemon.url("")), SECONDS) as process:
                assert subprocess.check_output([spawner, "5003", program]) == b"0 5003\n"
                process.wait()
            until(lambda: daemon.scrape().value("probed_http_clients") < 3, "the attackers are gone")
            until(lambda: _bytes_after_a_scrape(daemon) < before + GROWTH, f"memory returns after {attack}")
        page = daemon.scrape()
    assert page.by("parent", EXECS, comm=program.name) == {spawner.name: 2 * len(attacks) * 5003}
    assert page.lost("process") == 0
    assert page.emitted("process") == page.accounted("process")


def _bytes_after_a_scrape(daemon: Daemon) -> int:
    daemon.scrape()
    return proportional_bytes(daemon.exporter)
