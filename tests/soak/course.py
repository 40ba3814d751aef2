# SPDX-License-Identifier: Apache-2.0
"""The course of a soak: storms, a scrape a second, alternating reloads, and kills of the exporter.

`__main__` runs a soak. A wrong count raises AssertionError at once; `verdict` judges growth from the samples.
"""

from __future__ import annotations

import math
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from soak.samples import Sample, take
from support.running_daemon import PROBES, Daemon, Page, site, until
from support.workload_programs import compile_workloads, install

OWN_PROBES: Final = Path(__file__).parent / "probes"
RELOAD_SECONDS: Final = 10
KILL_SECONDS: Final = 67
"""More than the minute after which the supervisor restarts a dead exporter at once."""

SPAWNED: Final = 211
OPENED: Final = 20_011

EXECS: Final = "probed_process_execs_total"
LIFETIMES: Final = "probed_process_lifetime_seconds_count"
OPEN_FAILURES: Final = "probed_open_failures_total"
UNCHANGED: Final = ("process", "open_failures")


@dataclass(slots=True)
class Course:
    """Work and observations of a soak."""

    samples: list[Sample] = field(default_factory=list)
    scrapes: int = 0
    reloads: int = 0
    kills: int = 0
    storms: int = 0


def configurations(*ours: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two site configurations between which the soak alternates.

    Fold rules join all names but `ours`, so that other work of the machine does not look like growth.
    """
    others = {"match": f"(?!{'|'.join(ours)}).*", "replace": "others"}
    common = {"cgroups": None, "process": {"ring": {"bytes": "8 MiB"}}, "open_failures": {"ring": {"bytes": "16 MiB"}}}
    more = {"fold": {"comm": [others]} | {label: [{"match": ".*", "replace": "any"}] for label in ("parent", "unit")}}
    other_ends = {"ring": {"bytes": "512 KiB"}, "metrics": {"probed_ends_seconds": {"buckets": [0.02, 0.2, 2, 20]}}}
    directories = [PROBES, OWN_PROBES]
    return (
        site({**common, "ends": None, "syscalls": None}, directories, **more),
        site({**common, "ends": other_ends}, directories, **more),
    )


class Soak:
    """A soak of one daemon."""

    def __init__(self, folder: Path) -> None:
        """Compile the workloads into `folder`, where the workloads run and the log is."""
        compile_workloads(folder, "spawn", "exits", "fail_opens")
        self._spawner, self._program, self._opener = (
            install(folder, name) for name in ("spawn", "exits", "fail_opens")
        )
        self._folder = folder
        self._ways = configurations(self._program.name, self._opener.name)
        self._enough = threading.Event()
        self.course = Course()

    def run(self, seconds: float) -> Course:
        """Run the course for `seconds`; return the record. Raises AssertionError."""
        with Daemon(self._folder, self._ways[0]) as daemon:
            daemon.wait_until_ready()
            with self._storms():
                self._go_on(daemon, seconds)
            self._settle_accounts(daemon)
            log = daemon.stop()
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
        return self.course

    @contextmanager
    def _storms(self) -> Iterator[None]:
        thread = threading.Thread(target=self._storm)
        thread.start()
        try:
            yield
        finally:
            self._enough.set()
            thread.join()

    def _storm(self) -> None:
        commands: tuple[list[str | Path], ...] = (
            [self._spawner, str(SPAWNED), self._program],
            [self._opener, "openat", "ENOENT", str(OPENED)],
        )
        while not self._enough.wait(0.5):
            for command in commands:
                subprocess.run(command, cwd=self._folder, check=True, stdout=subprocess.DEVNULL)
            self.course.storms += 1

    def _go_on(self, daemon: Daemon, seconds: float) -> None:
        began = time.monotonic()
        last, reload_at, kill_at = self._scrape(daemon), RELOAD_SECONDS, KILL_SECONDS
        while (second := math.ceil(time.monotonic() - began)) <= seconds:
            time.sleep(max(0.0, began + second - time.monotonic()))
            page = self._scrape(daemon)
            self._look(last, page)
            last = page
            if second >= reload_at:
                reload_at = second + RELOAD_SECONDS
                self._sample_and_reload(daemon, second)
            if second >= kill_at:
                kill_at = second + KILL_SECONDS
                daemon.kill_exporter()
                self.course.kills += 1

    def _scrape(self, daemon: Daemon) -> Page:
        """Scrape, and once more where the exporter died meanwhile."""
        pages: list[Page] = []

        def scraped() -> bool:
            try:
                pages.append(daemon.scrape())
            except (OSError, HTTPException):
                assert daemon.process.poll() is None, daemon.log_tail()
            return bool(pages)

        until(scraped, "a scrape")
        self.course.scrapes += 1
        return pages[0]

    def _counts(self, page: Page) -> tuple[float, float, float]:
        program, opener = self._program.name, self._opener.name
        return (
            page.total(EXECS, comm=program), page.total(LIFETIMES, comm=program),
            page.total(OPEN_FAILURES, comm=opener, errno="ENOENT"),
        )  # fmt: skip

    def _look(self, before: Page, page: Page) -> None:
        """Assert that sums close and counters only rise. Skips a page without probes."""
        up = page.by("probe", "probed_probe_up")
        assert {probe: page.emitted(probe) for probe in up} == {probe: page.accounted(probe) for probe in up}
        if set(UNCHANGED) <= set(up) and page.emitted("process"):
            assert all(now >= then for then, now in zip(self._counts(before), self._counts(page), strict=True))

    def _sample_and_reload(self, daemon: Daemon, second: int) -> None:
        way = self.course.reloads % 2
        until(lambda: self._went(daemon, way), "the reload before succeeds")
        self.course.samples.append(take(second, way, daemon.supervisor, daemon.exporter))
        daemon.configure(self._ways[1 - way])
        daemon.process.send_signal(signal.SIGHUP)
        self.course.reloads += 1

    def _went(self, daemon: Daemon, way: int) -> bool:
        page = self._scrape(daemon)
        up = set(page.by("probe", "probed_probe_up"))
        return page.value("probed_config_last_reload_successful") == 1 and up == set(self._ways[way]["probes"])

    def _settle_accounts(self, daemon: Daemon) -> None:
        """Assert that every event of the workloads was counted once."""
        until(lambda: self._is_up(self._scrape(daemon)), "all probes are up")
        page, storms = self._scrape(daemon), self.course.storms
        assert self._counts(page) == (storms * SPAWNED, storms * SPAWNED, storms * OPENED)
        assert {probe: page.lost(probe) for probe in UNCHANGED} == dict.fromkeys(UNCHANGED, 0)
        self._look(page, page)

    @staticmethod
    def _is_up(page: Page) -> bool:
        return all(page.value("probed_probe_up", probe=probe) == 1 for probe in UNCHANGED)
