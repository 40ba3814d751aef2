# SPDX-License-Identifier: Apache-2.0
"""The BTF file format: its sections, and where in them each type begins.

`btf.reader` alone calls it. The module knows the length of each type, not the meaning. Source of the format: Linux
Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from probed.errors import HostError

_MAGIC = 0xEB9F
_VERSION = 1
_HEADER = struct.Struct("=HBBIIIII")
_LAYOUT = struct.Struct("=II")


class Kind(IntEnum):
    """BTF_KIND_* of Linux include/uapi/linux/btf.h; VOID is type 0."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_TAIL_WORDS: Mapping[int, tuple[int, int]] = {
    **{kind: (0, 0) for kind in Kind if kind != Kind.VOID},
    Kind.INT: (1, 0),
    Kind.ARRAY: (3, 0),
    Kind.STRUCT: (0, 3),
    Kind.UNION: (0, 3),
    Kind.ENUM: (0, 2),
    Kind.FUNC_PROTO: (0, 2),
    Kind.VAR: (1, 0),
    Kind.DATASEC: (0, 3),
    Kind.DECL_TAG: (1, 0),
    Kind.ENUM64: (0, 3),
}
"""32-bit words after the first three of a type: always, and for each element."""


def damage(path: Path, fact: str) -> HostError:
    """Make the error for contradictory BTF or BTF of a later kind."""
    return HostError(
        f"{path}: cannot make sense of the kernel's type information: {fact}; expected BTF version "
        f"{_VERSION} of the running kernel: upgrade probed if the kernel is newer, else boot a kernel whose "
        "BTF is whole",
        "no_btf",
    )


def sections(data: bytes, path: Path) -> tuple[array[int], bytes, bytes]:
    """Return the type section, the string section and the layout section (empty where the kernel has none).

    Raises HostError when the file is not complete BTF in this machine's byte order.
    """
    _check_magic(data, path)
    _, version, _, length, type_at, type_bytes, string_at, string_bytes = _HEADER.unpack_from(data)
    if version != _VERSION or not _HEADER.size <= length <= len(data):
        raise damage(path, f"its version is {version}, its header takes {length} of {len(data)} bytes")
    body = memoryview(data)[length:]
    types, strings = body[type_at : type_at + type_bytes], body[string_at : string_at + string_bytes]
    if len(types) != type_bytes or len(strings) != string_bytes or type_bytes % 4:
        raise damage(path, f"it is cut off at {len(data)} bytes")
    if string_bytes and strings[-1]:
        raise damage(path, "its last name has no end")
    words = array("I")
    words.frombytes(types)
    return words, bytes(strings), _layout_section(data, body, length)


def _check_magic(data: bytes, path: Path) -> None:
    if len(data) < _HEADER.size:
        raise damage(path, f"it has {len(data)} bytes, fewer than its header")
    magic = int.from_bytes(data[:2], sys.byteorder)
    if magic == int.from_bytes(_MAGIC.to_bytes(2, "big"), "little"):
        raise damage(path, f"its byte order is not this machine's ({sys.byteorder}-endian)")
    if magic != _MAGIC:
        raise damage(path, f"it begins with {magic:#06x}, not with BTF's {_MAGIC:#06x}")


def _layout_section(data: bytes, body: memoryview, header_bytes: int) -> bytes:
    if header_bytes < _HEADER.size + _LAYOUT.size:
        return b""
    place, length = _LAYOUT.unpack_from(data, _HEADER.size)
    return bytes(body[place : place + length])


def _tails(layout: bytes) -> tuple[list[int], list[int]]:
    """Return the words after a type's first three, by kind: always (-1: unknown), and for each element.

    Kinds that this module does not know can be skipped where the layout section has their size:
    ``struct btf_layout { __u8 info_sz; __u8 elem_sz; __u16 flags; }`` for each kind.
    """
    fixed, each = [-1] * 128, [0] * 128
    for kind, (info, element, _) in enumerate(struct.iter_unpack("=BBH", layout[: len(layout) // 4 * 4])):
        if kind < len(fixed) and kind:
            fixed[kind], each[kind] = info // 4, element // 4
    for kind, (info, element) in _TAIL_WORDS.items():
        fixed[kind], each[kind] = info, element
    return fixed, each


def walk(words: array[int], layout: bytes, path: Path, first: int) -> tuple[array[int], Mapping[int, array[int]]]:
    """Find the start of each type, and the types of each kind; types count from `first`.

    With a hundred thousand types this loop takes most of the reading time. The first start belongs to void. Raises
    HostError for a type that is cut off or of an unknown size.
    """
    fixed, each = _tails(layout)
    starts = array("I", [0])
    by_kind = [array("I") for _ in fixed]
    at, end, type_id = 0, len(words), first
    while at < end - 2:
        info = words[at + 1]
        kind = info >> 24 & 0x7F
        if fixed[kind] < 0:
            raise damage(path, f"type {type_id} is of kind {kind}, which probed does not know")
        starts.append(at)
        by_kind[kind].append(type_id)
        at += 3 + fixed[kind] + each[kind] * (info & 0xFFFFFF)
        type_id += 1
    if at != end:
        raise damage(path, f"its types end within type {type_id - (at > end)}")
    return starts, {kind: by_kind[kind] for kind in Kind}
