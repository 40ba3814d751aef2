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


def _nothing() -> NDArray[Any]:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One metric with all series at one moment.

    `name` is the name in queries, so a counter's name ends in ``_total``. `labels` holds one tuple of label values for
    each of the n series, in the order of `label_names`, without duplicates; a metric without labels has the single
    series ``()``.

    A counter or gauge has `values`, shape (n,), any integer dtype or float64.
    A histogram has `bounds`, its upper bounds in base units, ascending, > 0, without +Inf; `buckets`, shape
    (n, len(bounds) + 1), an integer dtype, each observation in one bucket only (not cumulative), the last one
    the overflow; and `sums`, shape (n,), float64, base units.
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
