# SPDX-License-Identifier: Apache-2.0
"""Reads the USDT probes of a program or library, which its authors have put into the code.

`host` calls it for attach points. The macros of sys/sdt.h write an ELF note for each place. Source: the format of
https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from probed.elf.image import Image, opened
from probed.frozen import frozen

_NOTES = 7  # SHT_NOTE
_NOTE = struct.Struct("<III")  # struct Elf64_Nhdr: bytes of the name, bytes of the description, type
_OWNER, _TYPE = b"stapsdt\0", 3
_ADDRESSES = struct.Struct("<QQQ")  # of the place, of the section .stapsdt.base at that time, of the semaphore
_BASE = ".stapsdt.base"


@frozen
class UsdtPlace:
    """One place of a probe: the offset of an instruction, and the arguments as the assembler has them.

    `semaphore` is the offset of a counter in the file: the program reaches the place while the counter is not 0, and
    the kernel counts the attachments there. 0 for none.
    """

    offset: int
    semaphore: int
    arguments: str


def read_usdt_probes(path: str) -> Mapping[str, tuple[UsdtPlace, ...]]:
    """Return the places of each probe, by PROVIDER.NAME.

    Raises OSError, and ValueError for another kind of file.
    """
    found: dict[str, dict[int, UsdtPlace]] = {}
    with opened(path) as image:
        base = image.find_section(_BASE)
        for section in image.sections:
            for note in _notes(image.content(section)) if section.kind == _NOTES else ():
                name, place = _probe(image, note, base.address if base else None)
                if place:
                    found.setdefault(name, {})[place.offset] = place
    return {name: tuple(places.values()) for name, places in sorted(found.items())}


def _notes(content: bytes) -> Iterator[bytes]:
    """Yield the description of each note of sys/sdt.h; names and descriptions begin at multiples of four."""
    at = 0
    while at + _NOTE.size <= len(content):
        owner_size, size, kind = _NOTE.unpack_from(content, at)
        owner = at + _NOTE.size
        begin = owner + (owner_size + 3 & ~3)
        if kind == _TYPE and content[owner : owner + owner_size] == _OWNER:
            yield content[begin : begin + size]
        at = begin + (size + 3 & ~3)


def _probe(image: Image, note: bytes, base: int | None) -> tuple[str, UsdtPlace | None]:
    """Return name and place of a note; no place for an address outside of the code. Raises ValueError."""
    address, noted_base, semaphore = _ADDRESSES.unpack_from(note)
    texts = [text.decode(errors="replace") for text in note[_ADDRESSES.size :].split(b"\0")]
    if len(texts) < 4:
        raise ValueError(f"'{image.path}' is damaged: a note of a USDT probe has no end")
    name = f"{texts[0]}.{texts[1]}"
    moved = base - noted_base if base is not None else 0  # a tool has moved the addresses of the file
    offset = image.offset_of(address + moved, is_code=True)
    counter = image.offset_of(semaphore + moved, is_code=False) if semaphore else 0
    if counter is None:
        raise ValueError(f"'{image.path}' is damaged: the semaphore of the USDT probe '{name}' is outside of its data")
    return name, None if offset is None else UsdtPlace(offset, counter, texts[2])
