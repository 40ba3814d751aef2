# SPDX-License-Identifier: Apache-2.0
"""A storm of 100,003 names keeps sums exact, and page and memory small."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.cgroup2 import Cgroups
from support.kernel_fixtures import Install, Start
from support.processes import status_of
from support.running_daemon import SHIPPED, Daemon, Page, site
from support.workload_programs import fresh_letters

EXECS = "probed_process_execs_total"
LIFETIMES = "probed_process_lifetime_seconds_count"
METRICS = {EXECS: EXECS, LIFETIMES: LIFETIMES.removesuffix("_count")}
"""The metric of each name on the page."""

PROCESSES = 100_003
CGROUPS = 5_000
SCRAPE_SECONDS = 1.0
WATCHED = 101


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    with Cgroups() as made:
        yield made


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes. Source: proc_pid_status(5)."""
    return int(status_of(pid)["VmRSS"].split()[0]) << 10


class Storm:
    """Processes with distinct names in distinct control groups, and one watched program beside them."""

    def __init__(self, daemon: Daemon, install: Install, watched: Path) -> None:
        self._daemon = daemon
        self._storm = [install("many_names"), PROCESSES, install("exits")]
        self._watched = [install("spawn"), WATCHED, watched]

    def watch(self) -> None:
        """Run the watched program some times, and take the page as a Prometheus would."""
        subprocess.run(list(map(str, self._watched)), check=True, stdout=subprocess.DEVNULL)
        assert self._daemon.get("/metrics")[0] == 200

    def blow(self, prefix: str, group: Path, folder: Path) -> Page:
        """Run one storm and return the page after it."""
        command = [*self._storm, prefix, CGROUPS, group]
        with subprocess.Popen(list(map(str, command)), cwd=folder) as storm:
            while storm.poll() is None:
                self.watch()
                with suppress(subprocess.TimeoutExpired):
                    storm.wait(SCRAPE_SECONDS)
        assert storm.returncode == 0
        return self._daemon.scrape()


def shown(page: Page, metric: str) -> int:
    """Return how many series of a metric are on the page, those of a histogram's buckets included."""
    return sum(found.removeprefix(metric) in ("", "_bucket", "_count", "_sum") for found, _ in page)


def nothing_lost(page: Page) -> bool:
    return all(page.lost(probe) == 0 and page.emitted(probe) == page.accounted(probe) for probe in SHIPPED)


def test_100003_names_in_5000_cgroups_twice(start: Start, install: Install, cgroups: Cgroups, tmp_path: Path) -> None:
    # Fold rules drop all other processes, so sums over all series, `other` included, are exact.
    tag, watched = fresh_letters(), install("exits")
    others = [{"match": f"(?!{tag}|{watched.name}).*", "drop": True}]
    daemon = start(site(fold={"comm": others}))
    group = cgroups.make(f"probed-test-{tag}")
    storm = Storm(daemon, install, watched)
    storm.watch()
    memory = [resident(daemon.exporter)]
    for rounds, letter in enumerate("ab", 1):
        page = storm.blow(tag + letter, group, tmp_path)
        memory.append(resident(daemon.exporter))
        assert nothing_lost(page)
        of_watched = page.total(EXECS, comm=watched.name)
        assert of_watched > 0
        assert of_watched % WATCHED == 0
        for name, metric in METRICS.items():
            assert page.total(name) == rounds * PROCESSES + of_watched
            assert page.total(name, comm=watched.name) == of_watched
            assert shown(page, metric) == page.value("probed_series", metric=metric)
            assert shown(page, metric) <= page.value("probed_series_budget", metric=metric)
            assert page.total(name, comm="other") >= page.value("probed_series_overflowed_total", metric=metric) > 0
        assert page.total("probed_cgroups_made_total") >= rounds * CGROUPS
    first, second = memory[1] - memory[0], memory[2] - memory[1]
    assert first < 10e6, memory
    # The exporter keeps nothing for the names of a round; the heap fluctuates by about a megabyte.
    assert second < first / 4, memory
