# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses with slots, whose classes share their methods.

``dataclass(frozen=True, slots=True)`` compiles eight methods for each class, in every process at every start: a third
of the time that a process takes to import its modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a frozen dataclass with slots, for `fields`, `replace` and `match` as any other.

    The class keeps methods of its own. Field options other than defaults, and base classes with fields, have no effect.
    """
    own = cls.__dict__.keys()
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    for name, method in {"__init__": _initializer(made), **_METHODS}.items():
        if name not in own:
            setattr(made, name, method)
    frozen_class: type[T] = made
    return frozen_class


def _initializer(of_class: Any) -> Callable[..., None]:
    """Return ``__init__`` of a class with fields in slots."""
    complete = _completion(fields(of_class))
    setters = tuple(of_class.__dict__[each.name].__set__ for each in fields(of_class))

    def initialize(self: object, *arguments: object, **named: object) -> None:
        if named or len(arguments) != len(setters):
            arguments = complete(type(self).__name__, arguments, named)
        for set_slot, argument in zip(setters, arguments, strict=True):
            set_slot(self, argument)

    return initialize


Arguments = tuple[object, ...]


def _completion(of_class: tuple[Field[Any], ...]) -> Callable[[str, Arguments, dict[str, object]], Arguments]:
    """Return the function that puts arguments into the order of the fields, with defaults for missing ones."""
    names = tuple(each.name for each in of_class)
    defaults = {each.name: each.default for each in of_class if each.default is not MISSING}
    factories = {each.name: each.default_factory for each in of_class if each.default_factory is not MISSING}
    required = frozenset(names) - defaults.keys() - factories.keys()

    def complete(class_name: str, arguments: Arguments, named: dict[str, object]) -> Arguments:
        given = dict(zip(names, arguments, strict=False)) | named
        if len(given) != len(arguments) + len(named) or not required <= given.keys() <= set(names):
            raise TypeError(f"{class_name} takes {', '.join(names)}; given are {', '.join(given)}")
        given = {**defaults, **{name: make() for name, make in factories.items() if name not in given}, **given}
        return tuple(given[name] for name in names)

    return complete


def _values(one: Any) -> tuple[Any, ...]:
    return tuple(getattr(one, name) for name in one.__match_args__)


def _repr(self: Any) -> str:
    pairs = zip(self.__match_args__, _values(self), strict=True)
    return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


def _eq(self: object, other: object) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: object) -> int:
    return hash(_values(self))


def _refuse_set(_: object, name: str, __: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field '{name}'")


def _refuse_delete(_: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field '{name}'")


_METHODS = {
    "__repr__": _repr, "__eq__": _eq, "__hash__": _hash, "__setattr__": _refuse_set, "__delattr__": _refuse_delete,
}  # fmt: skip
