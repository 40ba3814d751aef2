# SPDX-License-Identifier: Apache-2.0
"""Compares types of one name: files of the kernel may have different ones.

`headers.types` asks before it takes one of several. BTF may also hold the same type twice, where two files knew more
or less about the types behind the pointers.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from probed.loader.btf.format import Kind, damage
from probed.loader.btf.reader import DEEPEST, Btf

_TAGGED = frozenset({Kind.STRUCT, Kind.UNION, Kind.FWD})
_SIZED = frozenset({Kind.INT, Kind.FLOAT, Kind.ENUM, Kind.ENUM64, Kind.STRUCT, Kind.UNION})


def shape(btf: Btf, type_id: int, names: Collection[str]) -> Hashable:
    """Describe a struct as a source sees it that reads only the members `names`. Raises HostError."""
    seen = btf.members(type_id, names)
    members = tuple((each.name, each.offset, each.bit_field, outline(btf, each.type_id)) for each in seen)
    return btf.size(type_id), members


def outline(btf: Btf, type_id: int) -> Hashable:
    """Describe the parts of a type, down to a struct; behind a pointer only the name counts.

    Raises HostError.
    """
    parts: list[Hashable] = []
    for _ in range(DEEPEST):
        type_id, alias = btf.resolve(type_id)
        kind = btf.kind(type_id)
        if kind == Kind.ARRAY:
            type_id, count = btf.array_of(type_id)
            parts.append(count)
        elif kind == Kind.PTR:
            type_id = btf.target(type_id)
            parts.append("*")
        else:
            name = btf.name(type_id) or alias
            if kind in _TAGGED and "*" in parts:
                return (*parts, name)
            return (*parts, kind, name, btf.size(type_id) if kind in _SIZED else 0)
    raise damage(btf.path, f"type {type_id} stands behind more than {DEEPEST} pointers and arrays")
