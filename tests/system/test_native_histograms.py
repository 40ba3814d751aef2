# SPDX-License-Identifier: Apache-2.0
"""Real Prometheus servers take native histograms of known values: every count, sum, bucket and quantile.

The servers are Debian's (2.42, with the flag) and those that the environment variable PROBED_PROMETHEUS names, such as
a Prometheus 3 from a later Debian.
"""

from __future__ import annotations

import bisect
import math
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
import yaml

from support.kernel_fixtures import OWN_PROBES
from support.monitoring.prometheus_server import NativeSample, Prometheus, prometheus
from support.running_daemon import PROBES, ROOT, SHIPPED, Daemon, site, until
from support.workload_programs import Install

KNOWN = 20_011
"""Lifetimes, and observed values."""

SERVERS = ("prometheus", *os.environ.get("PROBED_PROMETHEUS", "").split())
NATIVE = ("--enable-feature=native-histograms",)
LIFETIME = "probed_process_lifetime_seconds"
SCHEMA = 3
FACTOR = 2 ** (2**-SCHEMA)
MOST_BUCKETS = 160
QUANTILES = (0.01, 0.25, 0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Scraped:
    """A daemon, the servers that scrape its native histograms, and one that scrapes the text."""

    daemon: Daemon
    servers: Sequence[Prometheus]
    classic: Prometheus

    def wait_for(self, count: int, expression: str) -> None:
        """Wait until all servers have so many observations."""
        for server in self.servers:
            has = f"histogram_count({expression})"
            until(partial(_is, server, has, count), f"{expression} has {count} observations")


@contextmanager
def scraped(folder: Path, configuration: dict[str, object]) -> Iterator[Scraped]:
    with ExitStack() as running:
        daemon = running.enter_context(Daemon(folder, configuration)).wait_until_ready()
        until(lambda: daemon.scrape().by("probe", "probed_probe_up").get("observed") == 1, "the test's probe is up")
        targets = [{"targets": [f"127.0.0.1:{daemon.port}"]}]
        job = {"job_name": "probed", "scrape_interval": "1s", "static_configs": targets}
        servers = [
            running.enter_context(
                prometheus(folder / f"server-{number}", {"scrape_configs": [job]}, NATIVE, program=program)
            ).wait_until_scraped()
            for number, program in enumerate(SERVERS)
        ]
        classic = running.enter_context(prometheus(folder / "classic", {"scrape_configs": [job]}))
        yield Scraped(daemon, servers, classic.wait_until_scraped())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """The shipped probes, and the probe that observes the test's values."""
    probes = {**SHIPPED, "observed": None}
    with scraped(tmp_path_factory.mktemp("both"), site(probes, [PROBES, OWN_PROBES])) as running:
        yield running


def one(server: Prometheus, expression: str) -> NativeSample:
    """Return the only native histogram of an expression."""
    (sample,) = server.native(expression)
    return sample


def _is(server: Prometheus, expression: str, value: float) -> bool:
    return server.value(expression) == value


def index_of(nanoseconds: int, schema: int) -> int:
    """Return the least i with value <= 2**(i / 2**schema), in whole numbers."""
    power: Fraction = Fraction(nanoseconds, 10**9) ** (1 << schema)
    index = math.floor(math.log2(nanoseconds / 1e9) * (1 << schema)) - 1
    while power > Fraction(2) ** index:
        index += 1
    return index


def bounds_of(index: int, schema: int) -> tuple[float, float]:
    return 2 ** ((index - 1) / 2**schema), 2 ** (index / 2**schema)


def assert_buckets(sample: NativeSample, expected: dict[tuple[float, float], int]) -> None:
    found = {bounds: count for bounds, count in sample.buckets.items() if count}
    assert sorted(found.values()) == sorted(expected.values())
    for (low, high), count in zip(sorted(expected), (expected[bounds] for bounds in sorted(expected)), strict=True):
        (near,) = [bounds for bounds in found if bounds == pytest.approx((low, high), rel=1e-9)]
        assert found[near] == count


def quantile(values: Sequence[int], q: float) -> float:
    """Return the value in seconds at a rank, as histogram_quantile ranks."""
    return sorted(values)[min(max(math.ceil(q * len(values)), 1), len(values)) - 1] / 1e9


Spread = Callable[[int], int]
SPREADS: dict[str, tuple[Spread, int]] = {
    "of nineteen octaves": (lambda number: round(1000 * 2 ** (19 * number / KNOWN)), SCHEMA),
    "of sixty octaves": (lambda number: round(2 ** (60 * number / KNOWN)), 1),
    "bounds of buckets": (lambda number: 5**9 << number % 25, SCHEMA),
}
"""The n-th value in nanoseconds, and the schema of the finest resolution with at most 160 buckets."""


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("metric", ["probed_observed_seconds", "probed_observed_native_seconds"])
def test_prometheus_has_every_bucket_of_known_values(both: Scraped, install: Install, spread: str, metric: str) -> None:
    value, schema = SPREADS[spread]
    values = [value(number) for number in range(KNOWN)]
    program = install("observes")
    subprocess.run([program], input="\n".join(map(str, values)), text=True, check=True)
    series = f'{metric}{{comm="{program.name}"}}'
    both.wait_for(KNOWN, series)
    indexes = Counter(index_of(nanoseconds, schema) for nanoseconds in values)
    assert len(indexes) <= MOST_BUCKETS
    expected = {bounds_of(index, schema): count for index, count in indexes.items()}
    for server in both.servers:
        sample = one(server, series)
        assert sample.count == KNOWN
        assert sample.sum == pytest.approx(sum(values) / 1e9, rel=1e-12)
        assert_buckets(sample, expected)
        for q in QUANTILES:
            exact, width = quantile(values, q), 2 ** (2**-schema)
            assert exact / width <= server.value(f"histogram_quantile({q}, {series})") <= exact * width


def test_prometheus_has_every_known_lifetime(both: Scraped, install: Install) -> None:
    """A bucket's cumulative count is between the lifetimes surely below its bound and those possibly below."""
    program = install("known_lives")
    running = subprocess.Popen(
        [program, str(KNOWN), "50", "1.0003"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    lives = [(int(least), int(most)) for least, most in (running.stdout.readline().split() for _ in range(KNOWN))]
    series = f'{LIFETIME}{{comm="{program.name}"}}'
    both.wait_for(KNOWN, series)
    least, most = sorted(life[0] / 1e9 for life in lives), sorted(life[1] / 1e9 for life in lives)
    page = both.daemon.scrape()
    for server in both.servers:
        sample = one(server, series)
        assert sample.count == KNOWN == sum(sample.buckets.values())
        assert sum(least) <= sample.sum <= sum(most)
        assert sample.sum == page.total(f"{LIFETIME}_sum", comm=program.name)
        below = 0.0
        for (_, high), count in sorted(sample.buckets.items()):
            below += count
            assert bisect.bisect_right(most, high) <= below <= bisect.bisect_right(least, high)
        for q in QUANTILES:
            rank = min(max(math.ceil(q * KNOWN), 1), KNOWN) - 1
            found = server.value(f"histogram_quantile({q}, {series})")
            assert least[rank] / FACTOR <= found <= most[rank] * FACTOR
    running.communicate()


SAMPLES = 21
"""Samples of a series, between which an interval is less than the tolerance."""


def rules_of_lifetimes() -> dict[str, str]:
    """Return the recording rules that read lifetimes, over ten minutes instead of one or five."""
    document = yaml.safe_load((ROOT / "deploy/prometheus/rules/probed-recording.yml").read_text())
    rules = {rule["record"]: rule["expr"] for group in document["groups"] for rule in group["rules"]}
    return {
        name: re.sub(r"\[[15]m\]", "[10m]", expression) for name, expression in rules.items() if LIFETIME in expression
    }


@pytest.mark.parametrize("rule", rules_of_lifetimes())
def test_a_rule_has_the_same_series_from_either_form(both: Scraped, install: Install, rule: str) -> None:
    """Rates of the same lifetimes differ only by the times of the scrapes.

    rate() extrapolates by up to half an interval at both ends, and for native histograms also before a first 0.
    """
    program = install("lives")
    killed = [subprocess.Popen([program, "100000"]) for _ in range(101)]
    for process in killed:
        process.kill()
    assert [process.wait() for process in killed] == [-signal.SIGKILL] * 101
    ended = f'{LIFETIME}{{comm="{program.name}", exit="signal"}}'
    both.wait_for(101, ended)
    count = f'{LIFETIME}_count{{comm="{program.name}", exit="signal"}}'
    until(lambda: both.classic.value(count) == 101, "the text scrape has all ends")
    own = "unit" if rule.startswith("unit:") else "comm"
    units = {sample.labels["unit"] for sample in both.classic.query(count)}
    wanted = units if own == "unit" else {program.name}
    servers = (both.classic, *both.servers)
    forms = [count, *(ended for _ in both.servers)]

    def samples() -> list[float]:
        pairs = zip(servers, forms, strict=True)
        return [server.value(f"count_over_time({series}[10m])") for server, series in pairs]

    until(lambda: min(samples()) >= SAMPLES, "there are enough samples")
    found = [
        {sample.labels["unit"]: sample.value for sample in server.query(rules_of_lifetimes()[rule])
         if sample.labels[own] in wanted}
        for server in servers
    ]  # fmt: skip
    assert found[0].keys() == units
    for each in found[1:]:
        assert each == pytest.approx(found[0], rel=0.2)


def test_a_text_scrape_has_the_classic_form(both: Scraped, install: Install) -> None:
    program = install("observes")
    subprocess.run([program], input="1000 2000000 500000000 500000001", text=True, check=True)
    page = both.daemon.scrape()
    classic = page.by("le", "probed_observed_seconds_bucket", comm=program.name)
    assert classic == {"0.001": 1, "0.5": 3, "+Inf": 4}
    assert page.by("le", "probed_observed_native_seconds_bucket", comm=program.name) == {"+Inf": 4}
    assert page.value("probed_observed_native_seconds_sum", comm=program.name) == pytest.approx(1.002001001)
