# SPDX-License-Identifier: Apache-2.0
"""USDT probes of ELF files, of a compiled workload and of files made of bytes."""

from __future__ import annotations

import random
import re
import struct
import subprocess
from pathlib import Path

import pytest

from probed.elf.usdt import UsdtPlace, read_usdt_probes
from support.workload_programs import compile_workloads

CODE, DATA, BASE = 0x400000, 0x600000, 0x500000


def note(name: str, address: int, arguments: str = "", semaphore: int = 0, owner: bytes = b"stapsdt\0") -> bytes:
    """Return a note of the provider `known`, whose .stapsdt.base was at `BASE`."""
    texts = b"".join(text.encode() + b"\0" for text in ("known", name, arguments))
    description = struct.pack("<QQQ", address, BASE, semaphore) + texts
    padding = b"\0" * (-len(description) % 4)
    return struct.pack("<III", len(owner), len(description), 3) + owner + description + padding


def elf(notes: bytes, base: int | None = BASE) -> bytes:
    """Return an ELF file with code from 0x1000 in the file on, data from 0x3000 on, notes, and .stapsdt.base."""
    segments = [
        struct.pack("<IIQQQQQQ", 1, flags, at, address, address, 4096, 4096, 4096)
        for flags, at, address in ((5, 0x1000, CODE), (6, 0x3000, DATA))
    ]
    names = b"\0.stapsdt.base\0"
    begin = 64 + sum(map(len, segments))
    sections = [
        (1, 1, base or 0, 0, 0) if base is not None else (0, 0, 0, 0, 0),
        (0, 7, 0, begin, len(notes)),
        (0, 3, 0, begin + len(notes), len(names)),
    ]
    table = b"".join(struct.pack("<IIQQQQIIQQ", *each[:2], 0, *each[2:], 0, 0, 4, 0) for each in sections)
    header = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    at = begin + len(notes) + len(names)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, at, 0, 64, 56, 2, 64, 3, 2)
    return header + b"".join(segments) + notes + names + table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "program"


def test_places_of_a_probe_are_offsets_in_the_file_with_semaphore_and_arguments(file: Path) -> None:
    notes = [
        note("one", CODE + 0x10, "8@%rax -4@$7"),
        note("two", CODE + 0x20, semaphore=DATA + 0x40),
        note("one", CODE + 0x30, "8@%rbx -4@$7"),
    ]
    file.write_bytes(elf(b"".join(notes)))
    assert read_usdt_probes(str(file)) == {
        "known.one": (UsdtPlace(0x1010, 0, "8@%rax -4@$7"), UsdtPlace(0x1030, 0, "8@%rbx -4@$7")),
        "known.two": (UsdtPlace(0x1020, 0x3040, ""),),
    }


@pytest.mark.parametrize("moved", [-0x100, 0x100])
def test_addresses_of_a_file_that_a_tool_has_moved_follow_the_section_beside_the_notes(file: Path, moved: int) -> None:
    file.write_bytes(elf(note("one", CODE + 0x110, semaphore=DATA + 0x140), BASE + moved))
    assert read_usdt_probes(str(file)) == {"known.one": (UsdtPlace(0x1110 + moved, 0x3140 + moved, ""),)}


def test_without_that_section_the_addresses_are_those_of_the_notes(file: Path) -> None:
    file.write_bytes(elf(note("one", CODE + 0x10), None))
    assert read_usdt_probes(str(file)) == {"known.one": (UsdtPlace(0x1010, 0, ""),)}


def test_notes_of_other_owners_and_places_outside_of_the_code_are_left_out(file: Path) -> None:
    other = note("other", CODE + 0x10, owner=b"GNU\0")
    file.write_bytes(elf(other + note("outside", DATA) + note("one", CODE + 0x10)))
    assert list(read_usdt_probes(str(file))) == ["known.one"]


def test_a_file_without_notes_has_no_probes(file: Path) -> None:
    file.write_bytes(elf(b""))
    assert read_usdt_probes(str(file)) == {}


def test_a_semaphore_outside_of_the_data_is_an_error(file: Path) -> None:
    file.write_bytes(elf(note("one", CODE, semaphore=CODE)))
    with pytest.raises(ValueError, match=r"is damaged: the semaphore of the USDT probe 'known\.one' is outside"):
        read_usdt_probes(str(file))


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n" * 99, b"\x7fELF\x01\x01" + b"\0" * 99])
def test_another_kind_of_file_is_an_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is no ELF file of 64 bits"):
        read_usdt_probes(str(file))


def test_a_damaged_file_is_an_error_or_has_other_probes(file: Path) -> None:
    whole = elf(note("one", CODE + 0x10, "8@%rax") + note("two", CODE + 0x20, "", DATA + 0x40))
    chance = random.Random(7)
    for _ in range(499):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(6, len(damaged))] = chance.randrange(256)
        file.write_bytes(damaged[: chance.randrange(7, len(damaged) + 1)])
        try:
            read_usdt_probes(str(file))
        except ValueError as error:
            assert str(file) in str(error)


def test_probes_of_a_compiled_program_are_those_of_readelf(tmp_path: Path) -> None:
    compile_workloads(tmp_path, "marks")
    program = str(tmp_path / "marks")
    told = subprocess.run(["readelf", "--notes", "--wide", program], capture_output=True, text=True, check=True).stdout
    wanted = re.findall(r"Provider: (\S+)\s+Name: (\S+)\s+Location: .*\s+Arguments: (.*)", told)
    probes = read_usdt_probes(program)
    found = [(*name.split("."), place.arguments) for name, places in probes.items() for place in places]
    assert len(wanted) == 5
    assert sorted(found) == sorted(wanted)
    code = Path(program).read_bytes()
    assert {code[place.offset] for places in probes.values() for place in places} == {0x90}  # nop
    assert [name for name, places in probes.items() if places[0].semaphore] == ["known.guarded"]
