# SPDX-License-Identifier: Apache-2.0
"""Addresses of a stack become the folded text of flame graphs, bounded, and say what is missing."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.files import standalone_probe
from probed.exporter.decoders.fold import folded
from probed.exporter.decoders.kernel_stacks import CUT, MOST_CHARACTERS, UNKNOWN, stack
from probed.exporter.decoders.kernel_symbols import KERNEL_HALF
from probed.exporter.decoders.lookup import Lookup
from probed.ipc.manifest import ResolvedFoldRule
from support.unit.clock import Clock

ROOT = Path(__file__).parents[4]
BASE = 0xFFFFFFFF81000000
SIZE = 0x100
PLACES = 8
FUNCTIONS = ["vfs_write", "ksys_write", "do_syscall_64", "entry_SYSCALL_64", "ext4_sync", "bpf_prog_6deef7357e7b4530"]
FUNCTIONS += ["bpf_trace_run2", "__bpf_trace_task_rename", "__traceiter_task_rename", "bpf_trampoline_6442", "f" * 500]


def name_of(address: int) -> str | None:
    """Name functions of 256 bytes, one behind the other."""
    index = (address - BASE) // SIZE
    return FUNCTIONS[index] if 0 <= index < len(FUNCTIONS) else None


def at(function: str, offset: int = 0x10) -> int:
    return BASE + SIZE * FUNCTIONS.index(function) + offset


def text_of(*addresses: int, places: int = PLACES) -> str:
    return stack(Lookup(name_of))(struct.pack(f"={places}Q", *addresses, *[0] * (places - len(addresses))))


WRITE = at("vfs_write"), at("ksys_write"), at("do_syscall_64")
FOLDED = "do_syscall_64;ksys_write;vfs_write"


def test_functions_are_joined_from_the_outermost_to_the_innermost() -> None:
    assert text_of(*WRITE) == FOLDED


def test_all_places_of_a_function_are_one() -> None:
    assert text_of(at("vfs_write", 0x20), at("ksys_write", 0xFF), at("do_syscall_64", 1)) == FOLDED


def test_a_return_address_behind_the_last_call_belongs_to_the_caller() -> None:
    assert text_of(at("vfs_write", 0), at("ksys_write", SIZE), at("do_syscall_64", SIZE)) == FOLDED


@pytest.mark.parametrize(
    "runs",
    [
        ["bpf_trace_run2"],
        ["bpf_prog_6deef7357e7b4530", "bpf_trace_run2", "__bpf_trace_task_rename", "__traceiter_task_rename"],
        ["bpf_trampoline_6442"],
    ],
)
def test_functions_that_run_the_program_are_left_out(runs: list[str]) -> None:
    assert text_of(*map(at, runs), *WRITE) == FOLDED
    shown = ["bpf_trampoline" if name.startswith("bpf_trampoline_") else name for name in reversed(runs)]
    assert text_of(at("ext4_sync"), *map(at, runs)) == ";".join([*shown, "ext4_sync"])


def test_an_address_without_a_name_is_unknown_in_its_place() -> None:
    assert text_of(at("vfs_write"), BASE - 1, at("do_syscall_64")) == f"do_syscall_64;{UNKNOWN};vfs_write"
    assert text_of(at("vfs_write"), 0x1000, at("do_syscall_64")) == f"do_syscall_64;{UNKNOWN};vfs_write"


@pytest.mark.parametrize("count", [0, 1, 3, PLACES])
def test_a_stack_without_any_name_is_unknown_at_any_depth(count: int) -> None:
    """A kernel that hides its addresses gives no name at all."""
    assert text_of(*[BASE - 64] * count) == UNKNOWN


def test_a_stack_that_fills_the_array_may_have_more_functions() -> None:
    assert text_of(*WRITE, places=3) == f"{CUT};{FOLDED}"
    assert text_of(*WRITE, places=4) == FOLDED


def test_text_is_bounded_and_keeps_the_innermost_functions() -> None:
    text = text_of(at("vfs_write"), *[at("f" * 500)] * 3, at("ext4_sync"), places=32)
    assert text == f"{CUT};{'f' * 500};{'f' * 500};vfs_write"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a;asm_common_interrupt;{FOLDED}", f"asm_common_interrupt;{FOLDED}"),
        (f"asm_a;b;asm_sysvec_x;{FOLDED}", f"asm_sysvec_x;{FOLDED}"),
        (f"el0t_64_sync;c;el1h_64_irq;{FOLDED}", f"el1h_64_irq;{FOLDED}"),
        (FOLDED, FOLDED),
    ],
)
def test_the_stack_of_dropped_packets_begins_with_the_interrupt(text: str, shown: str) -> None:
    probe = standalone_probe(ROOT / "probes" / "packet_drop_stacks", "").probe
    rules = probe.metrics["probed_packet_drop_stacks_total"].labels["stack"].fold
    fold = folded(lambda _: text, [ResolvedFoldRule(rule.match, rule.replace, rule.parts) for rule in rules])
    assert fold(b"") == shown


def test_a_name_that_comes_later_is_looked_for_again() -> None:
    clock, named = Clock(), dict[int, str]()
    names = Lookup(named.get, clock)
    decode = stack(names)
    value = struct.pack("=2Q", at("vfs_write"), 0)
    assert decode(value) == UNKNOWN
    named[at("vfs_write")] = "vfs_write"
    clock.now += 10
    assert names.found_missed()
    assert decode(value) == "vfs_write"


addresses = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(BASE, BASE + SIZE * len(FUNCTIONS)), st.just(0), st.just(KERNEL_HALF)
)


@given(st.lists(addresses, min_size=2, max_size=127))
def test_any_addresses_become_bounded_text_that_prints(stack_: list[int]) -> None:
    text = text_of(*stack_, places=len(stack_))
    assert text.isprintable()
    assert 0 < len(text) <= MOST_CHARACTERS + len(CUT)
