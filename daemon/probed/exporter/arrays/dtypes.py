# SPDX-License-Identifier: Apache-2.0
"""From a C layout to numpy: dtypes of records, and label columns as 64-bit words for comparison. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray
from probed.ipc.manifest import Field, Record

HEADER_BYTES = 8
"""Before every event of a ring: u32 length with its flags, u32 page offset. Linux kernel/bpf/ringbuf.c."""

_TYPES = {
    "u8": "u1",
    "u16": "<u2",
    "u32": "<u4",
    "u64": "<u8",
    "s8": "i1",
    "s16": "<i2",
    "s32": "<i4",
    "s64": "<i8",
}


def _format(field: Field) -> str:
    return f"V{field.size}" if field.is_bytes else _TYPES[field.type]


def dtype(record: Record) -> np.dtype[np.void]:
    """Return the structured dtype of a C struct, itemsize `record.size`; arrays are opaque bytes."""
    names = [field.name for field in record.fields]
    formats = [_format(field) for field in record.fields]
    offsets = [field.offset for field in record.fields]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": record.size})


def chosen(records: NDArray[Any], which: Any) -> NDArray[Any]:
    """Return a copy of the records at an index array, mask or slice, shape (n,).

    The copy has the bytes between members too, which numpy leaves unset in a copy of structured records. A key of a
    kernel map without them is another key.
    """
    raw = records.view(f"V{records.dtype.itemsize}")
    picked: NDArray[Any] = raw[which].copy().view(records.dtype)
    return picked


def ring_dtype(event: Record) -> np.dtype[np.void]:
    """Return the dtype of one record in the ring: ``length``, then the event's fields; itemsize is the stride."""
    stride = HEADER_BYTES + (event.size + 7) // 8 * 8
    inner = dtype(event)
    names = list(inner.names or ())
    assert inner.fields is not None
    formats = [inner.fields[name][0] for name in names]
    offsets = [HEADER_BYTES + inner.fields[name][1] for name in names]
    return np.dtype(
        {
            "names": [LENGTH, *names],
            "formats": ["<u4", *formats],
            "offsets": [0, *offsets],
            "itemsize": stride,
        }
    )


LENGTH = "\0length"
"""The header's length beside the event's fields: no C member has this name."""


def words_of(fields: Sequence[Field]) -> int:
    """Return how many 64-bit words the key made of these fields has."""
    return sum(max(1, (field.size + 7) // 8) for field in fields)


def key_words(records: NDArray[Any], fields: Sequence[Field]) -> NDArray[Any]:
    """Return the key of each record, shape (words, n), dtype uint64: equal keys, equal fields.

    An integer is one word (sign-extended), an array is its bytes padded with zeros.
    """
    words = np.zeros((words_of(fields), len(records)), np.uint64)
    at = 0
    for field in fields:
        column = records[field.name]
        if not field.is_bytes:
            words[at] = column.astype(np.int64).view(np.uint64) if field.type[0] == "s" else column
            at += 1
            continue
        size = (field.size + 7) // 8
        padded = column if field.size % 8 == 0 else column.astype(f"V{size * 8}")
        words[at : at + size] = np.ascontiguousarray(padded).view(np.uint64).reshape(-1, size).T
        at += size
    return words
