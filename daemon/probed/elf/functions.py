# SPDX-License-Identifier: Apache-2.0
"""Reads the functions of a program or library from the ELF symbols, as offsets in the file, which uprobes take.

`host` calls it for attach points. Source: elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from probed.elf.image import Image, opened

_SYMBOL = struct.Struct("<IBBHQQ")  # struct Elf64_Sym
_SYMBOL_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM
_FUNCTION = 2  # STT_FUNC; functions that the dynamic linker chooses (STT_GNU_IFUNC) have another type


def read_functions(path: str) -> Mapping[str, tuple[int, ...]]:
    """Return the offsets of each function: several where versions of a symbol differ.

    Raises OSError, and ValueError for another kind of file.
    """
    found: dict[str, set[int]] = {}
    with opened(path) as image:
        for name, address in _functions(image):
            offset = image.offset_of(address, is_code=True)
            if offset is not None:
                found.setdefault(name, set()).add(offset)
    return {name: tuple(sorted(offsets)) for name, offsets in found.items()}


def _functions(image: Image) -> Iterator[tuple[str, int]]:
    """Yield name and address of each function in the tables of symbols."""
    for section in image.sections:
        if section.kind in _SYMBOL_TABLES and section.link < len(image.sections):
            yield from _symbols(image.content(section), image.content(image.sections[section.link]))


def _symbols(table: bytes, names: bytes) -> Iterator[tuple[str, int]]:
    """Yield name and address of each defined function."""
    whole = len(table) - len(table) % _SYMBOL.size
    for name, info, _, section, address, _ in _SYMBOL.iter_unpack(table[:whole]):
        if info & 0xF == _FUNCTION and section and name < len(names):
            yield names[name : names.find(b"\0", name)].decode(errors="replace"), address
