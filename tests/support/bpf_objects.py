# SPDX-License-Identifier: Apache-2.0
"""Whether BPF objects are still in the kernel, and the switch of the kernel's statistics of programs."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from probed.linux.bpf import bpf

GET_NEXT_ID: Final = {"prog_id": 11, "map_id": 12}
"""enum bpf_cmd of Linux include/uapi/linux/bpf.h, by the field of proc_pid_fdinfo(5)."""


def exists(thing: tuple[str, int]) -> bool:
    """Return whether the kernel still has a BPF program or map: ("prog_id" or "map_id", id). Opens nothing.

    An array of programs opened after its last fd was closed may never go: prog_array_map_clear() in Linux
    kernel/bpf/arraymap.c then leaks a reference.
    """
    kind, number = thing
    start_id_and_next_id = ctypes.create_string_buffer(struct.pack("=III", number - 1, 0, 0), 12)
    try:
        bpf(GET_NEXT_ID[kind], start_id_and_next_id)
    except FileNotFoundError:
        return False
    return bool(struct.unpack_from("=I", start_id_and_next_id, 4)[0] == number)


@contextmanager
def run_statistics() -> Iterator[Path]:
    """Yield the file of the sysctl kernel.bpf_stats_enabled, and restore its content."""
    file = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = file.read_text()
    try:
        yield file
    finally:
        file.write_text(before)
