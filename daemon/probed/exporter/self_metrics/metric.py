# SPDX-License-Identifier: Apache-2.0
"""A self metric as a row of a table: name, type, labels, unit, help, reader.

The tables (`METRICS` in the other modules here) make the families at each scrape and the reference in docs/metrics.md.
Names follow https://prometheus.io/docs/practices/naming/ and /docs/instrumenting/writing_exporters/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from probed.exporter.exposition.family import Family, FamilyType
from probed.frozen import frozen

T = TypeVar("T")

Samples = Mapping[tuple[str, ...], float]
"""Values by label values, in the order of the metric's labels; ``()`` for a metric without labels."""


@frozen
class ProcessStarts:
    """Starts of the processes with counters in their memory, in seconds since the epoch (0: unknown)."""

    exporter: float = 0.0
    supervisor: float = 0.0


@frozen
class SelfMetric(Generic[T]):
    """One self metric, read from a T. `unit` and `changes` (the occasion of a new value) are for the reference.

    `read` returns None when the page has no such family. A counter has `since`: the time at which the series with some
    label values was 0, in seconds since the epoch (0: unknown).
    """

    name: str
    type: FamilyType
    labels: tuple[str, ...]
    unit: str
    help: str
    changes: str
    read: Callable[[T], Samples | None]
    since: Callable[[T, tuple[str, ...]], float] | None = None

    def family(self, source: T) -> Family | None:
        """Return the family of this moment, or None."""
        samples = self.read(source)
        if samples is None:
            return None
        since = self.since
        starts = np.array([since(source, labels) for labels in samples], np.float64) if since else None
        values = np.array(list(samples.values()))
        return Family(self.name, self.type, self.help, self.labels, list(samples), values, starts=starts)


def families(metrics: Iterable[SelfMetric[T]], source: T) -> list[Family]:
    """Return the families of a table, in its order."""
    return [family for metric in metrics if (family := metric.family(source)) is not None]


AnyMetric = SelfMetric[Any]
