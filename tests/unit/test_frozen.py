# SPDX-License-Identifier: Apache-2.0
"""A frozen class behaves as the standard library's ``dataclass(frozen=True, slots=True)``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest

from probed.frozen import frozen


@frozen
class Event:
    """An event."""

    name: str
    number: int = 3
    more: Mapping[str, int] = field(default_factory=dict)


Ours = Event


@dataclass(frozen=True, slots=True)
class Theirs:
    """An event."""

    name: str
    number: int = 3
    more: Mapping[str, int] = field(default_factory=dict)


Theirs.__qualname__ = "Event"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("exec",), {}),
        ((), {"name": "exec"}),
        (("exec", 5), {"more": {"a": 1}}),
        (("exec", 5, {"a": 1}), {}),
        ((), {}),
        (("exec", 5, {}, 7), {}),
        (("exec",), {"name": "fork"}),
        (("exec",), {"size": 7}),
    ],
)
def test_arguments_are_taken_and_refused_alike(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    try:
        expected = repr(Theirs(*arguments, **named))
    except TypeError:
        with pytest.raises(TypeError):
            Ours(*arguments, **named)
    else:
        assert repr(Ours(*arguments, **named)) == expected


def test_equal_values_are_equal_and_have_one_hash() -> None:
    assert Ours("exec", 5) == Ours("exec", 5)
    assert Ours("exec", 5) != Ours("exec", 6)
    other: Any = Theirs("exec", 5)
    assert Ours("exec", 5) != other
    with pytest.raises(TypeError):
        hash(Ours("exec"))  # a mapping has none
    assert hash(Ours("exec", 5, ())) == hash(Ours("exec", 5, ()))  # type: ignore[arg-type]


def test_each_object_has_a_default_of_its_own() -> None:
    assert Ours("a").more is not Ours("b").more


def test_nothing_can_be_set_or_deleted() -> None:
    one: Any = Ours("exec")
    with pytest.raises(FrozenInstanceError):
        one.name = "fork"
    with pytest.raises(FrozenInstanceError):
        del one.name
    assert not hasattr(one, "__dict__")


def test_the_functions_of_dataclasses_and_patterns_take_it() -> None:
    one = Ours("exec", 5)
    assert dataclasses.replace(one, number=7) == Ours("exec", 7)
    assert [each.name for each in dataclasses.fields(one)] == ["name", "number", "more"]
    match one:
        case Ours(name, number):
            assert (name, number) == ("exec", 5)


def test_a_class_keeps_methods_of_its_own() -> None:
    @frozen
    class Named:
        """A name."""

        name: str

        def __repr__(self) -> str:
            return f"<{self.name}>"

    assert repr(Named("exec")) == "<exec>"
