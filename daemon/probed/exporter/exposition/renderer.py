# SPDX-License-Identifier: Apache-2.0
"""The page: families as bytes, in the text format 0.0.4 and in OpenMetrics 1.0.0.

The HTTP application renders one page for each scrape. The output equals that of prometheus_client's `generate_latest`
byte for byte (a test compares both), at a third to a tenth of the cost: name and escaped labels of a series are kept
while the series exists, and only numbers are formatted anew. Series, their order and the format are decided elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from prometheus_client.utils import floatToGoString

from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.exposition.family import Family

_PLAIN = 1_000_000
"""From here on prometheus_client writes an exponent, as Go does; a smaller integer n is ``n.0``."""

_go_text: Callable[[float], str] = floatToGoString

SERIES_AT_ONCE = 128
"""Series rendered together: enough for speed, few enough for a page of megabytes to leave no hole in the heap."""

_Key = tuple[str, str, tuple[str, ...]]


class _Prefix(NamedTuple):
    """Text before the values of one series; `sample` comes before a histogram's sum."""

    sample: str
    bucket_head: str = ""
    bucket_tail: str = ""
    counted: str = ""


_Prefixes = dict[tuple[str, ...], _Prefix]


class Page:
    """Renders families, and keeps the label text of the last page's series. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_Key, _Prefixes] = {}

    def render(
        self,
        families: Iterable[Family],
        *,
        openmetrics: bool = False,
        created: bool = False,
        names: frozenset[str] | None = None,
    ) -> bytes:
        """Return the page, UTF-8; in OpenMetrics if requested, and there with start timestamps if `created`.

        `names` restricts the page to samples of these names, like prometheus_client's `restricted_registry`; a
        family's name includes all samples. Families without remaining series are then left out. Raises
        UnicodeEncodeError when a label holds a lone surrogate.
        """
        with self._lock:
            known: dict[_Key, _Prefixes] = {}
            # Encoded part by part, so the page's lines are never in memory together, and one wide character does not
            # widen all of them.
            head = partial(_head, openmetrics=openmetrics)
            samples = partial(_samples, created=openmetrics and created)
            texts = (text for family in families for text in self._family(family, known, head, samples, names))
            parts = [text.encode() for text in texts]
            self._known = known
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts)

    def _family(
        self,
        family: Family,
        known: dict[_Key, _Prefixes],
        head: Callable[[Family], str],
        samples: Callable[[Family, _Prefixes], Iterator[str]],
        names: frozenset[str] | None,
    ) -> Iterator[str]:
        key = (family.name, family.type, family.label_names)
        before = self._known.get(key, {})
        own = {family.name, family.openmetrics_name}
        if names is not None and names.isdisjoint({*own, *family.sample_names, family.created_name}):
            known[key] = before
            return
        known[key] = prefixes = _prefixes(family, before)
        if names is None:
            yield head(family)
            yield from samples(family, prefixes)
            return
        lines = "".join(samples(family, prefixes))
        if names.isdisjoint(own):
            lines = _only(lines, names)
        if lines:
            yield head(family) + lines


def _prefixes(family: Family, before: _Prefixes) -> _Prefixes:
    make = _histogram_prefix if family.type == "histogram" else _prefix
    return {labels: before.get(labels) or make(family, labels) for labels in family.labels}


def _prefix(family: Family, labels: tuple[str, ...]) -> _Prefix:
    return _Prefix(f"{family.name}{_braced(_pairs(family, labels))} ")


def _histogram_prefix(family: Family, labels: tuple[str, ...]) -> _Prefix:
    pairs = _pairs(family, labels)
    # prometheus_client sorts `le` among the other labels.
    at = sum(name < "le" for name in family.label_names)
    return _Prefix(
        sample=f"{family.name}_sum{_braced(pairs)} ",
        bucket_head=f"{family.name}_bucket{{" + "".join(f"{pair}," for pair in pairs[:at]) + 'le="',
        bucket_tail='"' + "".join(f",{pair}" for pair in pairs[at:]) + "} ",
        counted=f"{family.name}_count{_braced(pairs)} ",
    )


def _pairs(family: Family, labels: tuple[str, ...]) -> list[str]:
    pairs = sorted(zip(family.label_names, labels, strict=True))
    return [f'{name}="{_escape(value)}"' for name, value in pairs]


def _braced(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _samples(family: Family, prefixes: _Prefixes, created: bool) -> Iterator[str]:
    """Yield the lines of `SERIES_AT_ONCE` series at a time, with start timestamps if `created`."""
    lines = _histogram_lines if family.type == "histogram" else _lines
    every = list(prefixes.values())
    for start in range(0, len(every), SERIES_AT_ONCE):
        rows = slice(start, start + SERIES_AT_ONCE)
        of_series = lines(family, rows, every[rows])
        yield "".join(_with_starts(family, rows, every[rows], of_series) if created else of_series)


def _with_starts(family: Family, rows: slice, prefixes: list[_Prefix], of_series: list[str]) -> list[str]:
    """Return the lines of each series and the line of the start, where there is one."""
    if family.starts is None:
        return of_series
    skip = len(f"{family.name}_sum" if family.type == "histogram" else family.name)
    return [
        f"{lines}{family.created_name}{prefix.sample[skip:]}{_go_text(start)}\n" if start else lines
        for lines, prefix, start in zip(of_series, prefixes, family.starts[rows].tolist(), strict=True)
    ]


def _lines(family: Family, rows: slice, prefixes: list[_Prefix]) -> list[str]:
    texts = _texts(family.values[rows])
    return [f"{prefix.sample}{text}\n" for prefix, text in zip(prefixes, texts, strict=True)]


def _histogram_lines(family: Family, rows: slice, prefixes: list[_Prefix]) -> list[str]:
    bounds = [*map(_go_text, family.bounds), "+Inf"]
    counts = _texts(np.cumsum(family.buckets[rows], axis=1).ravel())
    sums = _texts(family.sums[rows])
    lines: list[str] = []
    for row, (total, (sample, head, tail, counted)) in enumerate(zip(sums, prefixes, strict=True)):
        texts = counts[row * len(bounds) : (row + 1) * len(bounds)]
        of_buckets = "".join([f"{head}{bound}{tail}{text}\n" for bound, text in zip(bounds, texts, strict=True)])
        lines.append(f"{of_buckets}{counted}{texts[-1]}\n{sample}{total}\n")
    return lines


def _texts(values: NDArray[Any]) -> list[str]:
    """Format numbers like prometheus_client, with a shortcut for small ones."""
    if values.dtype.kind == "f":
        return [repr(n) if -_PLAIN < n < _PLAIN else _go_text(n) for n in values.tolist()]
    return [f"{n}.0" if -_PLAIN < n < _PLAIN else _go_text(n) for n in values.tolist()]


def _head(family: Family, openmetrics: bool) -> str:
    name = family.openmetrics_name if openmetrics else family.name
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n"


def _only(samples: str, names: frozenset[str]) -> str:
    # Label values hold no raw newline, but may hold other characters at which splitlines() splits.
    lines = samples.split("\n")[:-1]
    return "".join(f"{line}\n" for line in lines if line.split(" ", 1)[0].split("{", 1)[0] in names)
