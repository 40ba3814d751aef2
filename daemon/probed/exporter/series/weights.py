# SPDX-License-Identifier: Apache-2.0
"""Weights of events: how many events of the kernel each of a batch stands for.

`weighted_events` makes them, `table` and `values` count by them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray
from probed.frozen import frozen


@frozen
class Weights:
    """`times` of each event, shape (n,), dtype int64.

    An entry of an overflow map has one rounded value for all its events, in the member at `observed`, an offset in the
    events' dtype; `remainders` is the sum of its exact values, less `times` the rounded one. Both shape (n,), int64.
    Of `are_others` only the members are known by which metrics choose events, and the value: they count in `other`.
    """

    times: NDArray[Any]
    observed: NDArray[Any] | None = None
    remainders: NDArray[Any] | None = None
    are_others: bool = False

    def where(self, chosen: NDArray[Any]) -> Weights:
        """Return the weights of some events, `chosen` shape (n,), dtype bool."""
        observed = None if self.observed is None else self.observed[chosen]
        remainders = None if self.remainders is None else self.remainders[chosen]
        return Weights(self.times[chosen], observed, remainders, self.are_others)

    def remainders_of(self, events: NDArray[Any], member: str) -> NDArray[Any]:
        """Return the remainder of a member's sum for each event, shape (n,), dtype int64."""
        if self.observed is None or self.remainders is None:
            return np.zeros(len(events), np.int64)
        assert events.dtype.fields is not None
        return np.where(self.observed == events.dtype.fields[member][1], self.remainders, 0)
