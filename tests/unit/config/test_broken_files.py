# SPDX-License-Identifier: Apache-2.0
"""The corpus in `broken/`: each case names its problems with their places, and no other problem may be found."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from probed.config import site
from probed.config.declaration.probe import Probe, parse_declaration
from probed.config.overrides import check_folded, override
from probed.errors import DeclarationError, Problem
from probed.ipc.attach_points import OF_FILES, OF_FUNCTIONS, Kind
from probed.ipc.manifest import BUCKET, Field, Map, Record
from probed.loader import host_check, resolve
from probed.loader.resolve import CFacts

BROKEN = Path(__file__).parents[1] / "broken"
DEPTH = Record(8, (Field("value", "s64", 0, 1),))
NEGATIVE = Record(4, (Field("bucket", "s32", 0, 1),))
LEVEL = Record(16, (Field("level_kib", "u64", 0, 1), Field("name", "char", 8, 8)))
KERNEL_ENUMS = ("bpf_cmd", "skb_drop_reason")
FUNCTIONS = ("vfs_open", "vfs_read", "vfs_write")
TARGETS: Mapping[Kind, Collection[str]] = {
    **dict.fromkeys(OF_FUNCTIONS | OF_FILES, FUNCTIONS),
    "raw_tracepoint": ("sched_process_exec", "sched_process_exit", "sys_enter", "sys_exit"),
    "usdt": ("libc.setjmp", "libc.longjmp"),
    "iterator": ("task", "task_file", "tcp", "udp", "unix"),
}


def probes(folder: str) -> list[Path]:
    return sorted(path for path in BROKEN.glob(f"{folder}/*/*.yaml"))


@dataclass(frozen=True)
class CSource:
    """The loader's findings about a C source as plain as those of the corpus."""

    record: Record
    functions: list[str]
    maps: dict[str, Map]
    enums: dict[str, int]
    row: Record | None


def struct(tag: str, text: str) -> Record | None:
    body = re.search(rf"struct {tag} \{{(.*?)\}};", text, re.DOTALL)
    fields, offset = [], 0
    for kind, name, count in re.findall(r"(\w+) (\w+)(?:\[(\d+)\])?;", body[1] if body else ""):
        fields.append(Field(name, kind, offset, int(count or 1)))
        offset += int(count or 1) * (1 if kind == "char" else int(kind[1:]) // 8)
    return Record(offset, tuple(fields)) if body else None


def c_source(text: str) -> CSource:
    event = struct("event", text)
    assert event
    constants = [re.findall(r"\w+", body) for body in re.findall(r"enum \w+ \{(.*?)\}", text)]
    key = Record(4, (Field("key", "u32", 0, 1),))
    return CSource(
        record=event,
        row=struct("row", text),
        functions=re.findall(r"PROGRAM\((\w+)\)", text),
        maps={
            "calls": Map("calls", "percpu_array", key, 1024),
            "calls_elsewhere": Map("calls_elsewhere", "percpu_hash", key, 64),
            "depth": Map("depth", "hash", key, 64, value=DEPTH),
            "others": Map("others", "hash", key, 64),
            "counted_ns": Map("counted_ns", "hash", key, 64),
            "numbered_ns": Map("numbered_ns", "hash", key, 64, value=BUCKET),
            "negative_ns": Map("negative_ns", "hash", NEGATIVE, 64, value=BUCKET),
            "levels": Map("levels", "hash", key, 64, value=LEVEL),
        },
        enums={name: number for names in constants for number, name in enumerate(names)},
    )


def parse(path: Path) -> Probe:
    return parse_declaration(path.read_text(), str(path), path.parent.name)


def check_shape(path: Path) -> None:
    parse(path)


def check_against_c(path: Path) -> None:
    probe = parse(path)
    c = c_source(path.with_suffix(".bpf.c").read_text())
    problems = resolve.check_programs(probe, c.functions)
    try:
        facts = CFacts(c.record, c.maps, c.enums, {"seen": "its values are u32, not u64"}, c.row)
        resolve.resolve(probe, facts)
    except DeclarationError as error:
        problems += error.problems
    if problems:
        raise DeclarationError(problems)


def check_against_host(path: Path) -> None:
    check_against_c(path)
    problems = host_check.check_attach_points(parse(path), lambda point: TARGETS[point.kind])
    problems += host_check.check_kernel_enums(parse(path), KERNEL_ENUMS)
    if problems:
        raise DeclarationError(problems)


def check_site(path: Path) -> None:
    wanted = site.parse(path.read_text(), str(path))
    (directory,) = wanted.directories
    probes = {name: parse(Path(directory, name, f"{name}.yaml")) for name in wanted.probes}
    for name, overrides in wanted.probes.items():
        override(probes[name], overrides, wanted.defaults, wanted.source)
    if problems := check_folded(wanted.defaults, probes.values(), wanted.source):
        raise DeclarationError(problems)


def assert_expected(check: Callable[[Path], None], path: Path) -> None:
    """Compare the result of `check` with the first lines of the case."""
    expected = sorted(re.findall(r"^# expect (\d+) \[(.*)\] (.*)$", path.read_text(), re.MULTILINE))
    with pytest.raises(DeclarationError) as caught:
        check(path)
    found = sorted(caught.value.problems, key=lambda problem: (str(problem.line), problem.key, problem.text))
    said = "\n".join(map(str, found))
    assert [(str(p.line), p.key) for p in found] == [(line, key) for line, key, _ in expected], said
    assert {p.path for p in found} == {str(path)}
    for problem, (_, _, fragment) in zip(found, expected, strict=True):
        assert fragment in problem.text, said


@pytest.mark.parametrize("path", probes("shape"), ids=lambda path: path.stem)
def test_a_mistake_in_a_declaration_is_named_with_place_and_remedy(path: Path) -> None:
    assert_expected(check_shape, path)


@pytest.mark.parametrize("path", probes("against_c"), ids=lambda path: path.stem)
def test_a_declaration_that_its_c_contradicts_is_named_with_place_and_remedy(path: Path) -> None:
    check_shape(path)
    assert_expected(check_against_c, path)


@pytest.mark.parametrize("path", probes("against_host"), ids=lambda path: path.stem)
def test_an_attach_point_that_the_host_lacks_is_named_with_place_and_remedy(path: Path) -> None:
    check_against_c(path)
    assert_expected(check_against_host, path)


@pytest.mark.parametrize("path", sorted(BROKEN.glob("sites/*.yaml")), ids=lambda path: path.stem)
def test_a_mistake_in_a_site_configuration_is_named_with_place_and_remedy(path: Path) -> None:
    assert_expected(check_site, path)


def test_the_sample_that_the_cases_are_made_of_has_no_fault() -> None:
    check_against_host(BROKEN / "good/sample/sample.yaml")
    check_site(BROKEN / "good/site.yaml")


def test_a_problem_says_file_line_key_path_and_remedy_on_one_line() -> None:
    problem = Problem("a/a.yaml", 14, "metrics.probed_a_total.type", "expected counter or histogram, found nothing")
    assert str(problem) == ("a/a.yaml:14: metrics.probed_a_total.type: expected counter or histogram, found nothing")
