# SPDX-License-Identifier: Apache-2.0
"""Real Prometheus servers compute the true counts with increase(), for any lifetime of units and programs.

Four daemons count the same events at the same time. Scrapes come every 5 s, every 15 s, from both servers out of step,
and from both while a plain HTTP client takes a page every second. Control groups stand for units. The longest unit
lives for a minute; `tests/unit/exporter/series/test_played_rates.py` plays ten minutes with a clock.

increase() extrapolates by up to half a scrape interval at both ends of its range, but not before a first sample of 0,
and not here at the end, since the range ends at the time of the last sample.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from support.cgroup2 import Cgroups, run_in
from support.monitoring.prometheus_server import Prometheus, prometheus
from support.running_daemon import Daemon, Page, site, until
from support.workload_programs import Install

INTERVALS: Final = {"alone-5": 5, "alone-15": 15, "pair-5": 5, "pair-15": 15, "polled-5": 5, "polled-15": 15}
"""Seconds between two scrapes by job; the first part of a job's name is its daemon."""

SERVERS: Final = (("alone-5", "alone-15", "pair-5", "polled-15"), ("pair-15", "polled-5"))
"""The jobs of each Prometheus."""

CASES: Final = ("the first minute", "0.3 s", "one interval", "a minute", "new programs in an old unit")

FAILURES: Final = 101
CALLS: Final = 103
"""Failed opens and system calls of one piece of work."""

SYSCALL: Final = "sched_rr_get_interval"
SETTLED: Final = 3
"""Scrapes after the last event until Prometheus has every count."""

PATIENCE: Final = 90.0
RANGE: Final = "10m"


def daemon_of(job: str) -> str:
    """Return the name of the daemon that a job scrapes; each lone job has its own."""
    return job if job.startswith("alone") else job.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Work:
    """Work of one case: the comms of its programs, and one item for each piece of work."""

    lives: set[str] = field(default_factory=set)
    fails: set[str] = field(default_factory=set)
    pieces: list[None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Workload:
    """Does work in control groups; programs create files in `folder`."""

    install: Install
    cgroups: Cgroups
    folder: Path
    cases: Mapping[str, Work] = field(default_factory=lambda: {case: Work() for case in CASES})

    def programs(self) -> tuple[Path, Path]:
        """Return a program that lives and one that fails, with fresh comms."""
        return self.install("lives"), self.install("fail_opens")

    @contextmanager
    def unit(self) -> Iterator[Path]:
        """Yield a container's control group, and remove the group afterwards."""
        with Cgroups() as own:
            yield own.make(f"system.slice/docker-{secrets.token_hex(32)}.scope")

    def work(self, case: str, group: Path, programs: tuple[Path, Path]) -> None:
        """Do a piece of work: a life of 0.3 s, failed opens and system calls."""
        lives, fails = programs
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        run_in(group, lives, "300")
        run_in(group, fails, "openat", "ENOENT", str(FAILURES), cwd=folder)
        run_in(group, self.install("calls"), SYSCALL, str(CALLS))
        done = self.cases[case]
        done.lives.add(lives.name)
        done.fails.add(fails.name)
        done.pieces.append(None)

    def short_units(self, case: str, count: int) -> None:
        """Run `count` units of 0.3 s, one after another."""
        programs = self.programs()
        for _ in range(count):
            with self.unit() as group:
                self.work(case, group, programs)

    def longer_units(self, case: str, count: int, seconds: int) -> None:
        """Run `count` units for `seconds` each, with work at the beginning and at the end."""
        programs, pause = self.programs(), self.install("lives")
        for _ in range(count):
            with self.unit() as group:
                self.work(case, group, programs)
                run_in(group, pause, str(seconds * 1000 - 700))
                self.work(case, group, programs)

    def long_unit(self) -> None:
        """Run one unit for a minute with continuous work; new programs also do every tenth piece."""
        programs, pause = self.programs(), self.install("lives")
        with self.unit() as group:
            for number in range(71):
                self.work("a minute", group, programs)
                run_in(group, pause, "500")
                if number % 10 == 5:
                    self.work("new programs in an old unit", group, self.programs())

    def run(self) -> None:
        """Run all cases; the daemons have just started."""
        self.short_units("the first minute", 7)
        with ThreadPoolExecutor() as pool:
            done = [
                pool.submit(self.short_units, "0.3 s", 101),
                pool.submit(self.longer_units, "one interval", 7, 5),
                pool.submit(self.longer_units, "one interval", 3, 15),
                pool.submit(self.long_unit),
            ]
        for each in done:
            each.result()


@dataclass(frozen=True, slots=True)
class Seen:
    """The server of each job, each daemon's last exact page, and the time of each job's last page."""

    servers: Mapping[str, Prometheus]
    pages: Mapping[str, Page]
    ends: Mapping[str, float]
    cases: Mapping[str, Work]

    def increase(self, job: str, metric: str, label: str, texts: set[str]) -> float:
        """Return the summed increase of the series with one of these texts, up to the last page."""
        selector = f'{metric}{{job="{job}", {label}=~"{"|".join(sorted(texts))}"}}'
        found = self.servers[job].query(f"sum(increase({selector}[{RANGE}]))", time=f"{self.ends[job]:.3f}")
        return found[0].value if found else 0.0


@contextmanager
def polling(daemon: Daemon) -> Iterator[None]:
    """Take a page every second with a plain HTTP client."""
    over = threading.Event()

    def poll() -> None:
        while not over.wait(1):
            daemon.scrape()

    thread = threading.Thread(target=poll)
    thread.start()
    yield
    over.set()
    thread.join()


def configuration(jobs: tuple[str, ...], daemons: Mapping[str, Daemon]) -> dict[str, Any]:
    """Return a Prometheus's configuration with these jobs."""
    return {
        "scrape_configs": [
            {
                "job_name": job,
                "scrape_interval": f"{INTERVALS[job]}s",
                "scrape_timeout": "5s",
                "static_configs": [{"targets": [f"127.0.0.1:{daemons[daemon_of(job)].port}"]}],
            }
            for job in jobs
        ]
    }


def settled(servers: Mapping[str, Prometheus]) -> dict[str, float]:
    """Wait until each job has enough scrapes after now; return the time of each job's last page.

    A scrape that failed leaves no sample of a page, and so is not the last.
    """
    now = next(iter(servers.values())).value("time()")
    ends: dict[str, float] = {}

    def over() -> bool:
        ends.update(
            {job: server.value(f'timestamp(probed_build_info{{job="{job}"}})') for job, server in servers.items()}
        )
        return all(end > now + SETTLED * INTERVALS[job] for job, end in ends.items())

    until(over, "every job is over", PATIENCE)
    return ends


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, install: Install) -> Iterator[Seen]:
    """Run the workload once for all tests, and yield the stored counts."""
    folder = tmp_path_factory.mktemp("increase")
    with ExitStack() as stack:
        daemons = {
            name: stack.enter_context(Daemon(make(folder / name), site()))
            for name in sorted(set(map(daemon_of, INTERVALS)))
        }
        servers = {
            job: server
            for number, jobs in enumerate(SERVERS)
            for server in [stack.enter_context(prometheus(folder / f"p{number}", configuration(jobs, daemons)))]
            for job in jobs
        }
        for daemon in daemons.values():
            daemon.wait_until_ready()
        stack.enter_context(polling(daemons["polled"]))
        cgroups = stack.enter_context(Cgroups())
        cgroups.make("system.slice")
        workload = Workload(install, cgroups, make(folder / "work"))
        workload.run()
        ends = settled(servers)
        yield Seen(servers, {name: daemon.scrape() for name, daemon in daemons.items()}, ends, workload.cases)


