# SPDX-License-Identifier: Apache-2.0
"""Interface of a probe's C after compilation, whether BCC compiled the source or libbpf opened an object.

`pipeline` and `canary` know no more. `bcc.compiler` has BCC's module, `core.core_module` that of objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from probed.ipc.manifest import Field, Map, MapKind, Record
from probed.loader.common.register_point import RegisterPoint

MAP_KINDS: Final[Mapping[int, MapKind]] = {1: "hash", 2: "array", 5: "percpu_hash", 6: "percpu_array"}
"""enum bpf_map_type of Linux include/uapi/linux/bpf.h: those that hold counts and cannot lose them silently."""

HASHES: Final = frozenset({1, 5, 9, 10})
"""enum bpf_map_type: hash, per-CPU hash, and the LRU kinds of both."""

INDEX: Final = Record(4, (Field("key", "u32", 0, 1),))
"""The key of every array, an int of C."""

NO_MAP_TO_READ: Final = "it is neither an array nor a hash"


def not_flat(member: str, name: str) -> str:
    """Return the error for a member of a struct that is no flat one."""
    return (
        f"member '{member}' of '{name}' is neither an integer nor an array of them: events and keys are flat "
        "structs of u8 to u64, s8 to s64 and char[N]"
    )


class Module(Protocol):
    """One compiled C text. Every method raises LoadError."""

    def event(self) -> Record:
        """Return the layout of ``struct event``."""

    def row(self) -> Record:
        """Return the layout of ``struct row``."""

    def constants(self) -> Mapping[str, int]:
        """Return the values of the constants that the declaration names."""

    def record(self, name: str) -> Record:
        """Return the layout of a map's value."""

    def map_names(self) -> list[str]:
        """Return the names of all maps."""

    def hash_names(self) -> list[str]:
        """Return the names of all hash maps, with any values."""

    def count_map(self, name: str) -> Map | str:
        """Return the description of a map of u64 counts, or why it is none, as the end of a sentence."""

    def value_map(self, name: str) -> Map | str:
        """Return the description of a map of integers or flat structs, or why it is none, as `count_map` does."""

    def recent_slots(self, name: str) -> int:
        """Return how many `struct recent_count` a map has for each CPU; 0 for another kind of map."""

    def load_program(self, name: str, attach_point: str, kprobe: RegisterPoint | None = None) -> int:
        """Pass one program through the verifier; return the fd."""

    def attach(self, program: str, fd: int, attach_point: str, kprobe: RegisterPoint | None = None) -> list[int]:
        """Attach a loaded program; return the attachments' fds. A program in a kprobe is attached to its functions."""

    def map_fd(self, name: str) -> int:
        """Return a map's fd, -1 for no such map."""
