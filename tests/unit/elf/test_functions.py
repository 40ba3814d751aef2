# SPDX-License-Identifier: Apache-2.0
"""Functions of ELF files, of a compiled workload and of files made of bytes."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from probed.elf.functions import read_functions


def elf(symbols: dict[str, int], kind: int = 2, address: int = 0x400000, at: int = 0x1000) -> bytes:
    """Return an ELF file with one executable segment of 4096 bytes, `at` in the file, and a table of symbols."""
    names, entries = b"\0", b"\0" * 24
    for name, value in symbols.items():
        entries += struct.pack("<IBBHQQ", len(names), kind, 0, 1, value, 1)
        names += name.encode() + b"\0"
    header_size, segment = 64, struct.pack("<IIQQQQQQ", 1, 5, at, address, address, 4096, 4096, 4096)
    tables = header_size + len(segment)
    sections = tables + len(entries) + len(names)
    header = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, header_size, sections, 0, 64, 56, 1, 64, 3, 0)
    symbol_section = struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, tables, len(entries), 2, 0, 8, 24)
    name_section = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, tables + len(entries), len(names), 0, 0, 1, 0)
    return header + segment + entries + names + b"\0" * 64 + symbol_section + name_section


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "program"


def test_an_address_becomes_an_offset_in_the_file(file: Path) -> None:
    file.write_bytes(elf({"one": 0x400010, "two": 0x400020, "outside": 0x500000}))
    assert read_functions(str(file)) == {"one": (0x1010,), "two": (0x1020,)}


@pytest.mark.parametrize("kind", [0, 1, 10])  # no type, data, and a function that the dynamic linker chooses
def test_symbols_of_other_kinds_are_no_functions(file: Path, kind: int) -> None:
    file.write_bytes(elf({"one": 0x400010}, kind))
    assert read_functions(str(file)) == {}


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n" * 99, b"\x7fELF\x01\x01" + b"\0" * 99])
def test_another_kind_of_file_is_an_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is no ELF file of 64 bits"):
        read_functions(str(file))


def test_a_damaged_file_is_an_error_or_has_fewer_functions(file: Path) -> None:
    whole, chance = elf({"one": 0x400010, "two": 0x400020}), random.Random(7)
    for _ in range(499):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(6, len(damaged))] = chance.randrange(256)
        file.write_bytes(damaged[: chance.randrange(7, len(damaged) + 1)])
        try:
            read_functions(str(file))
        except ValueError as error:
            assert str(file) in str(error)


def test_functions_of_a_program_are_those_of_nm() -> None:
    program = str(Path(sys.executable).resolve())
    command = ["nm", "--dynamic", "--defined-only", "--format=sysv", program]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    symbols = [list(map(str.strip, line.split("|"))) for line in told.stdout.splitlines() if "|" in line]
    wanted = {name.partition("@")[0] for name, _, letter, kind, *_ in symbols if (letter, kind) == ("T", "FUNC")}
    assert wanted
    assert wanted <= set(read_functions(program))
