# SPDX-License-Identifier: Apache-2.0
"""Runs Debian's Prometheus on a loopback for a test, and queries its HTTP API.

Knows nothing of probed. `make test` unpacks the program into .venv/prometheus and puts the folder on the PATH; to
install the package would start its service.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from support.running_daemon import PATIENCE, free_port, tail, until


class Fetch(Protocol):
    """Gets a page: the body of a POST of `form`, or of a GET; raises OSError without an answer."""

    def __call__(self, url: str, form: Mapping[str, str] | None = None) -> bytes: ...


def fetch(url: str, form: Mapping[str, str] | None = None) -> bytes:
    """Get a page from the test's own network namespace; return the body of an error, too."""
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    try:
        with urllib.request.urlopen(url, data, timeout=PATIENCE) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


@dataclass(frozen=True, slots=True)
class Sample:
    """One series' value at one time."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class NativeSample:
    """One native histogram at one time: labels, count, sum, and the count of each bucket by lower and upper bound."""

    labels: Mapping[str, str]
    count: float
    sum: float
    buckets: Mapping[tuple[float, float], float]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus with its URL, its folder and its process."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    fetch: Fetch = fetch

    def ask(self, path: str, **form: str) -> Any:
        """Call the HTTP API below /api/v1/ and return `data`. Raises AssertionError with the error.

        Source: https://prometheus.io/docs/prometheus/latest/querying/api/
        """
        answer = json.loads(self.fetch(f"{self.url}/api/v1/{path}", form or None))
        assert answer["status"] == "success", f"{path} {form}: {answer['errorType']}: {answer['error']}"
        return answer["data"]

    def query(self, expression: str, **form: str) -> list[Sample]:
        """Evaluate an expression now, or at `time`; a scalar is one sample without labels."""
        data = self.ask("query", query=expression, **form)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(series["metric"], float(series["value"][1])) for series in data["result"]]

    def native(self, expression: str) -> list[NativeSample]:
        """Evaluate an expression now; return its native histograms.

        Source: https://prometheus.io/docs/prometheus/latest/querying/api/#native-histograms
        """
        samples = []
        for series in self.ask("query", query=expression)["result"]:
            _, histogram = series["histogram"]
            buckets = {(float(low), float(high)): float(n) for _, low, high, n in histogram.get("buckets", ())}
            samples.append(NativeSample(series["metric"], float(histogram["count"]), float(histogram["sum"]), buckets))
        return samples

    def value(self, expression: str) -> float:
        """Evaluate an expression with at most one series; return 0 without one."""
        samples = self.query(expression)
        assert len(samples) <= 1, f"{expression}: {len(samples)} series"
        return samples[0].value if samples else 0.0

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], Any]]:
        """Evaluate an expression over a time; for each series its labels and its pairs of time and text."""
        data = self.ask("query_range", query=expression, start=f"{start}", end=f"{end}", step=f"{step}")
        return [(series["metric"], series["values"]) for series in data["result"]]

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets."""
        return list(self.ask("targets")["activeTargets"])

    def alerts(self) -> list[dict[str, Any]]:
        """Return the pending and firing alerts."""
        return list(self.ask("alerts")["alerts"])

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their health and state."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def wait_until_scraped(self) -> Prometheus:
        """Wait until every target is up; return the server."""
        until(lambda: (all_up := self.targets()) and all(one["health"] == "up" for one in all_up), "all targets are up")
        return self


def answers(process: subprocess.Popen[bytes], log: Path, url: str, fetch: Fetch = fetch) -> bool:
    """Return whether a program answers at `url` as ready. Raises AssertionError when the program has ended."""
    assert process.poll() is None, f"{process.args!r} ended with {process.returncode}:\n{tail(log)}"
    try:
        return fetch(url).strip().endswith((b"OK", b"is Ready."))
    except OSError:
        return False


def need(*programs: str) -> None:
    """Skip the test unless all these programs are found."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        pytest.skip(f"not found: {', '.join(missing)}; `make test` unpacks them")


@contextmanager
def prometheus(
    folder: Path,
    configuration: Mapping[str, Any],
    arguments: Sequence[str] = (),
    under: Sequence[str] = (),
    fetch: Fetch = fetch,
    *,
    program: str = "prometheus",
) -> Iterator[Prometheus]:
    """Run a Prometheus with its files in `folder`; yield the server once ready.

    Relative paths in `configuration` begin at `folder`. `under` is a prefix of the command line that enters a network
    namespace, and `fetch` gets pages from there.
    """
    need(program)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(configuration), sort_keys=False))
    port = free_port()
    own = (
        program, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
    )  # fmt: skip
    with running([*under, *own, *arguments], folder, "prometheus.log") as process:
        started = Prometheus(f"http://127.0.0.1:{port}", folder, process, fetch)
        until(
            lambda: answers(process, folder / "prometheus.log", f"{started.url}/-/ready", fetch), "Prometheus is ready"
        )
        yield started


@contextmanager
def running(command: Sequence[str], folder: Path, log: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a folder with its log there; leaving the context terminates the program."""
    with (folder / log).open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)
