# SPDX-License-Identifier: Apache-2.0
"""Reads the running kernel's description of its types from /sys/kernel/btf.

`headers.types` makes C text from the types, `common.host` asks for tracepoints. This module chooses nothing. Source of
the format: Linux Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from probed.errors import HostError
from probed.frozen import frozen
from probed.loader.btf.format import Kind, damage, sections, walk

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_TRACEPOINT = "btf_trace_"
_ITERATOR = "bpf_iter__"
ITERATOR_FUNCTION = "bpf_iter_"
"""Prefix of the function that stands for an iterator in the kernel's types."""
_ENUMS = (Kind.ENUM, Kind.ENUM64)
_OF_ONE_MAP = frozenset({"bpf_map_elem", "bpf_sk_storage_map", "sockmap"})
DEEPEST = 32
"""Longest chain of types. Linux kernel/bpf/btf.c: MAX_RESOLVE_DEPTH."""

QUALIFIERS = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
"""Kinds that only rename or qualify another type."""


@frozen
class Member:
    """One member of a struct or union; `offset` in bytes, rounded down for a bit-field."""

    name: str
    type_id: int
    offset: int
    bit_field: bool


@frozen
class Enumerator:
    """One constant of an enum."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Btf:
    """All types of a kernel (or of a kernel and one module), by number; 0 is void.

    `words` is the type section, `starts` the index of each type's first word, `strings` all names, each ended by a
    zero byte, `by_kind` the types of each kind. Every method raises HostError for a contradictory description.
    """

    path: Path
    words: array[int] = field(repr=False)
    starts: array[int] = field(repr=False)
    strings: bytes = field(repr=False)
    by_kind: Mapping[int, array[int]] = field(repr=False)
    _names: dict[Kind, Mapping[str, tuple[int, ...]]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str] = VMLINUX, base: Btf | None = None) -> Btf:
        """Read a file of /sys/kernel/btf; a module's file continues vmlinux, which is then `base`.

        Raises HostError with the remedy when the file is missing, unreadable or damaged.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise HostError(_missing(path, base is not None), "no_btf") from error
        except OSError as error:
            raise HostError(
                f"cannot read the kernel's type information {path}: {error.strerror}; it is a file of sysfs "
                "that everybody may read: see that /sys is mounted and not hidden from this service",
                "no_btf",
            ) from error
        return cls.parse(data, path, base)

    @classmethod
    def parse(cls, data: bytes, path: Path, base: Btf | None = None) -> Btf:
        """Parse the bytes of one BTF file; `path` is for errors."""
        words, strings, layout = sections(data, path)
        starts, by_kind = walk(words, layout, path, 1 if base is None else len(base.starts))
        if base is None:
            return cls(path, words, starts, strings, by_kind)
        moved = array("I", (start + len(base.words) for start in starts[1:]))
        kinds = {kind: base.by_kind[kind] + by_kind[kind] for kind in by_kind}
        return cls(path, base.words + words, base.starts + moved, base.strings + strings, kinds)

    def kind(self, type_id: int) -> Kind:
        """Return the kind of a type. Raises HostError for a later kernel's unknown kinds."""
        if not type_id:
            return Kind.VOID
        number = self._word(type_id, 1) >> 24 & 0x7F
        try:
            return Kind(number)
        except ValueError:
            self._damaged(f"type {type_id} is of kind {number}, which probed does not know")

    def name(self, type_id: int) -> str:
        """Return the type's name, empty for an anonymous one."""
        return self._string(self._word(type_id, 0)) if type_id else ""

    def size(self, type_id: int) -> int:
        """Return the size in bytes of an integer, float, enum, struct or union."""
        return self._word(type_id, 2)

    def target(self, type_id: int) -> int:
        """Return the type that a pointer, typedef, qualifier or function refers to."""
        return self._word(type_id, 2)

    def array_of(self, type_id: int) -> tuple[int, int]:
        """Return an array's element type and number of elements."""
        return self._word(type_id, 3), self._word(type_id, 5)

    def signed(self, type_id: int) -> bool:
        """Say whether an integer or enum is signed. Before Linux 6.0 every enum counts as unsigned."""
        if self.kind(type_id) == Kind.INT:
            return bool(self._word(type_id, 3) >> 24 & 1)
        return self.flag(type_id)

    def flag(self, type_id: int) -> bool:
        """Return kind_flag: for a forward declaration "union", for an enum "signed"."""
        return bool(self._word(type_id, 1) >> 31)

    def resolve(self, type_id: int) -> tuple[int, str]:
        """Strip typedefs and qualifiers; return the type below and the innermost typedef's name."""
        alias = ""
        for _ in range(DEEPEST):
            kind = self.kind(type_id)
            if kind not in QUALIFIERS:
                return type_id, alias
            alias = self.name(type_id) if kind == Kind.TYPEDEF else alias
            type_id = self.target(type_id)
        self._damaged(f"type {type_id} stands behind more than {DEEPEST} typedefs and qualifiers")

    def members(self, type_id: int, names: Collection[str] | None = None) -> Iterator[Member]:
        """Yield a struct's or union's members by their C names, with the members of anonymous structs inside.

        With `names` only these members, in a fraction of the time.
        """
        return self._members(type_id, names, 0, ())

    def _members(
        self, type_id: int, names: Collection[str] | None, base: int, outer: tuple[int, ...]
    ) -> Iterator[Member]:
        if type_id in outer or len(outer) > DEEPEST:
            self._damaged(f"type {type_id} contains itself, or stands in more than {DEEPEST} others")
        for member in self._own_members(type_id, names):
            offset = base + member.offset
            if member.name:
                yield Member(member.name, member.type_id, offset, member.bit_field)
                continue
            inner, _ = self.resolve(member.type_id)
            if self.kind(inner) in (Kind.STRUCT, Kind.UNION):
                yield from self._members(inner, names, offset, (*outer, type_id))

    def _own_members(self, type_id: int, names: Collection[str] | None) -> Iterator[Member]:
        """Yield the members in `names` and all anonymous ones, which may contain others."""
        sized = self.flag(type_id)
        for name_at, member_type, place in self._entries(type_id, 3):
            name = self._string(name_at)
            if name and names is not None and name not in names:
                continue
            bits = place & 0xFFFFFF if sized else place
            width = place >> 24 if sized else 0
            bit_field = bool(width or bits % 8 or self._narrow(member_type))
            yield Member(name, member_type, bits // 8, bit_field)

    def _narrow(self, type_id: int) -> bool:
        """Say whether an integer has fewer bits than its bytes: old BTF writes bit-fields so."""
        inner, _ = self.resolve(type_id)
        if self.kind(inner) != Kind.INT:
            return False
        encoding = self._word(inner, 3)
        return bool(encoding >> 16 & 0xFF) or encoding & 0xFF != 8 * self.size(inner)

    def enumerators(self, type_id: int) -> Iterator[Enumerator]:
        """Yield an enum's constants."""
        width = 64 if self.kind(type_id) == Kind.ENUM64 else 32
        for name, *halves in self._entries(type_id, 1 + width // 32):
            value = sum(half << 32 * place for place, half in enumerate(halves))
            negative = self.flag(type_id) and value >> (width - 1)
            yield Enumerator(self._string(name), value - (1 << width) if negative else value)

    def variables(self, section: str) -> Mapping[str, tuple[int, int]]:
        """Return offset and size of each variable in a section of an object, such as ``.rodata``."""
        found = {}
        for type_id in self.find(Kind.DATASEC, section):
            for variable, offset, size in self._entries(type_id, 3):
                found[self.name(variable)] = (offset, size)
        return found

    def enum_names(self) -> set[str]:
        """Return the names of all enums."""
        return {name for kind in _ENUMS for name in self.names(kind)}

    def enum_constants(self, name: str) -> tuple[Enumerator, ...]:
        """Return the constants of an enum, none for an unknown enum."""
        found = [type_id for kind in _ENUMS for type_id in self.find(kind, name)]
        return tuple(self.enumerators(found[0])) if found else ()

    def names(self, kind: Kind) -> Mapping[str, tuple[int, ...]]:
        """Return every name of that kind with its types: more than one where files of the kernel differ."""
        if kind not in self._names:
            found: dict[str, tuple[int, ...]] = {}
            for type_id in self.by_kind[kind]:
                name = self._string(self.words[self.starts[type_id]])
                found[name] = (*found[name], type_id) if name in found else (type_id,)
            found.pop("", None)
            self._names[kind] = found
        return self._names[kind]

    def find(self, kind: Kind, name: str) -> tuple[int, ...]:
        """Return the types of a kind and name: none, one, or several different ones."""
        return self.names(kind).get(name, ())

    def has_function(self, name: str) -> bool:
        """Say whether the kernel has a function, without reading the names of all 60,000 functions."""
        places = {found.start() for found in re.finditer(re.escape(f"{name}\0".encode()), self.strings)}
        return bool(places) and any(self.words[self.starts[type_id]] in places for type_id in self.by_kind[Kind.FUNC])

    def raw_tracepoints(self) -> frozenset[str]:
        """Return the names of the kernel's raw tracepoints.

        Source: Linux include/trace/bpf_probe.h: each has a typedef ``btf_trace_NAME``.
        """
        names = self.names(Kind.TYPEDEF)
        return frozenset(name.removeprefix(_TRACEPOINT) for name in names if name.startswith(_TRACEPOINT))

    def functions(self) -> frozenset[str]:
        """Return the names of the kernel's functions, without those of modules."""
        return frozenset(self.names(Kind.FUNC))

    def iterators(self) -> frozenset[str]:
        """Return the kinds of objects that programs can iterate, without entries of one BPF map.

        Each has a function, and a struct of the program's arguments. Source: Linux Documentation/bpf/bpf_iterators.rst.
        """
        names = (name.removeprefix(_ITERATOR) for name in self.names(Kind.STRUCT) if name.startswith(_ITERATOR))
        functions = self.names(Kind.FUNC)
        return frozenset(name for name in names if ITERATOR_FUNCTION + name in functions) - _OF_ONE_MAP

    def function_type(self, name: str) -> int:
        """Return the type of a function. Raises KeyError for an unknown function."""
        return self.names(Kind.FUNC)[name][0]

    def tracepoint_type(self, name: str) -> int:
        """Return the type of a raw tracepoint. Raises KeyError for an unknown tracepoint."""
        return self.names(Kind.TYPEDEF)[_TRACEPOINT + name][0]

    def tracepoint_arguments(self, name: str) -> int | None:
        """Return the number of a raw tracepoint's arguments (``ctx->args``), None for an unknown tracepoint."""
        prototype = self.tracepoint_prototype(name)
        return max(len(list(self.parameters(prototype))) - 1, 0) if prototype else None

    def tracepoint_prototype(self, name: str) -> int:
        """Return the prototype of a raw tracepoint's function, 0 for an unknown tracepoint.

        The function has one argument more than ``ctx->args``, the first: ``void *__data``.
        """
        for type_id in self.find(Kind.TYPEDEF, _TRACEPOINT + name):
            pointer, _ = self.resolve(type_id)
            function, _ = self.resolve(self.target(pointer)) if self.kind(pointer) == Kind.PTR else (0, "")
            if self.kind(function) == Kind.FUNC_PROTO:
                return function
        return 0

    def parameters(self, prototype: int) -> Iterator[tuple[str, int]]:
        """Yield name and type of each parameter of a function's prototype; most prototypes have no names."""
        return ((self._string(name), type_id) for name, type_id in self._entries(prototype, 2))

    def _entries(self, type_id: int, width: int) -> Iterator[array[int]]:
        first = self._start(type_id) + 3
        length = self._word(type_id, 1) & 0xFFFFFF
        for place in range(first, first + length * width, width):
            yield self.words[place : place + width]

    def _word(self, type_id: int, index: int) -> int:
        return self.words[self._start(type_id) + index]

    def _start(self, type_id: int) -> int:
        if not 0 < type_id < len(self.starts):
            self._damaged(f"there is no type {type_id}: there are {len(self.starts) - 1}")
        return self.starts[type_id]

    def _string(self, offset: int) -> str:
        if offset >= len(self.strings):
            self._damaged(f"there is no name at {offset}: the names take {len(self.strings)} bytes")
        return self.strings[offset : self.strings.index(b"\0", offset)].decode(errors="replace")

    def _damaged(self, fact: str) -> NoReturn:
        raise damage(self.path, fact)


def _missing(path: Path, is_module: bool) -> str:
    if path.name != VMLINUX.name and not is_module:
        return f"there are no types at {path}: the running kernel's are at {VMLINUX}, where probed looks by itself"
    if is_module:
        return (
            f"the kernel module '{path.name}' has no type information: {path} does not exist; load the "
            f"module (modprobe {path.name}), or boot a kernel built with CONFIG_DEBUG_INFO_BTF_MODULES=y"
        )
    return (
        f"the kernel has no type information: {path} does not exist; boot a kernel built with "
        "CONFIG_DEBUG_INFO_BTF=y (Debian 11, Ubuntu 20.10, RHEL 8.2 and later have it), and in a container "
        "see that /sys is mounted"
    )
