# SPDX-License-Identifier: Apache-2.0
"""The forms of a histogram: classic buckets with declared bounds, native ones with a growth factor, or both. Pure.

`declaration` and `overrides` use the options; `resolve` takes the schema for the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2
from typing import Annotated, Final, Literal

from probed.schema.structure import Given, Key, Rule

HistogramForm = Literal["both", "classic", "native"]

FINEST_SCHEMA: Final = 8
COARSEST_SCHEMA: Final = -4
MAX_FACTOR: Final = 65536.0
"""Growth of the coarsest schema's buckets."""


def _factor(factor: float) -> float:
    if not 1 < factor <= MAX_FACTOR:
        raise ValueError(f"expected a factor above 1, up to {MAX_FACTOR:g}, found {factor:g}; 1.1 would do")
    return factor


Factor = Annotated[float, Rule(_factor, {"exclusiveMinimum": 1, "maximum": MAX_FACTOR})]


@dataclass(frozen=True, slots=True)
class NativeOptions:
    """The native form of a histogram."""

    at: Given[Key]
    factor: Annotated[Factor, "The most by which a bucket's bound exceeds the bound before, such as 1.1."]

    @property
    def schema(self) -> int:
        """The coarsest schema with such a growth, 2**(2**-schema); the finest one for a smaller factor.

        Source: client_golang prometheus/histogram.go, `pickSchema`.
        """
        return min(-floor(log2(log2(self.factor))), FINEST_SCHEMA)
