# SPDX-License-Identifier: Apache-2.0
"""Varints of Protocol Buffers: arrays of numbers as bytes, without a Python step a number.

`protobuf_page` calls it. Source: protobuf.dev, "Encoding": seven bits a byte, the lowest first, the top bit set on all
bytes but the last; a signed number is zigzag-encoded first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray

_LIMITS = np.array([1 << bits for bits in range(7, 64, 7)], np.uint64)
"""From each of these numbers on, a varint is one byte longer."""


def varint(number: int) -> bytes:
    """Return one number, 0 or more, as a varint."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def lengths(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return how many bytes each varint takes: `numbers` shape (n,), dtype uint64; result dtype intp."""
    return np.searchsorted(_LIMITS, numbers, side="right") + 1


def write(out: NDArray[Any], at: NDArray[Any], numbers: NDArray[Any], sizes: NDArray[Any]) -> None:
    """Write varints into `out`, dtype uint8, at the offsets `at`; `sizes` are their `lengths`. All of shape (n,)."""
    for byte in range(int(sizes.max(initial=0))):
        there = sizes > byte
        low = (numbers[there] >> np.uint64(7 * byte)) & np.uint64(0x7F)
        out[at[there] + byte] = low.astype(np.uint8) | (sizes[there] > byte + 1).astype(np.uint8) << 7


def encode(numbers: NDArray[Any]) -> tuple[bytes, NDArray[Any]]:
    """Return the varints of `numbers`, shape (n,), dtype uint64, end to end, and their offsets, shape (n + 1,)."""
    sizes = lengths(numbers)
    offsets = starts_of(sizes)
    out = np.empty(int(offsets[-1]), np.uint8)
    write(out, offsets[:-1], numbers, sizes)
    return out.tobytes(), offsets


def starts_of(sizes: NDArray[Any]) -> NDArray[Any]:
    """Return where each of adjoining parts starts, and the end of the last: shape (n + 1,)."""
    starts = np.zeros(len(sizes) + 1, np.intp)
    np.cumsum(sizes, out=starts[1:])
    return starts


def zigzag(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return signed numbers, dtype int64, as unsigned ones: 0, -1, 1, -2 become 0, 1, 2, 3."""
    encoded: NDArray[Any] = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    return encoded
