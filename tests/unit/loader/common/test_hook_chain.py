# SPDX-License-Identifier: Apache-2.0
"""Places in chains of programs, and the C of them; arrays of programs are sets of slots."""

from __future__ import annotations

import re

import pytest

from probed.config.declaration.probe import parse_declaration
from probed.errors import LoadError
from probed.ipc.manifest import IteratorProgram
from probed.linux import bpf
from probed.linux.bpf import SLOTS
from probed.loader.common import hook_chain
from probed.loader.common.hook_chain import Chains, entries_at_iterators, find_places, standalone_entry
from probed.loader.common.register_point import RegisterPoint
from probed.loader.headers.c_names import programs


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """The slots that are taken, by array; a new array is number 7, then 8."""
    taken: dict[int, set[int]] = {}

    def make() -> int:
        taken[7 + len(taken)] = set()
        return 6 + len(taken)

    monkeypatch.setattr(bpf, "program_array", make)
    monkeypatch.setattr(bpf, "taken_slots", lambda array: set(taken[array]))
    return taken


def test_the_first_program_of_a_tracepoint_makes_its_array_and_its_hook(arrays: dict[int, set[int]]) -> None:
    chains = Chains({})
    place = chains.find_place("a", "on_x", "sys_exit")
    text = chains.text("a", [place])
    assert (place.slot, set(arrays)) == (0, {7})
    assert "int on_x(struct" in text
    assert "int probed_sys_exit(struct" in text
    assert text.count(".quad 0x700001218") == 2  # r2 is the array whose fd is 7
    assert [int(entry) for entry in re.findall(r"r3 = (\d+)", text)] == [1, 0]
    assert text.count(f"call {hook_chain.TAIL_CALL}") == 2


def test_a_hook_that_is_there_is_not_made_again(arrays: dict[int, set[int]]) -> None:
    arrays[3] = {0, 2}
    chains = Chains({"sys_exit": 3})
    places = [chains.find_place("a", name, "sys_exit") for name in ("on_x", "on_y")]
    assert [place.slot for place in places] == [1, 3]
    assert "probed_sys_exit" not in chains.text("a", places)


def test_a_program_jumps_to_the_entry_after_its_own_slot(arrays: dict[int, set[int]]) -> None:
    arrays[3] = {0}
    chains = Chains({"sys_exit": 3})
    text = chains.text("a", [chains.find_place("a", "on_x", "sys_exit")])
    assert re.findall(r"r3 = (\d+)", text) == ["2"]


def test_the_program_in_the_last_slot_jumps_nowhere(arrays: dict[int, set[int]]) -> None:
    arrays[3] = set(range(SLOTS - 1))
    chains = Chains({"sys_exit": 3})
    text = chains.text("a", [chains.find_place("a", "on_x", "sys_exit")])
    assert "program_on_x(ctx, ctx);\n\treturn 0;" in text
    assert "call" not in text


def test_a_promised_place_is_not_given_twice_though_its_slot_is_still_empty(arrays: dict[int, set[int]]) -> None:
    chains = Chains({})
    assert [chains.find_place("a", "on_x", "sys_exit").slot for _ in range(3)] == [0, 1, 2]
    assert chains.find_place("a", "on_x", "sys_enter").slot == 0


def test_a_full_chain_is_an_error_with_its_tracepoint(arrays: dict[int, set[int]]) -> None:
    chains = Chains({})
    for _ in range(SLOTS):
        chains.find_place("a", "on_x", "sys_exit")
    with pytest.raises(LoadError, match=f"'sys_exit' has {SLOTS} programs already, and no room for 'on_y'"):
        chains.find_place("b", "on_y", "sys_exit")


def test_no_more_jumps_than_the_kernel_allows() -> None:
    assert SLOTS <= 33  # MAX_TAIL_CALL_CNT of Linux include/linux/bpf.h


def test_programs_are_found_where_they_are_no_comment() -> None:
    source = "/* PROGRAM(on_a) */\nPROGRAM(on_b)\n{\n}\n// PROGRAM(on_c)\nPROGRAM( on_d ) {}\n"
    assert programs(source) == ["on_b", "on_d"]
    lines = standalone_entry(["on_b"]).splitlines()
    assert [line for line in lines if "program_" in line] == ["\tprogram_on_b(ctx, ctx);"]


POINT = RegisterPoint(("trace_syscall_exit",), (112, 104), 1)


def in_kprobe(tracepoint: str) -> RegisterPoint | None:
    return POINT if tracepoint == "sys_exit" else None


def test_programs_in_a_kprobe_take_the_arguments_from_the_registers(arrays: dict[int, set[int]]) -> None:
    chains = Chains({}, in_kprobe)
    places = [chains.find_place("a", "on_x", "sys_exit"), chains.find_place("a", "on_y", "sys_enter")]
    assert [chains.kprobe(place.attach_point) for place in places] == [POINT, None]
    text = chains.text("a", places)
    entry = text[text.index("int on_x(") : text.index("int probed_sys_exit(")]
    offsets = [int(found) for found in re.findall(r"LOAD_AT\(u64, arguments\[\d\], ctx, (\d+)\)", entry)]
    assert offsets == [112, 104]
    assert "program_on_x((struct bpf_raw_tracepoint_args *)arguments, ctx);" in entry
    assert "\tprogram_on_y(ctx, ctx);" in text


def test_programs_behind_a_hook_are_of_the_hook_s_type(arrays: dict[int, set[int]]) -> None:
    """A supervisor holds hooks of an earlier loader."""
    arrays[3] = set()
    assert Chains({"sys_exit": 3}, in_kprobe).kprobe("sys_exit") is None
    assert Chains({"sys_exit": 3, "sys_exit.switch": 4}, in_kprobe).kprobe("sys_exit") == POINT
    chains = Chains({}, in_kprobe)
    chains.hooked("sys_exit")
    assert chains.kprobe("sys_exit") == POINT


def test_a_program_at_an_iterator_has_no_slot_and_runs_for_objects_alone(arrays: dict[int, set[int]]) -> None:
    text = """\
description: Living threads.
programs:
  on_exit: {raw_tracepoint: sys_exit}
  each_task: {iterator: task}
  each_tusk: {iterator: tusk}
ring: {bytes: 4 KiB}
metrics:
  probed_threads:
    type: gauge
    help: Threads.
    rows: [each_task, each_tusk]
"""
    probe = parse_declaration(text, "threads.yaml", "threads")
    places = find_places(
        Chains({}), probe, list(probe.programs), lambda name, point: None if name == "each_tusk" else point
    )
    assert [each.program for each in places.slots] == ["on_exit"]
    assert places.iterators == (IteratorProgram("each_task", "iterator/task"),)
    assert list(arrays) == [7]
    entry = entries_at_iterators(places.iterators)
    assert entry.splitlines()[2:] == ["\tif (ctx->args[1])", "\t\tprogram_each_task(ctx, ctx);", "\treturn 0;", "}"]
