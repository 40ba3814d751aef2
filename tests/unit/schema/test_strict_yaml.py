# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from probed.errors import DeclarationError
from probed.schema import strict_yaml
from support.running_daemon import ROOT


def problems(text: str) -> list[tuple[int, str, str]]:
    """Return line, key and text of each problem, also of a text that is no YAML."""
    try:
        found = strict_yaml.read(text, "x.yaml").problems
    except DeclarationError as error:
        found = error.problems
    return [(problem.line, problem.key, problem.text) for problem in found]


def test_every_key_and_item_has_its_line() -> None:
    document = strict_yaml.read("# c\na: 1\nb:\n  c: [x,\n    y]\n  d:\n    - {e: 1}\n", "x.yaml")
    assert document.data == {"a": 1, "b": {"c": ["x", "y"], "d": [{"e": 1}]}}
    assert document.source.lines == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "c", 0): 4,
        ("b", "c", 1): 5,
        ("b", "d"): 6,
        ("b", "d", 0): 7,
        ("b", "d", 0, "e"): 7,
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-12", -12),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.0e-3", 0.001),
        ("-.inf", float("-inf")),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("'yes'", "yes"),
        ('"1e3"', "1e3"),
        ("1 MiB", "1 MiB"),
        ("127.0.0.1:9788", "127.0.0.1:9788"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_a_scalar_has_the_type_that_a_reader_expects(written: str, value: object) -> None:
    document = strict_yaml.read(f"a: {written}", "x.yaml")
    assert document.problems == ()
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("yes", "reads 'yes' as true or false; put it in quotes"),
        ("Off", "reads 'Off' as true or false"),
        ("010", "put it in quotes, or write a decimal number"),
        ("0b11", "decimal"),
        ("1_000", "decimal"),
        ("12:30", "base 60"),
        ("12:30.5", "base 60"),
        ("1" * 21, "beyond 64 bits"),
        ("1e3", "reads 1e3 as text"),
        ("1.5e3", "reads 1.5e3 as text"),
        ("2026-01-31", "as a timestamp"),
        ("=", "as a value"),
    ],
)
def test_a_scalar_that_yaml_takes_for_something_else_is_refused(written: str, text: str) -> None:
    ((line, key, said),) = problems(f"b: 1\na: {written}")
    assert (line, key) == (2, "a")
    assert text in said


def test_duplicates_are_found_at_every_depth() -> None:
    assert [(line, key) for line, key, _ in problems("a: {b: 1, b: 2}\nc:\n- d: 1\n  d: 2\na: 3\n")] == [
        (1, "a.b"),
        (4, "c.0.d"),
        (5, "a"),
    ]


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    found = problems("\n".join(lines))
    assert len(found) == 30 + 29 * 9
    assert all("write the value out" in text for _, _, text in found)


def test_a_list_that_holds_itself_is_refused() -> None:
    assert [key for _, key, _ in problems("a: &a [*a]")] == ["a", "a.0"]


def test_tags_run_no_code() -> None:
    ((line, key, text),) = problems("a: !!python/object/apply:os.abort []")
    assert (line, key) == (1, "a")
    assert text == "tag '!!python/object/apply:os.abort': write the value without it"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\n\tb: 2\n", 2),
        ("a:\t1\n", 1),
        ("a: [1\nb: 2\n", 2),
        ("a: b: c\n", 1),
        ("\n\na: 'open\nb: 1\nc: 2\n", 3),
        ("a: 1\n---\nb: 1\n", 2),
        ("a: 1\nb: \x00\n", 2),
        ("a: 1\nb: %x\n", 2),
        ("- a\nb: 1\n", 2),
        ("{" * 200, 1),
    ],
)
def test_a_syntax_error_is_named_with_its_line(text: str, line: int) -> None:
    ((found, key, _),) = problems(text)
    assert (found, key) == (line, "")


@dataclass(frozen=True, slots=True)
class Demanding:
    name: str


@dataclass(frozen=True, slots=True)
class Undemanding:
    name: str = "x"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_refused_where_a_key_is_required(text: str) -> None:
    assert strict_yaml.parse(Undemanding, text, "x.yaml") == Undemanding()
    with pytest.raises(DeclarationError, match=r"x\.yaml:1: the file is empty; add at least one key"):
        strict_yaml.parse(Demanding, text, "x.yaml")


@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@`?,. \n\t019eyn~<=", max_size=40))
def test_any_text_is_read_or_refused_with_problems(text: str) -> None:
    problems(text)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), PLAIN, min_size=1, max_size=3))
def test_the_output_of_pyyaml_is_read_back(data: dict[str, object]) -> None:
    text = yaml.safe_dump(data, default_style='"' if "" in data else None, width=1000)
    document = strict_yaml.read(text, "x.yaml")
    if not document.problems:
        assert document.data == data


PLACES = ("probes/*/*.yaml", "config/*.yaml", "tests/unit/broken/**/*.yaml")
YAML_FILES = sorted(path for place in PLACES for path in ROOT.glob(place))


def read_or_refused(text: str) -> object:
    try:
        return strict_yaml.read(text, "x.yaml")
    except DeclarationError as error:
        return error.problems


def test_a_text_reads_the_same_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [path.read_text(errors="replace") for path in YAML_FILES]
    assert len(texts) > 50
    read = [read_or_refused(text) for text in texts]
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert [read_or_refused(text) for text in texts] == read
