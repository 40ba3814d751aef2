# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.errors import DeclarationError
from probed.ipc import manifest
from probed.ipc.exporter_messages import ProbeStatus, Status
from probed.schema import structure
from probed.schema.structure import Fault, Given, Key, Rule, Source


def _even(number: int) -> int:
    if number % 2:
        raise ValueError(f"expected an even number, found {number}; {number + 1} would do")
    return number


@dataclass(frozen=True, slots=True)
class Leaf:
    at: Given[Key]
    size: Annotated[int, "How large it is.", Rule(_even)]
    tags: tuple[str, ...] = ()

    def check(self) -> Iterator[Fault]:
        for index, tag in enumerate(self.tags):
            if tag in self.tags[:index]:
                yield ("tags", index), "there twice"


@dataclass(frozen=True, slots=True)
class Options:
    colour: Literal["red", "green"] = "red"


@dataclass(frozen=True, slots=True)
class Tree:
    source: Given[Source]
    name: str
    ratio: float
    leaves: Mapping[str, Leaf]
    codes: Mapping[int, str]
    flag: bool = False
    constant: str | int = 0
    best: Leaf | None = None
    options: Options = Options()


SOURCE = Source("tree.json")
DATA: dict[str, Any] = {"name": "oak", "ratio": 1, "leaves": {"a": {"size": 2}}, "codes": {"7": "seven"}}


def problems(data: object, cls: type = Tree) -> list[tuple[str, str]]:
    with pytest.raises(DeclarationError) as caught:
        structure.build(cls, data, SOURCE)
    return [(problem.key, problem.text) for problem in caught.value.problems]


def test_plain_data_become_frozen_objects() -> None:
    tree = structure.build(Tree, DATA, SOURCE)
    assert tree == Tree(
        source=SOURCE, name="oak", ratio=1.0, leaves={"a": Leaf(("leaves", "a"), 2)}, codes={7: "seven"}
    )
    assert type(tree.ratio) is float


def test_an_object_knows_its_key_path_and_the_root_its_source() -> None:
    tree = structure.build(Tree, DATA | {"best": {"size": 4}}, SOURCE)
    assert tree.source is SOURCE
    assert tree.best is not None
    assert tree.best.at == ("best",)
    assert tree.leaves["a"].at == ("leaves", "a")


