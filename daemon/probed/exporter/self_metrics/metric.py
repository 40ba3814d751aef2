# SPDX-License-Identifier: Apache-2.0
"""A self metric as a row of a table: name, type, labels, unit, help, reader.

The tables (`METRICS` in the other modules here) make the families at each scrape and the reference in docs/metrics.md.
Names follow https://prometheus.io/docs/practices/naming/ and /docs/instrumenting/writing_exporters/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from probed.exporter.exposition.family import Family, FamilyType

T = TypeVar("T")

Samples = Mapping[tuple[str, ...], float]
"""Values by label values, in the order of the metric's labels; ``()`` for a metric without labels."""


@dataclass(frozen=True, slots=True)
class SelfMetric(Generic[T]):
    """One self metric, read from a T. `unit` and `changes` (the occasion of a new value) are for the reference.

    `read` returns None when the page has no such family.
    """

    name: str
    type: FamilyType
    labels: tuple[str, ...]
    unit: str
    help: str
    changes: str
    read: Callable[[T], Samples | None]

    def family(self, source: T) -> Family | None:
        """Return the family of this moment, or None."""
        samples = self.read(source)
        if samples is None:
            return None
        return Family(self.name, self.type, self.help, self.labels, list(samples), np.array(list(samples.values())))


def families(metrics: Iterable[SelfMetric[T]], source: T) -> list[Family]:
    """Return the families of a table, in its order."""
    return [family for metric in metrics if (family := metric.family(source)) is not None]


AnyMetric = SelfMetric[Any]
