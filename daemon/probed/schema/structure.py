# SPDX-License-Identifier: Apache-2.0
"""Builds frozen dataclasses from plain data by their type hints, and turns them back into plain data.

YAML files and JSON messages are built by the same code; `json_schema` makes JSON schemas from the same hints. The
module does no I/O. docs/decisions/0025-own-structure-builder.md compares it with libraries.

Known hints: str, int, float, bool, Literal, X | None, unions of scalars, Literals, a list and a mapping, tuple[X, ...],
Mapping[K, X] with K of str, int or both, dataclasses, and Annotated with `Rule`. A dataclass checks rules between keys
in a method `check`, see `SelfChecking`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from probed.errors import DeclarationError, Problem
from probed.frozen import frozen
from probed.schema.suggestions import did_you_mean

T = TypeVar("T")

Key = tuple[str | int, ...]
"""Key path in a document: mapping keys and list indices from the root; () is the document itself."""

Fault = tuple[Key, str]
"""Key path, and a text with cause and remedy."""


@frozen
class Source:
    """Origin of data: the file as the user named it, and the known lines of key paths."""

    path: str
    lines: Mapping[Key, int] = dataclasses.field(default_factory=dict)

    def line(self, key: Key) -> int:
        """Return the line of a key path, or of the nearest known element around it; 0 for none."""
        around = (key[:end] for end in range(len(key), -1, -1))
        return next((self.lines[k] for k in around if k in self.lines), 0)

    def problem(self, key: Key, text: str) -> Problem:
        """Make the Problem at a key path."""
        return Problem(self.path, self.line(key), ".".join(map(str, key)), text)


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule in Annotated: `apply` returns the value of a field, or raises ValueError with the remedy.

    The argument has the annotated type, or type `raw` where the document writes the value differently (``1 MiB`` for an
    int). `schema` has the rule's keywords of JSON schema.
    """

    apply: Callable[[Any], Any]
    schema: Mapping[str, object] = dataclasses.field(default_factory=dict)
    raw: Any = None


@runtime_checkable
class SelfChecking(Protocol):
    """A dataclass with rules between keys.

    The builder calls `check` when the object's own keys are right, so that `check` reports no consequence of a mistyped
    key. A mapping lacks the entries that were wrong themselves. Key paths are relative to the object.
    """

    def check(self) -> Iterator[Fault]:
        """Yield the faults between keys."""
        ...


_GIVEN: Final = object()

Given = Annotated[T, _GIVEN]
"""Type of a dataclass field that is no key of the document; `to_data` leaves the field out.

A field `at` receives the object's key path. At the root, a field `source` receives the Source, and other fields receive
the values that the caller of `build` passes, or their defaults.
"""


@cache
def keys(cls: type) -> Mapping[str, Any]:
    """List the document's keys for a dataclass, in order, each with its type hint."""
    hints = get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if _GIVEN not in extras(hints[f.name])}


