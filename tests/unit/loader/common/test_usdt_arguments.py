# SPDX-License-Identifier: Apache-2.0
"""Arguments of USDT probes: the assembler's text as numbers for the programs, and texts that they cannot follow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probed.config.declaration.scalars import MAX_ARGUMENTS
from probed.elf.usdt import UsdtPlace
from probed.loader.common.hook_chain import entry_in_usdt
from probed.loader.common.usdt_arguments import MAX_FORMS, UsdtArgument, packed, usdt_forms

HEADER = Path(__file__).parents[4] / "probes/include/probed.bpf.h"
AX, BX, SP = 80, 40, 152


def argument(text: str) -> UsdtArgument:
    ((only,),) = usdt_forms("a.b", [UsdtPlace(7, 0, text)], None).forms
    return only


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("8@%rax", (0, AX, 1, 0, 0, 0, 0, 0)),
        ("-4@%eax", (0, AX, 1, 0, 0, 0, 32, 1)),
        ("2@%ax", (0, AX, 1, 0, 0, 0, 48, 0)),
        ("-1@%al", (0, AX, 1, 0, 0, 0, 56, 1)),
        ("1@%sil", (0, 104, 1, 0, 0, 0, 56, 0)),
        ("4@%r15d", (0, 0, 1, 0, 0, 0, 32, 0)),
        ("-4@$-7", (-7, 0, 0, 0, 0, 0, 32, 1)),
        ("8@$0x10", (16, 0, 0, 0, 0, 0, 0, 0)),
        ("8@$18446744073709551615", (-1, 0, 0, 0, 0, 0, 0, 0)),
        ("8@(%rax)", (0, AX, 1, 0, 0, 8, 0, 0)),
        ("-4@-32(%rsp)", (-32, SP, 1, 0, 0, 4, 32, 1)),
        ("8@16(%rax,%rbx,8)", (16, AX, 1, BX, 8, 8, 0, 0)),
        ("8@(%rax,%rbx)", (0, AX, 1, BX, 1, 8, 0, 0)),
        ("1@4096(,%rbx,4)", (4096, 0, 0, BX, 4, 1, 56, 0)),
    ],
)
def test_an_argument_is_a_sum_of_a_number_and_registers_or_the_memory_there(
    text: str, members: tuple[int, ...]
) -> None:
    assert argument(text).members == members


@pytest.mark.parametrize(
    "text", ["8f@%xmm0", "8@%xmm0", "1@%ah", "8@name(%rip)", "8@(%rip)", "3@%rax", "%rax", "8@%cs", "8@[sp, 16]"]
)
def test_an_argument_that_no_program_can_read_is_an_error_with_a_remedy(text: str) -> None:
    place = UsdtPlace(7, 0, f"8@%rax {text}")
    read = r"programs cannot read argument 1 of the USDT probe 'a\.b', which is at '.*'arguments: 1' takes those before"
    with pytest.raises(ValueError, match=read):
        usdt_forms("a.b", [place], None)
    assert len(usdt_forms("a.b", [place], 1).forms[0]) == 1


def test_without_arguments_a_program_counts() -> None:
    with pytest.raises(ValueError, match="'arguments: 0' counts without arguments"):
        argument("8f@%xmm0")
    assert usdt_forms("a.b", [UsdtPlace(7, 0, "8f@%xmm0")], 0).forms == ((),)


def test_more_arguments_than_there_are_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"'a\.b' has 1 argument at 0x7, and 'arguments' is 2"):
        usdt_forms("a.b", [UsdtPlace(7, 0, "8@%rax")], 2)


def test_places_with_equal_arguments_have_one_form() -> None:
    texts = ["8@%rax 4@%ebx", "8@%rcx 4@%ebx", "8@%rax 4@%ecx"]
    places = [UsdtPlace(at, at % 2, text) for at, text in enumerate([*texts, texts[1]])]
    every, first = (usdt_forms("a.b", places, arguments) for arguments in (None, 1))
    assert (every.numbers, len(every.forms)) == ((0, 1, 2, 1), 3)
    assert (first.numbers, len(first.forms)) == ((0, 1, 0, 1), 2)
    assert every.semaphores == (0, 1, 0, 1)


def test_more_forms_than_programs_have_room_for_are_an_error() -> None:
    places = [UsdtPlace(at, 0, f"8@{8 * at}(%rsp)") for at in range(MAX_FORMS + 1)]
    assert len(usdt_forms("a.b", places[:-1], None).forms) == MAX_FORMS
    with pytest.raises(ValueError, match="has its arguments in 17 ways at 17 places; 16 are the most"):
        usdt_forms("a.b", places, None)


def test_the_table_of_an_object_has_a_row_for_each_form() -> None:
    forms = usdt_forms("a.b", [UsdtPlace(1, 0, "8@%rax -4@$-7"), UsdtPlace(2, 0, "8@%rbx")], None).forms
    table = packed(forms)
    assert len(table) == 2 * MAX_ARGUMENTS * 16
    assert table[:16] == bytes([0] * 8 + [AX, 1, 0, 0, 0, 0, 0, 0])
    assert table[16:32] == b"\xf9" + b"\xff" * 7 + bytes([0, 0, 0, 0, 0, 32, 1, 0])
    assert table[MAX_ARGUMENTS * 16 :][:16] == bytes([0] * 8 + [BX, 1, 0, 0, 0, 0, 0, 0])
    assert not any(table[(MAX_ARGUMENTS + 1) * 16 :])


def test_the_c_of_one_form_asks_the_kernel_nothing() -> None:
    forms = usdt_forms("a.b", [UsdtPlace(1, 0, "-4@$-7"), UsdtPlace(2, 0, "-4@$-7")], None)
    text = entry_in_usdt("on_x", forms)
    assert "cookie" not in text
    assert "{(s64)18446744073709551609ULL, 0, 0, 0, 0, 0, 32, 1}" in text
    two = entry_in_usdt("on_x", usdt_forms("a.b", [UsdtPlace(1, 0, "8@%rax"), UsdtPlace(2, 0, "8@%rbx")], None))
    assert re.findall(r"if \(form == (\d)\)", two) == ["0", "1"]


def test_the_header_has_the_same_sizes() -> None:
    numbers = dict(re.findall(r"#define (USDT_\w+) +(\d+)", HEADER.read_text()))
    assert numbers == {"USDT_FORMS": str(MAX_FORMS), "USDT_ARGUMENTS": str(MAX_ARGUMENTS)}
