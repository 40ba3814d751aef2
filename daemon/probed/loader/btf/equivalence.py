# SPDX-License-Identifier: Apache-2.0
"""Whether types of one name are one type to a source: files of the kernel may have different ones.

`types` alone asks, before it takes one of several for all. BTF may also hold the same type twice, where
files knew more or less of what is behind its pointers.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

from probed.loader.btf.format import Kind, damage
from probed.loader.btf.reader import DEEPEST, Btf

_TAGGED = frozenset({Kind.STRUCT, Kind.UNION, Kind.FWD})
_SIZED = frozenset({Kind.INT, Kind.FLOAT, Kind.ENUM, Kind.ENUM64, Kind.STRUCT, Kind.UNION})


def shape(btf: Btf, type_id: int, names: Collection[str]) -> Hashable:
    """Describe a struct as far as a source sees it that reads the members `names`. Raises HostError."""
    seen = btf.members(type_id, names)
    members = tuple((each.name, each.offset, each.bit_field, outline(btf, each.type_id)) for each in seen)
    return btf.size(type_id), members


def outline(btf: Btf, type_id: int) -> Hashable:
    """Describe a type by what it is made of, down to a struct; behind a pointer only its name counts.

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
