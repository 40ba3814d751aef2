# SPDX-License-Identifier: Apache-2.0
"""A source gets the types that it names, each member at its offset, and nothing that could be wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.errors import HostError
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from probed.loader.headers.c_names import Tag, find_names
from probed.loader.headers.types import offsets_used, types_for
from support.unit.btf_builder import BtfBuilder, M, kernel

PLACE = Path("/sys/kernel/btf/vmlinux")


def parse(builder: BtfBuilder) -> Btf:
    return Btf.parse(builder.build(), PLACE)


def types(source: str, builder: BtfBuilder | None = None) -> str:
    return types_for(parse(builder or kernel()), source)


def definition(text: str, name: str) -> str:
    """Return one definition: from its name, or from ``typedef`` before it, to the end of its line."""
    found = re.search(rf"^{re.escape(name)} .*?^\}}; \}};$", text, re.DOTALL | re.MULTILINE)
    assert found, text
    return found[0]


def test_a_struct_is_a_union_of_its_named_members_at_their_offsets() -> None:
    assert types("struct task_struct *task; u32 x = task->tgid;") == (
        "struct task_struct { union {\n"
        "\tstruct { char probed_before_tgid[32]; signed int tgid; } __attribute__((packed));\n"
        "\tchar probed_size[512];\n"
        "}; };\n"
    )


def test_a_member_at_the_beginning_has_nothing_before_it() -> None:
    text = types("struct cred *cred; cred->usage")
    assert "struct { atomic_t usage; } __attribute__((packed));" in text


def test_the_order_and_repetition_of_names_do_not_matter() -> None:
    one = types("struct task_struct *a; struct cred *c; a->tgid; a->comm; c->uid")
    assert one == types("struct cred *c; struct task_struct *a; c->uid; a->comm; a->tgid; a->comm")


def test_a_struct_behind_a_pointer_comes_with_the_members_that_are_named() -> None:
    text = types("READ(READ((struct task_struct *)t, signal), live.counter)")
    assert "struct signal_struct *signal;" in text
    assert "char probed_before_live[4]; atomic_t live;" in definition(text, "struct signal_struct")


def test_a_struct_behind_a_pointer_of_which_nothing_is_named_stays_opaque() -> None:
    text = types("READ((struct task_struct *)t, signal)")
    assert "struct signal_struct *signal;" in text
    assert "struct signal_struct {" not in text


def test_a_struct_stands_before_the_one_that_contains_it() -> None:
    text = types("READ((struct task_struct *)t, thread_info.status)")
    assert text.index("struct thread_info {") < text.index("struct task_struct {")


def test_an_anonymous_struct_goes_by_its_typedef() -> None:
    text = types("kuid_t uid = ((struct cred *)c)->uid; uid.val")
    assert "typedef struct { union {\n\tstruct { unsigned int val; } __attribute__((packed));" in text
    assert "}; } kuid_t;" in text
    assert "kuid_t uid;" in definition(text, "struct cred")


def test_an_anonymous_struct_without_a_typedef_is_written_where_it_is() -> None:
    builder = kernel()
    inner = builder.struct("", 8, M("count", builder.integer("int", 4, signed=True), 32))
    builder.struct("outer", 16, M("stats", inner, 64))
    text = types("((struct outer *)o)->stats.count", builder)
    assert "char probed_before_stats[8]; struct { union {" in text
    assert "char probed_before_count[4]; signed int count;" in text


@pytest.mark.parametrize(
    ("member", "declaration"),
    [
        ("comm", "char comm[16];"),
        ("callback", "void *callback;"),
        ("state", "unsigned int state;"),
        ("real_parent", "struct task_struct *real_parent;"),
        ("files", "struct files_struct *files;"),
        ("second", "unsigned long long second;"),
    ],
)
def test_every_sort_of_member_is_declared(member: str, declaration: str) -> None:
    assert declaration in types(f"struct task_struct *t; t->{member}")


def test_arrays_of_arrays_and_pointers_are_declared_as_c_does() -> None:
    builder = kernel()
    short = builder.integer("short int", 2, signed=True)
    grid = builder.array(builder.array(short, 3), 2)
    pointers = builder.array(builder.pointer(builder.pointer(short)), 4)
    to_array = builder.pointer(grid)
    float_ = builder.floating("float", 4)
    builder.struct(
        "odd",
        128,
        M("grid", grid, 0),
        M("pointers", pointers, 96),
        M("to_array", to_array, 400),
        M("f", float_, 464),
    )
    text = types("struct odd *o; o->grid o->pointers o->to_array o->f", builder)
    assert "signed short grid[2][3];" in text
    assert "signed short **pointers[4];" in text
    assert "void *to_array;" in text
    assert "unsigned char f[4];" in text


def test_a_bit_field_is_refused_by_name_where_it_is_used() -> None:
    text = types("struct task_struct *t; t->in_iowait")
    assert "char in_iowait __attribute__((unavailable(\"'in_iowait' of 'struct task_struct' is a bit-field" in text


def test_a_struct_that_the_kernel_has_not_is_refused_where_it_is_used_with_near_names() -> None:
    text = types("struct tsk_struct *t;")
    assert text.startswith("struct __attribute__((unavailable(\"the running kernel has no 'struct tsk_struct'; near")
    assert "task_struct" in text


def test_a_struct_that_the_source_only_declares_may_be_unknown() -> None:
    assert types("struct of_another_kernel; struct of_another_kernel *p;") == ""


def test_a_struct_that_the_source_declares_and_the_kernel_has_is_written() -> None:
    assert "struct task_struct {" in types("struct task_struct; ((struct task_struct *)p)->tgid")


def test_a_struct_that_the_kernel_only_declares_stays_opaque() -> None:
    assert types("struct files_struct *f;") == "struct files_struct;\n"


@pytest.mark.parametrize(
    "source",
    [
        "struct event { u64 tgid; }; struct event *e;",
        "struct __attribute__((packed)) event { u64 tgid; }; struct event *e;",
        "struct bpf_raw_tracepoint_args *ctx;",
        "struct __sk_buff *skb;",
        "// struct task_struct tgid",
        '/* struct\ntask_struct */ char *s = "struct task_struct", c = \'"\'; /* " */',
        "u32 kuid_t = 1; f(kuid_t);",
        "BPF_HASH(kuid_t, u32, u64);",
        "enum { kuid_t, other };",
        "#define kuid_t u32\nkuid_t x;",
        "task->kuid_t, kuid_t;",
    ],
)
def test_what_the_source_has_itself_is_left_to_it(source: str) -> None:
    assert types(source) == ""


@pytest.mark.parametrize(
    "source",
    [
        "kuid_t x;",
        "f((kuid_t)x);",
        "sizeof(kuid_t)",
        "BPF_HASH(uids, kuid_t, u64);",
        "kuid_t *f(void)",
        "g(const kuid_t *x)",
    ],
)
def test_a_typedef_is_written_where_it_stands_for_a_type(source: str) -> None:
    assert "} kuid_t;" in types(source)


def test_a_typedef_of_a_scalar_is_resolved() -> None:
    assert types("uid_t x;") == "typedef unsigned int uid_t;\n"


def test_a_kernel_struct_of_the_name_of_one_of_the_source_cannot_be_read_through() -> None:
    builder = kernel()
    event = builder.struct("event", 8)
    builder.struct("holder", 16, M("here", event, 0), M("there", builder.pointer(event), 64))
    text = types("struct event { u64 a; }; struct holder *h; h->here h->there", builder)
    assert "unsigned char here[8];" in text
    assert "void *there;" in text


def test_two_structs_of_one_name_are_refused_when_the_source_could_mix_them_up() -> None:
    builder = kernel()
    int_ = builder.integer("int", 4)
    builder.struct("console", 8, M("index", int_, 0))
    builder.struct("console", 8, M("index", int_, 32))
    assert "the running kernel has 2 different types 'struct console'" in types("struct console *c; c->index", builder)


def test_two_structs_of_one_name_that_agree_in_what_is_read_are_one() -> None:
    builder = kernel()
    int_ = builder.integer("int", 4)
    first = builder.struct("console", 8, M("index", int_, 0), M("a", int_, 32))
    second = builder.struct("console", 8, M("index", int_, 0), M("b", int_, 32))
    builder.struct("both", 16, M("one", builder.pointer(first), 0), M("two", builder.pointer(second), 64))
    text = types("struct both *x; x->one->index + x->two->index", builder)
    assert "struct console *one;" in text
    assert "struct console *two;" in text


def test_another_struct_of_a_name_that_is_taken_cannot_be_read_through() -> None:
    builder = kernel()
    int_ = builder.integer("int", 4)
    first = builder.struct("console", 8, M("index", int_, 0))
    second = builder.struct("console", 8, M("index", int_, 32))
    builder.struct("both", 16, M("one", builder.pointer(first), 0), M("two", builder.pointer(second), 64))
    text = types("struct both *x; x->one->index + x->two->index", builder)
    assert "struct console *one;" in text
    assert "void *two;" in text


def test_a_struct_that_is_refused_does_not_spoil_those_that_point_to_it() -> None:
    builder = kernel()
    int_ = builder.integer("int", 4)
    first = builder.struct("console", 8, M("index", int_, 0))
    builder.struct("console", 8, M("index", int_, 32))
    builder.struct("holder", 16, M("one", builder.pointer(first), 0), M("other", first, 64))
    text = types("struct holder *h; h->one->index h->other;\n#if 0\nstruct console *c;\n#endif", builder)
    assert "void *one;" in text
    assert "unsigned char other[8];" in text


def test_a_struct_known_only_by_name_to_some_files_is_still_one() -> None:
    builder = kernel()
    console = builder.struct("console", 8, M("index", builder.integer("int", 4), 0))
    known, unknown = builder.pointer(console), builder.pointer(builder.forward("console"))
    builder.struct("holder", 8, M("one", known, 0))
    builder.struct("holder", 8, M("one", unknown, 0))
    assert "struct console *one;" in types("struct holder *h; h->one->index", builder)


def test_an_enum_has_the_constants_that_are_named_and_the_width_of_the_kernel() -> None:
    text = types("enum task_state s = SLEEPING;")
    assert text == (
        "enum task_state { SLEEPING = 1, probed_largest_task_state = 2147483647 } __attribute__((packed));\n"
    )


def test_an_enum_with_negative_constants_is_signed() -> None:
    builder = BtfBuilder()
    builder.enum("verdict", 1, signed=True, NO=-1, YES=1)
    assert "{ NO = -1, probed_largest_verdict = 127, probed_least_verdict = -1 }" in types(
        "enum verdict v = NO;", builder
    )


def test_an_unknown_enum_is_refused_where_it_is_used() -> None:
    assert "unavailable(\"the running kernel has no 'enum task_stat'; near names: task_state\")" in types(
        "enum task_stat s;"
    )


def test_the_offsets_are_those_of_the_text() -> None:
    source = "struct task_struct *t; t->real_parent->tgid + t->signal->live.counter + t->in_iowait"
    assert offsets_used(parse(kernel()), source) == {
        ("task_struct", "tgid"): 32,
        ("task_struct", "real_parent"): 40,
        ("task_struct", "signal"): 64,
        ("signal_struct", "live"): 4,
        ("atomic_t", "counter"): 0,
    }


@given(st.integers(0, 100_000))
def test_a_member_that_moves_moves_in_the_text(offset: int) -> None:
    builder = BtfBuilder()
    builder.struct("moving", 200_000, M("value", builder.integer("int", 4, signed=True), 8 * offset))
    source = "((struct moving *)p)->value"
    assert offsets_used(parse(builder), source) == {("moving", "value"): offset}
    assert (f"[{offset}]; signed int value;" in types(source, builder)) == (offset > 0)


@pytest.mark.parametrize(("register", "function", "has"), [
    ("r15", "__do_fast_syscall_32", True), ("r15", "__ia32_compat_sys_execve", True),
    ("r15", "schedule", False), ("bx", "__do_fast_syscall_32", False),
])  # fmt: skip
def test_a_second_table_of_system_calls_is_told_where_there_is_one(register: str, function: str, has: bool) -> None:
    builder = BtfBuilder()
    builder.struct("pt_regs", 168, M(register, builder.integer("long unsigned int", 8), 0))
    builder.refer(Kind.FUNC, builder.prototype(), function)
    assert types("#ifdef PROBED_HAS_IA32\n#endif", builder) == ("#define PROBED_HAS_IA32 1\n" if has else "")
    assert types("u32 x;", builder) == ""


def test_all_registers_are_there_for_bcc_macros_that_name_them() -> None:
    builder = BtfBuilder()
    ulong = builder.integer("long unsigned int", 8)
    builder.struct("pt_regs", 16, M("di", ulong, 0), M("si", ulong, 64))
    assert "unsigned long long si;" in types("PT_REGS_PARM2((struct pt_regs *)ctx)", builder)
    assert "unsigned long long si;" not in types("((struct pt_regs *)ctx)->di", builder)


def test_a_struct_that_contains_itself_is_damaged_btf() -> None:
    builder = BtfBuilder()
    builder.struct("snake", 8, M("tail", 1, 0))
    with pytest.raises(HostError, match=r"type 1 .struct 'snake'. is not one that a struct of C could have"):
        types("((struct snake *)s)->tail", builder)


def test_pointers_in_a_circle_are_damaged_btf() -> None:
    builder = BtfBuilder()
    builder.struct("holder", 8, M("lost", 2, 0))
    builder.pointer(2)
    with pytest.raises(HostError, match="stands behind more than 32 pointers and arrays"):
        types("((struct holder *)h)->lost", builder)


def test_mentions_tell_a_definition_from_a_declaration_from_a_use() -> None:
    found = find_names("struct own { int a; }; struct later; union used *u; enum kind { A = 1, B };")
    assert found.tags == {Tag("struct", "later"), Tag("union", "used")}
    assert found.declared == {Tag("struct", "later")}
    assert found.defined >= {"own", "kind", "A", "B"}


def test_mentions_keep_headers_in_order_and_leave_out_quoted_ones() -> None:
    text = '#include <linux/sched.h>\n#include "probed.bpf.h"\n'
    text += " # include <net/sock.h> // x\n// #include <no.h>\n"
    assert find_names(text).includes == ("linux/sched.h", "net/sock.h")


@given(st.text())
def test_any_text_at_all_can_be_looked_through(text: str) -> None:
    types_for(parse(kernel()), text)
