# SPDX-License-Identifier: Apache-2.0
"""JSON schemas (draft 2020-12) from the dataclasses that `structure` builds. Pure.

A JSON schema can express fewer rules than `structure` checks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from probed.schema.structure import Rule, description, extras, keys, required, to_data

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final[Mapping[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    NoneType: "null",
}


def schema(cls: type, title: str) -> dict[str, Any]:
    """Make the JSON schema of the documents from which `structure.build` makes a dataclass."""
    writer = _Writer()
    root = writer.instance(cls)
    return {"$schema": _DIALECT, "title": title, **root, "$defs": dict(sorted(writer.definitions.items()))}


class _Writer:
    """One schema; `definitions` gathers the dataclasses below the root."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}

    def value(self, hint: Any) -> dict[str, Any]:
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self.reference(hint)
        write = _BY_ORIGIN.get(get_origin(hint), _Writer.scalar)
        return write(self, hint)

    def annotated(self, hint: Any) -> dict[str, Any]:
        rules = [extra for extra in extras(hint) if isinstance(extra, Rule)]
        raw = next((rule.raw for rule in rules if rule.raw is not None), get_args(hint)[0])
        said = {"description": description(hint)} if description(hint) else {}
        made = self.value(raw)
        for rule in rules:
            made |= rule.schema
        return said | made

    def literal(self, hint: Any) -> dict[str, Any]:
        return {"enum": list(get_args(hint))}

    def union(self, hint: Any) -> dict[str, Any]:
        made = [self.value(arm) for arm in get_args(hint)]
        if all(set(arm) == {"type"} for arm in made):
            return {"type": [arm["type"] for arm in made]}
        return {"anyOf": made}

    def sequence(self, hint: Any) -> dict[str, Any]:
        return {"type": "array", "items": self.value(get_args(hint)[0])}

    def mapping(self, hint: Any) -> dict[str, Any]:
        name, item = get_args(hint)
        # JSON knows text as names only; of a name's rules these are the ones that hold for text.
        names = {rule: what for rule, what in self.value(name).items() if rule in ("pattern", "not")}
        made = {"type": "object", "additionalProperties": self.value(item)}
        return made | {"propertyNames": names} if names else made

    def scalar(self, hint: Any) -> dict[str, Any]:
        return {"type": _TYPES[hint]}

    def reference(self, cls: type) -> dict[str, Any]:
        if cls.__name__ not in self.definitions:
            self.definitions[cls.__name__] = self.instance(cls)
        return {"$ref": f"#/$defs/{cls.__name__}"}

    def instance(self, cls: type) -> dict[str, Any]:
        needed = required(cls)
        defaults = {f.name: _default(f) for f in dataclasses.fields(cls)}
        properties = {name: self.value(hint) for name, hint in keys(cls).items()}
        for name, made in properties.items():
            if defaults[name]:
                made["default"] = defaults[name]
        return {
            "description": (cls.__doc__ or "").partition("\n")[0],
            "type": "object" if needed else ["object", "null"],
            "properties": properties,
            **({"required": needed} if needed else {}),
            "additionalProperties": False,
        }


_BY_ORIGIN: Final[Mapping[Any, Callable[[_Writer, Any], dict[str, Any]]]] = {
    Annotated: _Writer.annotated,
    Literal: _Writer.literal,
    Union: _Writer.union,
    UnionType: _Writer.union,
    tuple: _Writer.sequence,
    Mapping: _Writer.mapping,
}
"""Writers of hints by origin; other hints are scalars and dataclasses."""


def _default(field: dataclasses.Field[Any]) -> Any:
    """Return a field's default as the document would have it, None for no default."""
    return None if field.default is MISSING else to_data(field.default)