@pytest.mark.parametrize(
    ("change", "key", "text"),
    [
        ({"name": 7}, "name", "expected text, found the number 7; put it in quotes"),
        ({"name": None}, "name", "expected text, found nothing"),
        ({"ratio": "1"}, "ratio", "expected a number, found the text '1'"),
        ({"ratio": True}, "ratio", "expected a number, found true"),
        ({"ratio": float("nan")}, "ratio", "expected a finite number, found nan"),
        ({"flag": 1}, "flag", "expected true or false, found the number 1"),
        ({"constant": []}, "constant", "expected text or an integer, found a list"),
        ({"constant": True}, "constant", "expected text or an integer, found true"),
        ({"leaves": []}, "leaves", "expected a mapping, found a list"),
        ({"leaves": {"b": {"size": 3}}}, "leaves.b.size", "expected an even number, found 3; 4 would do"),
        ({"leaves": {"b": {"size": True}}}, "leaves.b.size", "expected an integer, found true"),
        ({"leaves": {"b": {"size": 2.0}}}, "leaves.b.size", "expected an integer, found the number 2.0"),
        ({"leaves": {"b": {"size": 2, "tags": "x"}}}, "leaves.b.tags", "expected a list, found the text 'x'"),
        ({"leaves": {"b": {"size": 2, "tags": ["x", "x"]}}}, "leaves.b.tags.1", "there twice"),
        ({"leaves": {"b": {}}}, "leaves.b.size", "this required key is missing: How large it is."),
        ({"codes": {"007": "x"}}, "codes.007", "expected an integer, found the text '007'"),
        ({"best": {"size": 2, "tag": []}}, "best.tag", "unknown key; did you mean 'tags'?"),
        ({"options": {"x": 1}}, "options.x", "unknown key; the keys here are colour"),
        ({"options": {"colour": "gren"}}, "options.colour", "did you mean 'green'?"),
        ({"options": {"colour": ["red"]}}, "options.colour", "expected red or green, found a list"),
        ({"at": []}, "at", "unknown key"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_key_path(change: dict[str, Any], key: str, text: str) -> None:
    ((found, said),) = problems(DATA | change)
    assert found == key
    assert text in said


def test_every_fault_is_found_in_one_run() -> None:
    data = {"name": 1, "leaves": {"a": {"size": 1}, "b": {"size": 2, "tags": [3]}}, "extra": 0}
    assert {key for key, _ in problems(data)} == {
        "name",
        "ratio",
        "codes",
        "leaves.a.size",
        "leaves.b.tags.0",
        "extra",
    }


def test_nothing_serves_as_a_mapping_where_no_key_is_required() -> None:
    assert structure.build(Tree, DATA | {"options": None}, SOURCE).options == Options()
    assert problems(DATA | {"leaves": {"a": None}})[0][1] == (
        "expected a mapping with keys of size, tags, found nothing"
    )


def test_a_misspelt_key_is_not_followed_by_complaints_about_its_absence() -> None:
    assert [key for key, _ in problems(DATA | {"best": {"size": 2, "tagz": [], "tags": ["x", "x"]}})] == ["best.tagz"]


def test_a_problem_points_at_the_nearest_line_that_is_known() -> None:
    source = Source("x.yaml", {(): 1, ("a",): 3, ("a", "b", 0): 5})
    assert source.line(("a", "b", 0)) == 5
    assert source.line(("a", "b", 1)) == 3
    assert source.line(("z",)) == 1
    assert Source("x.json").line(("a",)) == 0
    assert str(source.problem(("a", "b", 0), "wrong")) == "x.yaml:5: a.b.0: wrong"


NAMES = st.text(max_size=8)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(min_value=0, max_value=1 << 64)
FIELDS = st.builds(manifest.Field, NAMES, st.sampled_from(["u8", "s64", "char"]), COUNTS, COUNTS)
RECORDS = st.builds(manifest.Record, COUNTS, st.lists(FIELDS, max_size=3).map(tuple))
MAPS = st.builds(manifest.Map, NAMES, st.sampled_from(["percpu_array", "hash"]), RECORDS, COUNTS)
LABELS = st.builds(manifest.ResolvedLabel, NAMES, NAMES, NAMES, st.dictionaries(st.integers(), NAMES, max_size=3))
METRICS = st.builds(
    manifest.ResolvedMetric,
    name=NAMES,
    type=st.sampled_from(["counter", "histogram"]),
    help=NAMES,
    maps=st.lists(NAMES, max_size=2).map(tuple),
    when=st.dictionaries(NAMES, st.integers(), max_size=2),
    labels=st.lists(LABELS, max_size=2).map(tuple),
    value=st.none() | NAMES,
    factor=FINITE,
    bounds=st.lists(FINITE, max_size=3).map(tuple),
)
PROBES = st.builds(
    manifest.LoadedProbe,
    name=NAMES,
    fingerprint=NAMES,
    event=st.none() | RECORDS,
    ring_bytes=COUNTS,
    maps=st.lists(MAPS, max_size=2).map(tuple),
    metrics=st.lists(METRICS, max_size=2).map(tuple),
    fd_names=st.lists(st.builds(manifest.FdName, st.sampled_from(["ring", "map"]), NAMES), max_size=2).map(tuple),
)
STATUSES = st.builds(
    Status,
    probes=st.lists(
        st.builds(
            ProbeStatus,
            NAMES,
            NAMES,
            st.booleans(),
            NAMES,
            NAMES,
            st.dictionaries(NAMES, COUNTS, max_size=2),
        ),
        max_size=2,
    ).map(tuple),
    bcc_version=NAMES,
    reload_successful=st.booleans(),
    reload_success_time=FINITE,
    exporter_restarts=COUNTS,
)


@given(PROBES | STATUSES)
def test_an_object_goes_through_json_unchanged(sent: manifest.LoadedProbe | Status) -> None:
    text = json.dumps(structure.to_data(sent), allow_nan=False)
    assert structure.build(type(sent), json.loads(text), Source("manifest")) == sent


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(JSON, st.sampled_from(["name", "ratio", "leaves", "codes", "flag", "constant", "best", "options"]))
def test_any_data_are_built_or_refused_with_problems(value: object, key: str) -> None:
    tree, found = structure.attempt(Tree, DATA | {key: value}, SOURCE)
    assert (tree is not None and not found) or all(problem.key.startswith(key) for problem in found)


def test_given_fields_are_left_out_of_plain_data() -> None:
    data = structure.to_data(structure.build(Tree, DATA, SOURCE))
    assert data["leaves"] == {"a": {"size": 2, "tags": []}}
    assert "source" not in data


def test_shape_needs_no_yaml() -> None:
    code = "import sys; import probed.schema.structure, probed.ipc.manifest; sys.exit('yaml' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(structure.__file__).parents[1])
