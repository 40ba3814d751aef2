# SPDX-License-Identifier: Apache-2.0
"""The reader returns the kernel's types, and refuses contradictory BTF."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.errors import HostError
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf, Enumerator
from probed.loader.headers.types import offsets_used, types_for
from support.unit.btf_builder import BtfBuilder, M, kernel

PLACE = Path("/sys/kernel/btf/vmlinux")
SOURCE = """
struct task_struct *task; atomic_t *count; enum task_state state; struct union_of_none *none;
u32 all = task->real_parent->tgid + task->thread_info.status + task->signal->live.counter + task->first +
    task->second + task->comm[0] + task->cred->uid.val + task->callback + task->files + task->in_iowait +
    task->state;
"""


def parse(builder: BtfBuilder, base: Btf | None = None) -> Btf:
    return Btf.parse(builder.build(), PLACE, base)


def one(btf: Btf, kind: Kind, name: str) -> int:
    (type_id,) = btf.find(kind, name)
    return type_id


def member(btf: Btf, struct_name: str, name: str) -> tuple[int, bool]:
    found = {each.name: each for each in btf.members(one(btf, Kind.STRUCT, struct_name))}[name]
    return found.offset, found.bit_field


def test_a_member_has_its_offset_in_bytes() -> None:
    assert member(parse(kernel()), "task_struct", "tgid") == (32, False)


def test_members_of_anonymous_unions_belong_to_the_struct_around() -> None:
    btf = parse(kernel())
    assert member(btf, "task_struct", "first") == (24, False)
    assert member(btf, "task_struct", "second") == (24, False)


def test_a_bit_field_is_marked_and_its_neighbours_are_not() -> None:
    btf = parse(kernel())
    assert member(btf, "task_struct", "in_iowait") == (20, True)
    assert member(btf, "task_struct", "state") == (16, False)


def test_an_integer_of_fewer_bits_than_bytes_is_a_bit_field_of_old_btf() -> None:
    builder = BtfBuilder()
    narrow = builder.integer("unsigned int", 4, bits=3)
    builder.struct("old", 4, M("flag", narrow, 0))
    assert member(parse(builder), "old", "flag") == (0, True)


def test_a_member_that_starts_inside_a_byte_is_a_bit_field() -> None:
    builder = BtfBuilder()
    builder.struct("old", 4, M("flag", builder.integer("unsigned int", 4), 13))
    assert member(parse(builder), "old", "flag") == (1, True)


def test_typedefs_and_qualifiers_come_off_and_the_innermost_name_stays() -> None:
    builder = BtfBuilder()
    int_ = builder.integer("int", 4, signed=True)
    inner = builder.typedef("inner_t", builder.refer(Kind.VOLATILE, int_))
    outer = builder.typedef("outer_t", builder.refer(Kind.CONST, builder.refer(Kind.TYPE_TAG, inner, "rcu")))
    assert parse(builder).resolve(outer) == (int_, "inner_t")


@pytest.mark.parametrize(("size", "signed", "value"), [(4, True, -1), (4, False, 2**32 - 1), (8, True, -(2**40))])
def test_an_enum_constant_has_the_sign_and_width_of_its_enum(size: int, signed: bool, value: int) -> None:
    builder = BtfBuilder()
    type_id = builder.enum("e", size, signed=signed, LIMIT=value)
    assert list(parse(builder).enumerators(type_id)) == [Enumerator("LIMIT", value)]


def test_an_enum_is_found_by_its_name_whatever_its_width() -> None:
    builder = BtfBuilder()
    builder.enum("bpf_cmd", 4, BPF_MAP_CREATE=0, BPF_PROG_RUN=10)
    builder.enum("limits", 8, LIMIT=1 << 40)
    btf = parse(builder)
    assert btf.enum_names() == {"bpf_cmd", "limits"}
    assert btf.enum_constants("bpf_cmd") == (Enumerator("BPF_MAP_CREATE", 0), Enumerator("BPF_PROG_RUN", 10))
    assert btf.enum_constants("limits") == (Enumerator("LIMIT", 1 << 40),)
    assert btf.enum_constants("drop_reason") == ()


def test_two_types_of_one_name_are_both_found() -> None:
    builder = BtfBuilder()
    both = (builder.struct("console", 4), builder.struct("console", 8))
    assert parse(builder).find(Kind.STRUCT, "console") == both


def test_raw_tracepoints_are_the_typedefs_that_bpf_knows_them_by() -> None:
    assert parse(kernel()).raw_tracepoints() == {"sched_process_exit", "sys_enter"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("sys_enter", 2), ("sched_process_exit", 1), ("sys_entr", None), ("not_a_pointer", None)],
)
def test_a_tracepoint_has_as_many_arguments_as_its_function_less_its_own_data(name: str, arguments: int | None) -> None:
    builder = kernel()
    builder.typedef("btf_trace_not_a_pointer", builder.integer("int", 4))
    assert parse(builder).tracepoint_arguments(name) == arguments


def test_functions_are_known_by_name() -> None:
    btf = parse(kernel())
    assert btf.has_function("schedule")
    assert not btf.has_function("task_struct")


def test_no_function_is_known_by_the_end_of_its_name_or_by_the_name_of_another_type() -> None:
    builder = BtfBuilder()
    number = builder.integer("wake", 4)
    builder.refer(Kind.FUNC, builder.prototype(number), "try_to_wake_up")
    btf = parse(builder)
    assert btf.has_function("try_to_wake_up")
    assert not any(map(btf.has_function, ("to_wake_up", "try_to_wake", "wake", "")))


def test_members_that_are_asked_for_by_name_are_those_of_all() -> None:
    btf = parse(kernel())
    task = one(btf, Kind.STRUCT, "task_struct")
    every = list(btf.members(task))
    assert len(every) > 2
    for each in every:
        assert list(btf.members(task, {each.name})) == [each]
    assert list(btf.members(task, {"no_such_member"})) == []


def test_a_module_goes_on_where_the_kernel_ends() -> None:
    base = kernel()
    module = BtfBuilder(base)
    task = one(parse(base), Kind.STRUCT, "task_struct")
    module.struct("nf_conn", 16, M("owner", module.pointer(task), 64), M("tgid", task, 0))
    btf = parse(module, parse(base))
    assert member(btf, "nf_conn", "owner") == (8, False)
    assert member(btf, "task_struct", "tgid") == (32, False)
    assert "struct task_struct *owner" in types_for(btf, "struct nf_conn *c; c->owner->tgid")


def test_unknown_kinds_are_skipped_where_the_btf_tells_their_size() -> None:
    builder = BtfBuilder()
    builder.raw("later", 20, 2, 0, 7, 1, 2, 3, 4)
    builder.struct("after", 4, M("value", builder.integer("int", 4), 0))
    layout = struct.pack("=BBH", 0, 0, 0) * 20 + struct.pack("=BBH", 4, 8, 0)
    btf = Btf.parse(builder.build(layout=layout), PLACE)
    assert member(btf, "after", "value") == (0, False)
    with pytest.raises(HostError, match="kind 20"):
        btf.kind(1)


def test_unknown_kinds_without_a_size_are_refused_by_number() -> None:
    builder = BtfBuilder()
    builder.raw("later", 20, 0, 0)
    with pytest.raises(HostError, match=r"type 1 is of kind 20, .* upgrade probed"):
        parse(builder)


def test_a_kernel_without_btf_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"vmlinux does not exist; boot a kernel .*CONFIG_DEBUG_INFO_BTF=y"):
        Btf.read(tmp_path / "vmlinux")


def test_a_module_without_btf_is_told_how_to_load_it(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"modprobe nf_conntrack.*CONFIG_DEBUG_INFO_BTF_MODULES=y"):
        Btf.read(tmp_path / "nf_conntrack", parse(kernel()))


def test_a_file_that_was_named_wrongly_is_told_where_the_kernels_is(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"there are no types at .*/vmlinus: .* at /sys/kernel/btf/vmlinux"):
        Btf.read(tmp_path / "vmlinus")


def test_an_unreadable_file_says_why(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="Is a directory"):
        Btf.read(tmp_path)


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(kernel().build())
    assert Btf.read(str(tmp_path / "vmlinux")).find(Kind.STRUCT, "task_struct")


def test_another_byte_order_is_refused() -> None:
    other = BtfBuilder(order="big" if sys.byteorder == "little" else "little")
    other.integer("int", 4)
    with pytest.raises(HostError, match=f"byte order is not this machine's \\({sys.byteorder}-endian\\)"):
        parse(other)


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (b"", "0 bytes, fewer than its header"),
        (b"\x7fELF" + bytes(60), "begins with 0x457f"),
        (kernel().build(version=2), "its version is 2"),
        (kernel().build()[:-1], "cut off"),
        (kernel().build()[:-1] + b"x", "last name has no end"),
    ],
)
def test_what_is_not_btf_is_refused_with_the_fact_and_the_place(data: bytes, fact: str) -> None:
    with pytest.raises(HostError, match=fact) as error:
        Btf.parse(data, PLACE)
    assert str(error.value).startswith(f"{PLACE}: ")


def test_a_type_that_is_cut_off_is_refused() -> None:
    builder = BtfBuilder()
    builder.raw("short", Kind.STRUCT, 9, 4)
    with pytest.raises(HostError, match="end within type 1"):
        parse(builder)


def test_a_circle_of_typedefs_is_refused() -> None:
    builder = BtfBuilder()
    builder.typedef("a", 2)
    builder.typedef("b", 1)
    with pytest.raises(HostError, match="more than 32 typedefs"):
        parse(builder).resolve(1)


def test_an_anonymous_struct_that_contains_itself_is_refused() -> None:
    builder = BtfBuilder()
    builder.struct("", 8, M("", 1, 0))
    with pytest.raises(HostError, match="contains itself"):
        list(parse(builder).members(1))


def test_a_type_that_is_not_there_is_refused() -> None:
    with pytest.raises(HostError, match="there is no type 4000"):
        parse(kernel()).kind(4000)


def read_everything(data: bytes) -> None:
    """Ask for all that probed asks for."""
    btf = Btf.parse(data, PLACE)
    btf.raw_tracepoints()
    btf.has_function("schedule")
    btf.tracepoint_arguments("sys_enter")
    types_for(btf, SOURCE)
    offsets_used(btf, SOURCE)


GOOD = kernel().build()


def test_the_undamaged_btf_passes_what_the_damaged_is_put_to() -> None:
    read_everything(GOOD)


@given(st.integers(0, len(GOOD) - 1))
def test_a_truncated_btf_is_refused_and_never_crashes(length: int) -> None:
    with pytest.raises(HostError):
        read_everything(GOOD[:length])


@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD) // 4 - 1), st.integers(0, 64) | st.integers(0, 2**32 - 1)),
        min_size=1,
    )
)
def test_a_corrupt_btf_is_read_or_refused_and_never_crashes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for word, value in changes:
        struct.pack_into("=I", data, 4 * word, value)
    try:
        read_everything(bytes(data))
    except HostError as error:
        assert str(PLACE) in str(error)
