# SPDX-License-Identifier: Apache-2.0
"""The buckets of native histograms: schema by growth factor, index by value, and half the resolution.

Pure functions for `native_buckets`. Bucket i of schema s holds the values above 2**((i - 1) / 2**s), up to and with
2**(i / 2**s); each schema has half the buckets of the next.
Source: prometheus.io/docs/specs/native_histograms; client_golang prometheus/histogram.go.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray

_MANTISSA_BITS = 52
_MANTISSA = (1 << _MANTISSA_BITS) - 1
_EXPONENT_OF_1 = 1023
"""IEEE 754-2019, 3.6, binary64."""


def values_of(observed: NDArray[Any], unit: float) -> NDArray[Any]:
    """Return whole numbers, dtype int64, in units of `unit` as base units, dtype float64, rounded once.

    So 500,000,000 ns are exactly 0.5 s, the bound of a bucket.
    """
    values: NDArray[Any] = observed / round(1 / unit) if unit < 1 else observed * unit
    return values


def indexes(values: NDArray[Any], schema: int) -> NDArray[Any]:
    """Return the bucket of each value above 0, a normal float64, shape (n,): dtype int64."""
    bits = values.view(np.int64)
    mantissas, exponents = bits & _MANTISSA, (bits >> _MANTISSA_BITS) - _EXPONENT_OF_1
    if schema <= 0:
        return coarser(exponents + (mantissas > 0), np.int64(-schema))
    below, bounds = _octave(schema)
    cells = mantissas >> _MANTISSA_BITS - schema - 1
    found: NDArray[Any] = below.take(cells)
    found += mantissas > bounds.take(cells)
    exponents <<= schema
    found += exponents
    return found


@cache
def _octave(schema: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Divide the values from 1 to 2 into cells so narrow that each has at most one bound.

    Returns for each cell the number of bounds below the cell, and the mantissa of the bound inside, or a mantissa that
    no value exceeds. A cell finds the bucket of a value in a third of the time of a binary search.
    """
    mantissas = np.exp2(np.arange(1 << schema) / (1 << schema)).view(np.int64) & _MANTISSA
    cells = mantissas >> _MANTISSA_BITS - schema - 1
    below = np.searchsorted(cells, np.arange(2 << schema))
    bounds = np.full(2 << schema, _MANTISSA)
    bounds[cells] = mantissas
    return below, bounds


def coarser(of: NDArray[Any], halvings: Any) -> NDArray[Any]:
    """Return the indexes after so many halvings of the resolution: each is half of the index, rounded up."""
    result: NDArray[Any] = -(-of >> halvings)
    return result