def make(folder: Path) -> Path:
    """Make a folder and return it."""
    folder.mkdir()
    return folder


def close_to(count: float) -> Any:
    """Return a value equal to this count within 5 %."""
    return pytest.approx(count, rel=0.05)


every_job: Callable[..., Any] = pytest.mark.parametrize("job", INTERVALS)
every_case: Callable[..., Any] = pytest.mark.parametrize("case", CASES)


@every_job
@every_case
def test_the_increase_of_execs_is_the_number_of_execs(seen: Seen, job: str, case: str) -> None:
    done = seen.cases[case]
    assert seen.increase(job, "probed_process_execs_total", "comm", done.lives) == close_to(len(done.pieces))


@every_job
@every_case
def test_the_increase_of_lifetimes_is_their_number_and_sum(seen: Seen, job: str, case: str) -> None:
    done, page = seen.cases[case], seen.pages[daemon_of(job)]
    lived = sum(page.total("probed_process_lifetime_seconds_sum", comm=comm) for comm in done.lives)
    assert lived >= 0.3 * len(done.pieces)
    name = "probed_process_lifetime_seconds"
    assert seen.increase(job, f"{name}_count", "comm", done.lives) == close_to(len(done.pieces))
    assert seen.increase(job, f"{name}_sum", "comm", done.lives) == close_to(lived)


@every_job
@every_case
def test_the_increase_of_failed_opens_is_their_number(seen: Seen, job: str, case: str) -> None:
    done = seen.cases[case]
    increase = seen.increase(job, "probed_open_failures_total", "comm", done.fails)
    assert increase == close_to(FAILURES * len(done.pieces))


@every_job
def test_the_increase_of_system_calls_is_their_number(seen: Seen, job: str) -> None:
    pieces = sum(len(done.pieces) for done in seen.cases.values())
    assert seen.increase(job, "probed_syscalls_total", "syscall", {SYSCALL}) == close_to(CALLS * pieces)
