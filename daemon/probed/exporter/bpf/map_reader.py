# SPDX-License-Identifier: Apache-2.0
"""Kernel maps, read whole: a system call or two for all entries.

`map_source` and `gauge_source` read them at the scrape. The kernel hands out a hash bucket by bucket, each as of one
moment, so a walk sees a key that stays exactly once.
Source: bpf(2), Linux include/uapi/linux/bpf.h (struct for BPF_MAP_*_BATCH commands).
"""

from __future__ import annotations

import errno
from typing import Any

import numpy as np

from probed.exporter.arrays.dtypes import chosen, dtype
from probed.exporter.arrays.ndarray import NDArray
from probed.ipc.manifest import Map
from probed.linux import bpf

ENOTSUPP = 524
"""The error of a map without batch operations. Source: Linux include/linux/errno.h."""

COUNT: np.dtype[Any] = np.dtype(np.uint64)
"""The dtype of counts."""


class Entries:
    """Room for all entries of one map, with the entries of the last `read`.

    `keys` shape (room,), `values` shape (room, CPUs), or (room, 1) where all CPUs share one value. The room is that
    of the map, and `more` entries for programs that delete some and add others while the map is read.
    """

    def __init__(self, fd: int, layout: Map, cpus: int, values: np.dtype[Any] = COUNT, more: int = 0) -> None:
        self._fd = fd
        self._room = layout.entries + more
        self._key_size = layout.key.size
        self._entries = layout.entries
        self._is_array = layout.kind.endswith("array")
        self.keys = np.zeros(self._room, dtype(layout.key))
        self.values = np.zeros((self._room, cpus if layout.kind.startswith("percpu") else 1), values)
        self._addresses = self.keys.ctypes.data, self.values.ctypes.data
        self._read = self._read_batch

    def read(self) -> int:
        """Read the map; return the number of entries found, which lie at the beginning. Raises OSError."""
        try:
            return self._read()
        except OSError as error:
            # Linux commit f008d732ab18 ("bpf: Add batched ops support for percpu array") (in v5.13)
            if error.errno not in (ENOTSUPP, errno.EINVAL) or not self._is_array:
                raise
            self._read = self._read_one_by_one
            return self._read()

    def _read_batch(self) -> int:
        done, ended, position = 0, False, bpf.BatchPosition(self._key_size)
        keys, values = self._addresses
        while done < self._room and not ended:
            at = keys + done * self.keys.strides[0], values + done * self.values.strides[0]
            count, ended = bpf.lookup_batch(self._fd, position, *at, self._room - done)
            done += count
        return done

    def _read_one_by_one(self) -> int:
        keys = np.arange(self._entries, dtype=np.uint32)
        self.keys.view(np.uint32)[:] = keys
        for index in range(self._entries):
            bpf.lookup(self._fd, self.keys[index:].ctypes.data, self.values[index:].ctypes.data)
        return self._entries

    def delete(self, keys: NDArray[Any]) -> None:
        """Delete entries, shape (n,), dtype of the key; missing entries are no error. Raises OSError."""
        keys = np.ascontiguousarray(keys)
        bpf.delete_batch(self._fd, keys.ctypes.data, self._key_size, len(keys))


class CountMap:
    """One map of u64 counts, or of structs of u64 members; `entries` is how many the last `read` found."""

    def __init__(self, fd: int, layout: Map, cpus: int) -> None:
        members = len(layout.value.fields)
        self._content = Entries(fd, layout, cpus, COUNT if members == 1 else np.dtype((COUNT, members)))
        self.entries = 0

    @property
    def last_keys(self) -> NDArray[Any]:
        """All keys of the last reading, shape (n,), dtype of the key: a copy."""
        return chosen(self._content.keys, slice(self.entries))

    def read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return keys, shape (n,), dtype of the key, and counts, shape (n,), dtype uint64. Raises OSError.

        Counts of structs have the shape (n, members).
        """
        self.entries = self._content.read()
        return self._content.keys[: self.entries], self._content.values[: self.entries].sum(axis=1, dtype=np.uint64)

    def delete(self, keys: NDArray[Any]) -> None:
        """Delete entries, shape (n,), dtype of the key; missing entries are no error. Raises OSError."""
        self._content.delete(keys)
