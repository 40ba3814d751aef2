# SPDX-License-Identifier: Apache-2.0
"""Opens ELF files of 64 bits: sections, and addresses as offsets in the file, which uprobes take.

`functions` and `usdt` read with it. Source: elf(5).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from probed.frozen import frozen

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")  # struct Elf64_Ehdr after e_ident
_SEGMENT = struct.Struct("<IIQQQQQQ")  # struct Elf64_Phdr
_SECTION = struct.Struct("<IIQQQQIIQQ")  # struct Elf64_Shdr
_LOAD, _EXECUTABLE = 1, 1


@frozen
class Segment:
    """A part of the file that is in memory from `address` on; `size` and `offset` are of the file."""

    address: int
    size: int
    offset: int
    is_code: bool


@frozen
class Section:
    """A section: `kind` is its SHT_ number, `name` an offset in the names of sections."""

    name: int
    kind: int
    address: int
    offset: int
    size: int
    link: int


@frozen
class Image:
    """An open ELF file; `names` is the number of the section with the names of sections."""

    path: str
    data: mmap.mmap
    segments: Sequence[Segment]
    sections: Sequence[Section]
    names: int

    def content(self, section: Section) -> bytes:
        """Return the bytes of a section."""
        return self.data[section.offset : section.offset + section.size]

    def find_section(self, name: str) -> Section | None:
        """Return the first section of a name."""
        if self.names >= len(self.sections):
            return None
        names, wanted = self.content(self.sections[self.names]), name.encode() + b"\0"
        return next((each for each in self.sections if names[each.name : each.name + len(wanted)] == wanted), None)

    def offset_of(self, address: int, is_code: bool) -> int | None:
        """Return the offset in the file of an address of code or data, None for one outside."""
        for each in self.segments:
            if each.is_code == is_code and each.address <= address < each.address + each.size:
                return address - each.address + each.offset
        return None


@contextmanager
def opened(path: str) -> Iterator[Image]:
    """Open an ELF file. Raises OSError, and ValueError for another kind of file or a damaged one."""
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size < _HEADER.size:
            raise ValueError(f"'{path}' is no ELF file of 64 bits")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                yield _image(path, data)
            except (struct.error, OverflowError) as error:
                raise ValueError(f"'{path}' is damaged: {error}") from error


def _image(path: str, data: mmap.mmap) -> Image:
    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError(f"'{path}' is no ELF file of 64 bits")
    _, _, _, _, segments, sections, _, _, segment_size, segment_count, section_size, section_count, names = (
        _HEADER.unpack_from(data)
    )
    loads = [
        Segment(address, size, offset, bool(flags & _EXECUTABLE))
        for kind, flags, offset, address, _, size, _, _ in (
            _SEGMENT.unpack_from(data, segments + number * segment_size) for number in range(segment_count)
        )
        if kind == _LOAD
    ]
    tables = [
        Section(name, kind, address, offset, size, link)
        for name, kind, _, address, offset, size, link, _, _, _ in (
            _SECTION.unpack_from(data, sections + number * section_size) for number in range(section_count)
        )
    ]
    return Image(path, data, loads, tables, names)
