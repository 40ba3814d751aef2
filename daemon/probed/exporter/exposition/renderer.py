# SPDX-License-Identifier: Apache-2.0
"""The page: families as bytes, in the text format 0.0.4 and in OpenMetrics 1.0.0.

The HTTP application renders one page for each scrape. The output equals that of prometheus_client's `generate_latest`
byte for byte (a test compares both), at a third to a tenth of the cost: name and escaped labels of a series are kept
while the series exists, and only numbers are formatted anew. Series, their order and the format are decided elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from prometheus_client.utils import floatToGoString

from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.exposition.family import Family, FamilyType

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


class _Known(NamedTuple):
    """The series of one family on the last page, and the text before their values."""

    labels: tuple[tuple[str, ...], ...]
    prefixes: list[_Prefix]


_NOTHING = _Known((), [])


class Page:
    """Renders families, and keeps the label text of the last page's series. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_Key, _Known] = {}

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
            known: dict[_Key, _Known] = {}
            parts: list[bytes] = []
            for family in families:
                key = (family.name, family.type, family.label_names)
                before = self._known.get(key, _NOTHING)
                if names is not None and names.isdisjoint(_names(family)):
                    known[key] = before
                    continue
                known[key] = now = _known_now(family, before)
                texts: Iterable[str] = _samples(family, now.prefixes, openmetrics and created)
                if names is not None:
                    texts = _chosen(family, texts, names)
                    if not texts:
                        continue
                name = family.openmetrics_name if openmetrics else family.name
                parts.append(_head(name, family.type, family.help, openmetrics))
                # Encoded part by part, so the page's lines are never in memory together, and one wide character does
                # not widen all of them.
                parts += [text.encode() for text in texts]
            self._known = known
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts)


def _known_now(family: Family, before: _Known) -> _Known:
    """Return a family's series with the text before their values, from the last page where the labels are the same."""
    labels = tuple(family.labels)
    if labels == before.labels:
        return before
    make = _histogram_prefix if family.type == "histogram" else _prefix
    known = dict(zip(before.labels, before.prefixes, strict=True))
    return _Known(labels, [known.get(each) or make(family, each) for each in labels])


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


def _samples(family: Family, every: list[_Prefix], created: bool) -> Iterator[str]:
    """Yield the lines of `SERIES_AT_ONCE` series at a time, with start timestamps if `created`."""
    lines = _histogram_lines if family.type == "histogram" else _lines
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


@lru_cache(maxsize=1024)
def _head(name: str, kind: FamilyType, text: str, openmetrics: bool) -> bytes:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()


def _own_names(family: Family) -> set[str]:
    """Return the names that stand for the whole family."""
    return {family.name, family.openmetrics_name}


def _names(family: Family) -> set[str]:
    return {*_own_names(family), *family.sample_names, family.created_name}


def _chosen(family: Family, texts: Iterable[str], names: frozenset[str]) -> list[str]:
    """Return the lines of samples with these names; all if one is the family's."""
    if not names.isdisjoint(_own_names(family)):
        return list(texts)
    # Label values hold no raw newline, but may hold other characters at which splitlines() splits.
    lines = [line for text in texts for line in text.split("\n")[:-1]]
    return [f"{line}\n" for line in lines if line.split(" ", 1)[0].split("{", 1)[0] in names]
