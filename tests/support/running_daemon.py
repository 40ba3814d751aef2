# SPDX-License-Identifier: Apache-2.0
"""Runs a real daemon in a test: configures, starts, scrapes, signals, inspects and stops the process.

Knows the command line, the site configuration and the pages; imports nothing of probed.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Protocol, Self

import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.processes import children, command_line, status_of

ROOT: Final = Path(__file__).parents[2]
PROBES: Final = ROOT / "probes"
SHIPPED: Final[Mapping[str, Any]] = {"cgroups": None, "process": None, "open_failures": None, "syscalls": None}

LIBRARY: Final = tuple(
    sorted(
        path.stem for path in PROBES.glob("*/*.yaml") if path.stem not in SHIPPED and "\nmetrics:" in path.read_text()
    )
)
"""The probes with metrics that are off by default."""

PATIENCE: Final = 60.0
"""Most seconds of any wait, for a slow and busy machine."""

LOG_TAIL: Final = 60

Labels = frozenset[tuple[str, str]]


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Poll until `condition` holds. Raises AssertionError with the expectation."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"after {patience:g} s still not: {what}"
        time.sleep(0.01)


class Page(dict[tuple[str, Labels], float]):
    """One scrape: the value of each series by its name and labels."""

    @classmethod
    def parse(cls, text: str) -> Page:
        """Read a page in text format 0.0.4. Raises AssertionError for a repeated series."""
        page = cls()
        for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in page, f"this series is there twice: {key}"
                page[key] = sample.value
        return page

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one series, 0 without the series."""
        return self.get((name, frozenset(labels.items())), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all series with at least these labels."""
        wanted = labels.items()
        return sum(value for (found, having), value in self.items() if found == name and wanted <= having)

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the values of series with at least these labels by another label's text, without zeros."""
        wanted, sums = labels.items(), dict[str, float]()
        for (found, having), value in self.items():
            if found == name and wanted <= having and value:
                text = dict(having)[label]
                sums[text] = sums.get(text, 0.0) + value
        return sums

    def lost(self, probe: str) -> float:
        """Return the lost events of a probe."""
        return self.total("probed_events_lost_total", probe=probe)

    def emitted(self, probe: str) -> float:
        """Return the emitted events of a probe."""
        return self.value("probed_events_emitted_total", probe=probe)

    def accounted(self, probe: str) -> float:
        """Return the sum of delivered, lost and discarded events, which equals `emitted`."""
        names = ("delivered", "lost", "discarded")
        return sum(self.total(f"probed_events_{name}_total", probe=probe) for name in names)


def rise(before: Page, after: Page, name: str, **labels: str) -> float:
    """Return the rise of the sum over matching series."""
    return after.total(name, **labels) - before.total(name, **labels)


def tail(log: Path) -> str:
    """Return the last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def site(probes: Mapping[str, Any] = SHIPPED, directories: Sequence[Path] = (PROBES,), **more: Any) -> dict[str, Any]:
    """Return a site configuration as data, by default with the shipped probes as declared, compiled by BCC.

    So objects in the tree, which `make run` may have built, change no test. Evidence is off: most tests are storms.
    """
    fixed = {"loader": "bcc", "evidence": "off"}
    return {"probe_directories": list(map(str, directories)), **fixed, "probes": dict(probes), **more}


def environment(**more: str) -> dict[str, str]:
    """Return an environment with `more` variables in which Python finds probed."""
    return os.environ | {"PYTHONPATH": str(ROOT / "daemon")} | more


def command(*arguments: str, python: str = sys.executable, module: str = "probed") -> list[str]:
    """Return the command line of probed with these arguments."""
    return [python, "-m", module, *arguments]


def run_to_its_end(
    *arguments: str, under: Sequence[str] = (), python: str = sys.executable, **variables: str
) -> tuple[int, str]:
    """Run a command of probed to its end; return exit status and output."""
    done = subprocess.run(
        [*under, *command(*arguments, python=python)],
        env=environment(**variables), timeout=2 * PATIENCE, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


class Daemon:
    """``probed run`` as a child process; leaving the context stops the daemon in any state."""

    module: ClassVar[str] = "probed"
    scheme: ClassVar[str] = "http"
    context: ssl.SSLContext | None = None

    def __init__(
        self,
        folder: Path,
        configuration: Mapping[str, Any],
        arguments: Sequence[str] = (),
        under: Sequence[str] = (),
        **variables: str,
    ) -> None:
        """Start the daemon with configuration and log in `folder`, more arguments and these variables.

        `under` is a command that executes the rest of the command line in the same process.
        """
        self.configuration = folder / "probed.yaml"
        self.log_file = folder / "probed.log"
        self.port = free_port()
        self.configure(configuration)
        own = (
            "run", "--config.file", str(self.configuration),
            "--web.listen-address", f"127.0.0.1:{self.port}", "--log.level", "debug",
        )  # fmt: skip
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*under, *command(*own, *arguments, module=self.module)],
                cwd=folder, env=environment(**variables), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is not None:
            return
        for pid in self._pids():
            _send(pid, signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            for pid in self._pids():
                _send(pid, signal.SIGKILL)
            self.process.wait()

    # Output of the daemon.

    def log(self) -> str:
        """Return the whole log."""
        return self.log_file.read_text(errors="replace")

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        return tail(self.log_file)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Get a page; return status and body."""
        return self.ask(urllib.request.Request(self.url(path), headers=headers))

    def url(self, path: str) -> str:
        """Return the URL of a page."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        """Send a request; return status and body."""
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=self.context) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def is_ready(self) -> bool:
        """Return whether the daemon is ready. Raises AssertionError when the daemon has ended."""
        assert self.process.poll() is None, f"probed ended with {self.process.returncode}:\n{self.log_tail()}"
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def wait_until_ready(self) -> Self:
        """Wait until the daemon is ready; return the daemon."""
        until(self.is_ready, "probed is ready")
        return self

    def scrape(self) -> Page:
        """Scrape the metrics page."""
        status, body = self.get("/metrics")
        assert status == 200, body
        return Page.parse(body.decode())

    # Requests to the daemon.

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """Write the site configuration for the next start or reload."""
        self.configuration.write_text(yaml.safe_dump(dict(configuration), sort_keys=False))

    def reload(self, configuration: Mapping[str, Any] | None = None) -> Page:
        """Reload the configuration, wait for the end of the reload, and scrape.

        A reload after a failed one must succeed, or its end would be invisible.
        """
        if configuration is not None:
            self.configure(configuration)
        before = self.scrape()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: _reloaded(before, self.scrape()), "the reload is over")
        return self.scrape()

    def stop(self) -> str:
        """Send SIGTERM, expect the exit status 0, and return its log."""
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        assert status == 0, f"probed ended with {status}:\n{self.log_tail()}"
        return self.log()

    def kill_exporter(self) -> None:
        """Send SIGKILL to the exporter, as the kernel does without memory."""
        os.kill(self.exporter, signal.SIGKILL)

    # The daemon's processes from outside.

    @property
    def supervisor(self) -> int:
        """Return the supervisor's process id."""
        return self.process.pid

    def children(self) -> dict[int, str]:
        """Return the supervisor's living children: their process ids and command lines."""
        return {pid: line for pid in children(self.supervisor) if (line := command_line(pid))}

    @property
    def exporter(self) -> int:
        """Return the exporter's process id, 0 while there is none."""
        return next((pid for pid, line in self.children().items() if "probed.exporter" in line), 0)

    def _pids(self) -> list[int]:
        return [self.supervisor, *self.children()]


def _reloaded(before: Page, now: Page) -> bool:
    time_of_success = "probed_config_last_reload_success_timestamp_seconds"
    return now.value(time_of_success) != before.value(time_of_success) or (
        before.value("probed_config_last_reload_successful") == 1
        and now.value("probed_config_last_reload_successful") == 0
    )


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process within the context."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: status_of(pid)["State"].startswith("T"), "the process is stopped")
    yield
    os.kill(pid, signal.SIGCONT)


class Start(Protocol):
    """The fixture `start`: a daemon for one test, by default with the shipped probes, returned when ready."""

    def __call__(self, configuration: Mapping[str, Any] | None = None, **variables: str) -> Daemon: ...
