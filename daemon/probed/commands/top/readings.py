# SPDX-License-Identifier: Apache-2.0
"""Values and start timestamps of one page, and the increase of counters between two pages. Pure.

A series that a page lacks began after this page, because clients other than scrapers get the exact page. A counter that
begins anew has another start timestamp, or, without start timestamps, a lower value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import NamedTuple

from probed.client.metrics_page import PageSeries, parse_series, samples
from probed.errors import HostError
from probed.frozen import frozen

EXECS = "probed_process_execs_total"
FORKS = "probed_process_forks_total"
FORK_FAILURES = "probed_process_fork_failures_total"
EXEC_FAILURES = "probed_process_exec_failures_total"
LIVES = "probed_process_lifetime_seconds_count"
LIVES_BY_LENGTH = "probed_process_lifetime_seconds_bucket"
LIFE_STARTS = "probed_process_lifetime_seconds_created"
OPENS = "probed_opens_total"
OPEN_FAILURES = "probed_open_failures_total"
SYSCALLS = "probed_syscalls_total"
SYSCALL_FAILURES = "probed_syscall_failures_total"
LOST_EVENTS = "probed_events_lost_total"
LOST_NOTES = "probed_notes_lost_total"
MISSED_RUNS = "probed_probe_missed_runs_total"
UNACCOUNTED = "probed_events_unaccounted"
PROBE_UP = "probed_probe_up"
BUILD = "probed_build_info"

REQUESTED = (
    *(EXECS, FORKS, FORK_FAILURES, EXEC_FAILURES, LIVES, LIVES_BY_LENGTH, LIFE_STARTS, OPENS, OPEN_FAILURES),
    *(SYSCALLS, SYSCALL_FAILURES, LOST_EVENTS, LOST_NOTES, MISSED_RUNS, UNACCOUNTED, PROBE_UP, BUILD),
)
"""Names of the samples that the command reads."""

SHORT_LIFE = 1.0
"""Seconds. Shorter lives count as short, as in the alert ShortLivedProcessStorm."""

_SUFFIXES = ("_total", "_bucket", "_count")
_STARTS = "_created"
_BOUND = "le"


@frozen
class Reading:
    """The samples of one page.

    `sent` is the time of the request in seconds since the epoch. `moment`, on the monotonic clock, is the middle
    between request and answer.
    `starts` has the time at which a counter was 0, by the name of the start's sample and the labels.
    """

    sent: float
    moment: float
    values: dict[PageSeries, float] = field(default_factory=dict)
    starts: dict[PageSeries, float] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def of(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        """Yield labels and value of each series of a name."""
        for series, value in self.values.items():
            if series.name == name:
                yield dict(series.labels), value


class _Sample(NamedTuple):
    """A series of a page; `bound` is the upper bound of a bucket, 0 for other samples."""

    series: PageSeries
    bound: float


class PageParser:
    """Parses pages; keeps the parsed names and labels of the last page, because most series stay."""

    def __init__(self) -> None:
        self._known: dict[str, _Sample] = {}

    def parse(self, page: str, sent: float, moment: float) -> Reading:
        """Return the samples of a page in OpenMetrics. Raises HostError for another text.

        Of the buckets only those of short lives are kept: most lines of a page are buckets.
        """
        before, self._known = self._known, {}
        found = []
        for text, value in samples(page):
            self._known[text] = sample = before.get(text) or _sample(parse_series(text))
            found.append((sample, value))
        short = max((sample.bound for sample in self._known.values() if sample.bound <= SHORT_LIFE), default=0.0)
        values: dict[PageSeries, float] = {}
        starts: dict[PageSeries, float] = {}
        for (series, bound), value in found:
            if bound in (0.0, short):
                (starts if series.name.endswith(_STARTS) else values)[series] = value
        names = frozenset(series.name for series in values)
        if BUILD not in names:
            raise HostError(
                f"the page has no {BUILD}, so probed does not serve it; name the daemon's address with "
                "--web.listen-address"
            )
        return Reading(sent, moment, values, starts, names)


def _sample(series: PageSeries) -> _Sample:
    bound = dict(series.labels).get(_BOUND, "0")
    try:
        return _Sample(series, float(bound))
    except ValueError:
        raise HostError(f"a bucket of {series.name} has no number as its bound, but '{bound}'") from None


def increase(series: PageSeries, before: Reading, after: Reading) -> float:
    """Return the events of a counter's series between two pages, never below 0."""
    value, start = after.values[series], after.starts.get(_start_of(series))
    known = before.values.get(series)
    if known is None:
        began = series.name in before.names or (start is not None and start >= before.sent)
        return value if began else 0.0
    begun_anew = value < known or start != before.starts.get(_start_of(series))
    return value if begun_anew else value - known


def _start_of(series: PageSeries) -> PageSeries:
    name = next((series.name.removesuffix(each) for each in _SUFFIXES if series.name.endswith(each)), series.name)
    return PageSeries(name + _STARTS, tuple(label for label in series.labels if label[0] != _BOUND))
