# SPDX-License-Identifier: Apache-2.0
"""Runs an attack as a process, and scrapes as a well-behaved client meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from attacks.http import GET
from attacks.target import SCRAPER, Target


@contextlib.contextmanager
def attacking(attack: str, target: Target, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run an attack in the background for at most `seconds`."""
    command = [sys.executable, "-m", "attacks", "--alone", "--identity", target.identity, target.url, f"{seconds}"]
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([*command, attack], env=os.environ | path) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class ScrapeCounts:
    """Scrapes of a client under attack, and the `good` ones with status 200."""

    scrapes: int
    good: int


def scrape_until(scrape: Callable[[], int], process: subprocess.Popen[bytes]) -> ScrapeCounts:
    """Scrape 20 times a second until an attack is over; `scrape` returns a status."""
    statuses: list[int] = []
    while process.poll() is None:
        try:
            statuses.append(scrape())
        except OSError as error:
            print(f"a scrape failed: {error}", file=sys.stderr)
            statuses.append(0)
        time.sleep(0.05)
    return ScrapeCounts(len(statuses), statuses.count(200))


def scraper(target: Target, authorization: str = "") -> Callable[[], int]:
    """Return a client that gets the metrics page on a new connection each time, and returns the status."""
    more = f"Authorization: {authorization}\r\n" if authorization else ""
    request = GET[:-2] + f"Connection: close\r\nAccept-Encoding: gzip\r\n{more}\r\n".encode()

    def scrape() -> int:
        with target.connect(SCRAPER) as client:
            client.sendall(request)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
            return int(answer.split(b" ", 2)[1]) if answer else 0

    return scrape
