# SPDX-License-Identifier: Apache-2.0
"""C types of the fields in records and maps, as errors write them. Pure.

`resolve` compares the declaration with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from probed.frozen import frozen
from probed.ipc import manifest
from probed.ipc.manifest import Field, FieldType, Map, Record

SCALAR: Final = manifest.COUNT.fields[0].name
"""The name of a map's value that is no struct."""


@frozen
class Layout:
    """A record and its name in errors."""

    what: str
    record: Record

    def field(self, name: str) -> Field | None:
        """Return the field of this name, None without one."""
        return next((field for field in self.record.fields if field.name == name), None)


def range_of(integer: FieldType) -> tuple[int, int]:
    """Return the least and the greatest value of an integer type such as ``u16``."""
    bits = int(integer[1:])
    return (0, (1 << bits) - 1) if integer.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def c_type(field: Field) -> str:
    """Return the type as in C: ``u32``, or ``char[16]``."""
    return field.type if field.count == 1 else f"{field.type}[{field.count}]"


def value_type(layout: Map) -> str:
    """Return the type of a map's values: that of a scalar, or the members of a struct."""
    fields = layout.value.fields
    if len(fields) == 1 and fields[0].name == SCALAR:
        return c_type(fields[0])
    return f"structs (members: {listed(field.name for field in fields)})"


def listed(names: Iterable[str]) -> str:
    """Return the names with commas between, "none" without one."""
    return ", ".join(names) or "none"
