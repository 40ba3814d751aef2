# SPDX-License-Identifier: Apache-2.0
"""Files of /proc/PID/fdinfo: the kernel's facts on an open descriptor. Source: proc_pid_fdinfo(5)."""

from __future__ import annotations

import os
from typing import Final

BPF_IDS: Final = ("link_id", "map_id", "prog_id")
"""Fields with the ids of BPF objects: Linux kernel/bpf/syscall.c."""


def parse(text: str) -> dict[str, str]:
    """Return the fields of a file of /proc/PID/fdinfo."""
    pairs = (line.partition(":") for line in text.split("\n") if line)
    return {name: value.strip() for name, _, value in pairs}


def identity(fd: int) -> str:
    """Return the identity of an open file: kind and id of a BPF object, else device and inode. Raises OSError."""
    with open(f"/proc/self/fdinfo/{fd}") as file:
        fields = parse(file.read())
    for kind in BPF_IDS:
        if kind in fields:
            return f"{kind}:{fields[kind]}"
    status = os.fstat(fd)
    return f"file:{status.st_dev}:{status.st_ino}"


def map_memory(fd: int) -> int:
    """Return the bytes of kernel memory that a BPF map takes. Raises OSError.

    The kernel estimates before Linux 6.4 (commit 90a5527d7686, "bpf: add new map ops ->map_mem_usage").
    """
    with open(f"/proc/self/fdinfo/{fd}") as file:
        return int(parse(file.read())["memlock"])
