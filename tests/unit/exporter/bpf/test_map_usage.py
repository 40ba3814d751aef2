# SPDX-License-Identifier: Apache-2.0
"""How full a hash map is: a kernel of the test's own answers bpf(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

import pytest

from probed.exporter.bpf.map_usage import CHUNK, COUNT_SECONDS, HashMap, HashUsage
from probed.linux import bpf

HASH, PERCPU_HASH = 1, 5


class OneMap:
    """One map of `entries`, with keys of 4 and values of 12 bytes, read by the batch."""

    def __init__(self, kind: int, entries: int) -> None:
        self.kind = kind
        self.entries = entries
        self.asked = 0

    def bpf(self, command: int, attribute: ctypes.Array[ctypes.c_char]) -> int:
        if command == bpf.BPF_OBJ_GET_INFO_BY_FD:
            _, size, info = struct.unpack("=IIQ", attribute.raw)
            ctypes.memmove(info, struct.pack("=IIIII", self.kind, 9, 4, 12, 65_536), size)
            return 0
        assert command == bpf.BPF_MAP_LOOKUP_BATCH
        before, after, keys, values, count, *_ = struct.unpack("=QQQQIIQQ", attribute.raw)
        done = ctypes.c_uint64.from_address(before).value if before else 0
        self.asked += not before
        taken = min(count, self.entries - done)
        width = 16 * 3 if self.kind == PERCPU_HASH else 12
        ctypes.memset(keys, 1, taken * 4)
        ctypes.memset(values, 1, taken * width)
        ctypes.c_uint64.from_address(after).value = done + taken
        struct.pack_into("=I", attribute, 32, taken)
        if done + taken == self.entries:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return 0


@pytest.mark.parametrize("kind", [HASH, PERCPU_HASH])
@pytest.mark.parametrize("entries", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
def test_every_entry_is_counted_once(monkeypatch: pytest.MonkeyPatch, kind: int, entries: int) -> None:
    monkeypatch.setattr(bpf, "bpf", OneMap(kind, entries).bpf)
    assert HashMap("ended", 9, 3).usage() == HashUsage("ended", entries, 65_536)


def test_a_map_is_not_counted_at_every_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, now = OneMap(HASH, 101), [0.0]
    monkeypatch.setattr(bpf, "bpf", kernel.bpf)
    its = HashMap("ended", 9, 3, lambda: now[0])
    assert its.usage().entries == 101
    kernel.entries, now[0] = 103, COUNT_SECONDS - 0.5
    assert its.usage().entries == 101
    now[0] = COUNT_SECONDS
    assert its.usage().entries == 103
    assert kernel.asked == 2


def test_another_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = OneMap(HASH, 1)
    monkeypatch.setattr(bpf, "bpf", kernel.bpf)
    its = HashMap("ended", 9, 3)

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bpf, "bpf", refuse)
    with pytest.raises(OSError, match="space"):
        its.usage()
