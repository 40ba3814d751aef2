# SPDX-License-Identifier: Apache-2.0
"""The buckets of native histograms: schema by growth factor, index by value, and half the resolution.

Pure functions for `native_buckets`. Bucket i of schema s holds the values above 2**((i - 1) / 2**s), up to and with
2**(i / 2**s); each schema has half the buckets of the next.
Source: prometheus.io/docs/specs/native_histograms; client_golang prometheus/histogram.go.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray


def values_of(observed: NDArray[Any], unit: float) -> NDArray[Any]:
    """Return whole numbers, dtype int64, in units of `unit` as base units, dtype float64, rounded once.

    So 500,000,000 ns are exactly 0.5 s, the bound of a bucket.
    """
    values: NDArray[Any] = observed / round(1 / unit) if unit < 1 else observed * unit
    return values


def indexes(values: NDArray[Any], schema: int) -> NDArray[Any]:
    """Return the bucket of each value above 0, shape (n,), dtype int64."""
    fractions, exponents = np.frexp(values)  # fraction * 2**exponent, a fraction from 0.5 to below 1
    exponents = exponents.astype(np.int64)
    if schema > 0:
        bounds = 0.5 * np.exp2(np.arange(1 << schema) / (1 << schema))
        found: NDArray[Any] = np.searchsorted(bounds, fractions) + (exponents - 1 << schema)
        return found
    return coarser(exponents - (fractions == 0.5), np.int64(-schema))


def coarser(of: NDArray[Any], halvings: Any) -> NDArray[Any]:
    """Return the indexes after so many halvings of the resolution: each is half of the index, rounded up."""
    result: NDArray[Any] = -(-of >> halvings)
    return result
