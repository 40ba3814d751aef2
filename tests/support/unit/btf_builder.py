# SPDX-License-Identifier: Apache-2.0
"""Writes small BTF files for tests: Linux Documentation/bpf/btf.rst."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import Literal

from probed.loader.btf.format import Kind

Order = Literal["little", "big"]


@dataclass(frozen=True)
class M:
    """One member: offset in bits, width in bits for a bit-field."""

    name: str
    type_id: int
    bits: int
    width: int = 0


class BtfBuilder:
    """Builds BTF: each method but `build` adds one type and returns its number; a module's types follow `base`'s."""

    def __init__(self, base: BtfBuilder | None = None, order: Order = sys.byteorder) -> None:
        self._order = "<" if order == "little" else ">"
        self._before = base.string_bytes if base else 0
        self._strings = bytearray(b"" if base else b"\0")
        self._known: dict[str, int] = dict(base._known) if base else {"": 0}
        self._types = bytearray()
        self.next_id: int = base.next_id if base else 1

    @property
    def string_bytes(self) -> int:
        return self._before + len(self._strings)

    def integer(self, name: str, size: int, *, signed: bool = False, bits: int = 0) -> int:
        return self._add(name, Kind.INT, 0, size, signed << 24 | (bits or 8 * size))

    def pointer(self, target: int) -> int:
        return self._add("", Kind.PTR, 0, target)

    def array(self, element: int, count: int) -> int:
        return self._add("", Kind.ARRAY, 0, 0, element, element, count)

    def struct(self, name: str, size: int, *members: M, kind: Kind = Kind.STRUCT) -> int:
        sized = any(member.width for member in members)
        words = [
            word for each in members for word in (self._string(each.name), each.type_id, each.width << 24 | each.bits)
        ]
        return self._add(name, kind, len(members), size, *words, flag=sized)

    def union(self, name: str, size: int, *members: M) -> int:
        return self.struct(name, size, *members, kind=Kind.UNION)

    def enum(self, name: str, size: int, *, signed: bool = False, **constants: int) -> int:
        words = [word for each, value in constants.items() for word in self._constant(each, value, size)]
        kind = Kind.ENUM64 if size == 8 else Kind.ENUM
        return self._add(name, kind, len(constants), size, *words, flag=signed)

    def _constant(self, name: str, value: int, size: int) -> list[int]:
        low, high = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
        return [self._string(name), low, high] if size == 8 else [self._string(name), low]

    def refer(self, kind: Kind, target: int, name: str = "") -> int:
        """Add a typedef, qualifier, function or type tag."""
        return self._add(name, kind, 0, target)

    def typedef(self, name: str, target: int) -> int:
        return self.refer(Kind.TYPEDEF, target, name)

    def forward(self, name: str) -> int:
        return self._add(name, Kind.FWD, 0, 0)

    def floating(self, name: str, size: int) -> int:
        return self._add(name, Kind.FLOAT, 0, size)

    def prototype(self, *parameters: int, **named: int) -> int:
        both = [*(("", each) for each in parameters), *named.items()]
        words = [word for name, each in both for word in (self._string(name), each)]
        return self._add("", Kind.FUNC_PROTO, len(both), 0, *words)

    def tracepoint(self, name: str, *parameters: int) -> int:
        data = self.pointer(0)
        return self.typedef(f"btf_trace_{name}", self.pointer(self.prototype(data, *parameters)))

    def raw(self, name: str, kind: int, length: int, *words: int) -> int:
        """Add a type of any kind; `words` are the third word and the following ones."""
        return self._add(name, kind, length, *words)

    def _add(self, name: str, kind: int, length: int, *words: int, flag: bool = False) -> int:
        info = flag << 31 | kind << 24 | length
        self._types += struct.pack(f"{self._order}{2 + len(words)}I", self._string(name), info, *words)
        self.next_id += 1
        return self.next_id - 1

    def _string(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = self.string_bytes
            self._strings += text.encode() + b"\0"
        return self._known[text]

    def build(self, *, version: int = 1, layout: bytes = b"") -> bytes:
        """Return the file's bytes; with `layout`, a header as of Linux 7.1."""
        types, strings = bytes(self._types), bytes(self._strings)
        extra = struct.pack(f"{self._order}II", len(types) + len(strings), len(layout)) if layout else b""
        sections = (24 + len(extra), 0, len(types), len(types), len(strings))
        header = struct.pack(f"{self._order}HBBIIIII", 0xEB9F, version, 0, *sections)
        return header + extra + types + strings + layout


def kernel() -> BtfBuilder:
    """A small kernel for tests of the types."""
    btf = BtfBuilder()
    char = btf.integer("char", 1, signed=True)
    int_ = btf.integer("int", 4, signed=True)
    uint = btf.integer("unsigned int", 4)
    ulong = btf.integer("long unsigned int", 8)
    atomic = btf.typedef("atomic_t", btf.struct("", 4, M("counter", int_, 0)))
    signal = btf.pointer(btf.struct("signal_struct", 64, M("live", atomic, 32), M("flags", uint, 128)))
    kuid = btf.typedef("kuid_t", btf.struct("", 4, M("val", btf.typedef("uid_t", uint), 0)))
    cred = btf.struct("cred", 32, M("usage", atomic, 0), M("uid", kuid, 64))
    const_cred = btf.pointer(btf.refer(Kind.CONST, cred))
    comm = btf.array(char, 16)
    callback = btf.pointer(btf.prototype(int_))
    state = btf.enum("task_state", 4, RUNNING=0, SLEEPING=1)
    either = btf.union("", 8, M("first", uint, 0), M("second", ulong, 0))
    info = btf.struct("thread_info", 16, M("status", uint, 64))
    files = btf.pointer(btf.forward("files_struct"))
    itself = btf.pointer(btf.next_id + 1)
    btf.struct(
        "task_struct", 512,
        M("thread_info", info, 0), M("state", state, 128), M("in_iowait", uint, 161, 1), M("", either, 192),
        M("tgid", int_, 256), M("real_parent", itself, 320), M("comm", comm, 384), M("signal", signal, 512),
        M("cred", const_cred, 576), M("callback", callback, 640), M("files", files, 704),
    )  # fmt: skip
    btf.tracepoint("sched_process_exit", itself)
    btf.tracepoint("sys_enter", ulong, ulong)
    btf.refer(Kind.FUNC, btf.prototype(), "schedule")
    return btf
