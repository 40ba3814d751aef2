# SPDX-License-Identifier: Apache-2.0
"""Names in C sources of odd forms: the time for a source grows with its length alone."""

import pytest

from probed.loader.headers.c_names import MAX_NAME, find_names, long_name, programs

SIZE = 200_000

HOSTILE = {
    "a long name": "a" * SIZE,
    "a name of underscores": "_" * SIZE,
    "a long tag": f"struct {'a' * SIZE};",
    "typedefs without an end": "typedef " * (SIZE // 8),
    "a typedef of a long name": f"typedef {'a' * SIZE}",
    "typedefs with open braces": "typedef {" * (SIZE // 9),
    "enums without a body": "enum " * (SIZE // 5),
    "enums with open bodies": "enum {" * (SIZE // 6),
    "open attributes": "__attribute__((" * (SIZE // 15),
    "nested attributes": f"__attribute__(({'(' * SIZE}",
    "stars": f"a {'* ' * (SIZE // 2)};",
    "blanks": f"a{' ' * SIZE};",
    "an open literal": f'"{"a" * SIZE}',
    "backslashes": f'"{chr(92) * SIZE}',
    "open comments": "/*" * (SIZE // 2),
    "macros": "A(" * (SIZE // 2),
    "lines": "\n" * SIZE,
}
"""Sources that would take hours with a pattern of quadratic time."""


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_names_of_any_source_are_found_in_linear_time(source: str) -> None:
    assert find_names(source).includes == ()
    assert programs(source) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("typedef int one;", "one"),
        ("typedef struct { int a; } one;", "one"),
        ("typedef int typed; typedef typed one[4];", "one"),
        ("enum kind { one, two };", "one"),
        ("enum { one = 1 };", "one"),
    ],
)
def test_typedefs_and_constants_are_the_sources_own(source: str, name: str) -> None:
    assert name in find_names(source).defined


def test_a_name_that_is_too_long_has_its_line() -> None:
    name = "a" * (MAX_NAME + 1)
    assert long_name(f'/* {name}\n */\n"{name}"\nint {name};\nint {name}b;') == (4, name)
    assert long_name(f"int {name[1:]};") is None
