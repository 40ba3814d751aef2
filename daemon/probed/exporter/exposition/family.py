# SPDX-License-Identifier: Apache-2.0
"""One metric family as numbers and label text, for `renderer`.

The series tables and the self metrics make families. A family is a snapshot; it neither counts nor renders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from probed.exporter.arrays.ndarray import NDArray

FamilyType = Literal["counter", "gauge", "histogram"]

ZERO_THRESHOLD = 2.0**-128
"""Width of a native histogram's zero bucket, as client_golang has it: only 0 is that small here.

A threshold above 0 also tells an empty native histogram from a classic one.
"""


_NOTHING: NDArray[Any] = np.zeros(0)
_NOTHING.flags.writeable = False


def _nothing() -> NDArray[Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class SparseBuckets:
    """Buckets of native histograms that hold observations, by series, then by index.

    Of each bucket the series, counted from 0, the index, and the count; all of shape (k,), counts of dtype uint64.
    Bucket i of schema s holds the values above 2**((i - 1) / 2**s), up to and with 2**(i / 2**s).
    """

    series: NDArray[Any]
    indexes: NDArray[Any]
    counts: NDArray[Any]

    def without(self, left_out: NDArray[Any]) -> SparseBuckets:
        """Return the buckets of all series but some: `left_out`, shape (n,), dtype bool."""
        stays = ~left_out[self.series]
        return SparseBuckets(self.series[stays], self.indexes[stays], self.counts[stays])


@dataclass(frozen=True, slots=True, eq=False)
class NativeHistograms:
    """The native form of a family's n histograms: `schemas` and `zeros` (values of 0) have shape (n,)."""

    schemas: NDArray[Any]
    zeros: NDArray[Any]
    positive: SparseBuckets
    negative: SparseBuckets

    def without(self, left_out: NDArray[Any]) -> NativeHistograms:
        """Return the histograms with some of them at 0: `left_out`, shape (n,), dtype bool."""
        zeros = np.where(left_out, 0, self.zeros)
        return NativeHistograms(self.schemas, zeros, self.positive.without(left_out), self.negative.without(left_out))


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One metric with all series at one moment.

    `name` is the name in queries, so a counter's name ends in ``_total``. `labels` holds one tuple of label values for
    each of the n series, in the order of `label_names`, without duplicates; a metric without labels has the single
    series ``()``.

    A counter or gauge has `values`, shape (n,), any integer dtype or float64.
    A histogram has `bounds`, its upper bounds in base units, ascending, > 0, without +Inf; `buckets`, shape
    (n, len(bounds) + 1), an integer dtype, each observation in one bucket only (not cumulative), the last one
    the overflow; and `sums`, shape (n,), float64, base units. `native` has the same observations in the native form,
    None for a classic histogram; a histogram that is only native has no bounds, so one bucket.
    Counters and histograms may have `starts`, shape (n,): when each series began at 0, in seconds since the epoch.
    """

    name: str
    type: FamilyType
    help: str
    label_names: tuple[str, ...]
    labels: Sequence[tuple[str, ...]]
    values: NDArray[Any] = field(default_factory=_nothing)
    bounds: tuple[float, ...] = ()
    buckets: NDArray[Any] = field(default_factory=_nothing)
    sums: NDArray[Any] = field(default_factory=_nothing)
    native: NativeHistograms | None = None
    starts: NDArray[Any] | None = None

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Names of the samples on the page."""
        if self.type == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        return (self.name,)

    @property
    def openmetrics_name(self) -> str:
        """Name of the family in OpenMetrics, where only a counter's sample has the suffix ``_total``."""
        return self.name.removesuffix("_total") if self.type == "counter" else self.name

    @property
    def created_name(self) -> str:
        """Name of the samples with start timestamps in OpenMetrics."""
        return f"{self.openmetrics_name}_created"