def required(cls: type) -> list[str]:
    """List the required keys of a dataclass."""
    needed = [f.name for f in dataclasses.fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    return [name for name in keys(cls) if name in needed]


def extras(hint: Any) -> tuple[Any, ...]:
    """List the extra arguments of Annotated: Rules, and the description of a key as a str."""
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def description(hint: Any) -> str:
    """Return the description in a key's hint, "" for none."""
    return next((extra for extra in extras(hint) if isinstance(extra, str)), "")


def pattern(regex: str, expected: str) -> Rule:
    """Make the rule for text that matches `regex` as a whole; `expected` describes the text in an error."""

    def apply(text: str) -> str:
        if re.fullmatch(regex, text) is None:
            raise ValueError(f"expected {expected}, found '{text}'")
        return text

    return Rule(apply, {"pattern": f"^(?:{regex})$"})


def build(cls: type[T], data: object, source: Source, **givens: object) -> T:
    """Build an object of dataclass `cls` from plain data (dict, list, scalars).

    Text is no number, and a number is no text. An int serves as a float, and decimal text as an int key, because JSON
    has text keys only. None serves as a mapping without required keys. Raises DeclarationError with every Problem.
    """
    value, problems = attempt(cls, data, source, **givens)
    if value is None or problems:
        raise DeclarationError(sorted(problems))
    return value


def attempt(cls: type[T], data: object, source: Source, **givens: object) -> tuple[T | None, list[Problem]]:
    """Build as `build` does, but return the problems, for callers with problems of their own.

    With problems, the value is None or incomplete.
    """
    builder = _Builder()
    value = builder.instance(cls, data, (), {"source": source, **givens})
    return (None if value is _BROKEN else value), [source.problem(at, text) for at, text in builder.faults]


def to_data(value: object) -> Any:
    """Turn an object into plain data that `json` can write and `build` accepts.

    A value that a Rule made from text (an address) becomes text again.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_data(getattr(value, name)) for name in keys(type(value))}
    if isinstance(value, Mapping):
        return {str(name): to_data(item) for name, item in value.items()}
    if type(value) is tuple:
        return [to_data(item) for item in value]
    return value if value is None or isinstance(value, _SCALARS) else str(value)


def found(data: object) -> str:
    """Describe plain data for the end of an error: ``the text 'x'``, ``a list``, ``nothing``."""
    match data:
        case None:
            return "nothing"
        case bool():
            return "true" if data else "false"
        case int() | float():
            return f"the number {data}"
        case str():
            return f"the text '{data}'"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


_SCALARS: Final = (str, int, float, bool)

_BROKEN: Final = object()
"""Stands for a value whose faults are already noted."""

_EXPECTED: Final[Mapping[Any, str]] = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    Mapping: "a mapping",
}


class _Builder:
    """One walk over the data; `faults` gathers the faults."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, at: Key, text: str) -> object:
        self.faults.append((at, text))
        return _BROKEN

    def value(self, hint: Any, data: object, at: Key) -> Any:
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self.instance(hint, data, at, {})
        build = _BY_ORIGIN.get(get_origin(hint), _Builder.scalar)
        return build(self, hint, data, at)

    def ruled(self, hint: Any, data: object, at: Key) -> Any:
        before = len(self.faults)
        rules = [rule for rule in extras(hint) if isinstance(rule, Rule)]
        raw = next((rule.raw for rule in rules if rule.raw is not None), hint.__origin__)
        value = self.value(raw, data, at)
        if len(self.faults) > before:
            return value
        try:
            for rule in rules:
                value = rule.apply(value)
        except ValueError as error:
            return self.fault(at, str(error))
        return value

    def literal(self, hint: Any, data: object, at: Key) -> Any:
        choices = get_args(hint)
        if data in choices:
            return data
        remedy = did_you_mean(data, map(str, choices)) if isinstance(data, str) else ""
        return self.fault(at, f"expected {_either(map(str, choices))}, found {found(data)}{remedy}")

    def union(self, hint: Any, data: object, at: Key) -> Any:
        arms = [arm for arm in get_args(hint) if arm is not NoneType]
        if data is None and NoneType in get_args(hint):
            return None
        if len(arms) == 1:
            return self.value(arms[0], data, at)
        for arm in arms:
            if _form(arm) in (list, Mapping) and isinstance(data, _form(arm)):
                return self.value(arm, data, at)
        for arm in arms:
            trial = _Builder()
            value = trial.value(arm, data, at)
            if not trial.faults:
                return value
        return self.fault(at, f"expected {_either(map(_expected, arms))}, found {found(data)}")

    def sequence(self, hint: Any, data: object, at: Key) -> Any:
        if not isinstance(data, list):
            return self.fault(at, f"expected a list, found {found(data)}")
        inner = get_args(hint)[0]
        values = tuple(self.value(inner, item, (*at, index)) for index, item in enumerate(data))
        return _BROKEN if _BROKEN in values else values

    def mapping(self, hint: Any, data: object, at: Key) -> Any:
        key_hint, inner = get_args(hint)
        if not isinstance(data, Mapping):
            return self.fault(at, f"expected a mapping, found {found(data)}")
        pairs = [
            (
                self.value(key_hint, _numbered(key_hint, name), (*at, name)),
                self.value(inner, item, (*at, name)),
            )
            for name, item in data.items()
        ]
        return {name: item for name, item in pairs if name is not _BROKEN and item is not _BROKEN}

    def instance(self, cls: type, data: object, at: Key, givens: Mapping[str, object]) -> Any:
        hints = keys(cls)
        needed = required(cls)
        if data is None and not needed:
            data = {}
        if not isinstance(data, Mapping):
            return self.fault(at, f"expected a mapping with keys of {', '.join(hints)}, found {found(data)}")
        self.unknown(hints, data, at)
        self.missing([name for name in needed if name not in data], hints, at)
        values = {name: self.value(hints[name], data[name], (*at, name)) for name in hints if name in data}
        if _BROKEN in values.values() or not values.keys() >= set(needed):
            return _BROKEN
        told = {"at": at, **givens}
        others = [
            f.name for f in dataclasses.fields(cls) if f.name not in hints and (f.name in told or f.default is MISSING)
        ]
        made = cls(**values, **{name: told[name] for name in others})
        if isinstance(made, SelfChecking) and data.keys() <= hints.keys():
            self.faults += [((*at, *below), text) for below, text in made.check()]
        return made

    def unknown(self, hints: Mapping[str, Any], data: Mapping[Any, object], at: Key) -> None:
        for name in data:
            if name not in hints:
                remedy = did_you_mean(str(name), hints) or f"; the keys here are {', '.join(hints)}"
                self.fault((*at, name), f"unknown key{remedy}")

    def missing(self, names: list[str], hints: Mapping[str, Any], at: Key) -> None:
        for name in names:
            text = description(hints[name])
            self.fault((*at, name), f"this required key is missing{': ' if text else ''}{text}")

    def scalar(self, hint: Any, data: object, at: Key) -> Any:
        if hint is float and isinstance(data, int) and not isinstance(data, bool):
            data = float(data)
        if type(data) is not hint:
            remedy = "; put it in quotes" if hint is str and isinstance(data, bool | int | float) else ""
            return self.fault(at, f"expected {_EXPECTED[hint]}, found {found(data)}{remedy}")
        if isinstance(data, float) and not math.isfinite(data):
            return self.fault(at, f"expected a finite number, found {data}")
        return data


_BY_ORIGIN: Final[Mapping[Any, Callable[[_Builder, Any, object, Key], Any]]] = {
    Annotated: _Builder.ruled,
    Literal: _Builder.literal,
    Union: _Builder.union,
    UnionType: _Builder.union,
    tuple: _Builder.sequence,
    Mapping: _Builder.mapping,
}
"""Builders of hints by origin; other hints are scalars and dataclasses."""


def _form(hint: Any) -> Any:
    """Return the type of plain data that a hint takes: list, Mapping, or the hint of a scalar."""
    if get_origin(hint) is Annotated:
        return _form(hint.__origin__)
    if get_origin(hint) is tuple:
        return list
    return Mapping if get_origin(hint) is Mapping or dataclasses.is_dataclass(hint) else hint


def _expected(hint: Any) -> str:
    """Describe the plain data that an arm of a union takes."""
    if get_origin(hint) is Literal:
        return _either(map(str, get_args(hint)))
    return _EXPECTED[_form(hint)]


def _numbered(hint: Any, name: object) -> object:
    """Return an int for the decimal text of a JSON key."""
    if hint is int and isinstance(name, str) and re.fullmatch(r"-?(0|[1-9][0-9]*)", name):
        return int(name)
    return name


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
