# SPDX-License-Identifier: Apache-2.0
"""Reads the functions of a program or library from the ELF symbols, as offsets in the file, which uprobes take.

`host` calls it for attach points. Source: elf(5).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")  # struct Elf64_Ehdr after e_ident
_SEGMENT = struct.Struct("<IIQQQQQQ")  # struct Elf64_Phdr
_SECTION = struct.Struct("<IIQQQQIIQQ")  # struct Elf64_Shdr
_SYMBOL = struct.Struct("<IBBHQQ")  # struct Elf64_Sym
_LOAD, _EXECUTABLE = 1, 1
_SYMBOL_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM
_FUNCTION = 2  # STT_FUNC; functions that the dynamic linker chooses (STT_GNU_IFUNC) have another type


def read_functions(path: str) -> Mapping[str, tuple[int, ...]]:
    """Return the offsets of each function: several where versions of a symbol differ.

    Raises OSError, and ValueError for another kind of file.
    """
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size < _HEADER.size:
            raise ValueError(f"'{path}' is no ELF file of 64 bits")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _functions(data, path)
            except (struct.error, OverflowError) as error:
                raise ValueError(f"'{path}' is damaged: {error}") from error


def _functions(data: mmap.mmap, path: str) -> Mapping[str, tuple[int, ...]]:
    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError(f"'{path}' is no ELF file of 64 bits")
    _, _, _, _, segments, sections, _, _, segment_size, segment_count, section_size, section_count, _ = (
        _HEADER.unpack_from(data)
    )
    loads = [
        (address, size, offset)
        for kind, flags, offset, address, _, size, _, _ in (
            _SEGMENT.unpack_from(data, segments + number * segment_size) for number in range(segment_count)
        )
        if kind == _LOAD and flags & _EXECUTABLE
    ]
    tables = [_SECTION.unpack_from(data, sections + number * section_size) for number in range(section_count)]
    found: dict[str, set[int]] = {}
    for _, kind, _, _, offset, size, link, _, _, _ in tables:
        if kind in _SYMBOL_TABLES and link < section_count:
            names = data[tables[link][4] : tables[link][4] + tables[link][5]]
            for name, address in _symbols(data[offset : offset + size], names):
                found.setdefault(name, set()).update(
                    address - begin + at for begin, length, at in loads if begin <= address < begin + length
                )
    return {name: tuple(sorted(offsets)) for name, offsets in found.items() if offsets}


def _symbols(table: bytes, names: bytes) -> Iterator[tuple[str, int]]:
    """Yield name and address of each defined function."""
    whole = len(table) - len(table) % _SYMBOL.size
    for name, info, _, section, address, _ in _SYMBOL.iter_unpack(table[:whole]):
        if info & 0xF == _FUNCTION and section and name < len(names):
            yield names[name : names.find(b"\0", name)].decode(errors="replace"), address
