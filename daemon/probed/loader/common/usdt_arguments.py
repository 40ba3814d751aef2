# SPDX-License-Identifier: Apache-2.0
"""Arguments of USDT probes: the assembler's text of each place, as numbers for the programs. Pure.

`host` calls it. The places of a probe often have their arguments in different registers. Places with equal arguments
have the same form; the kernel gives the programs the number of the form, and they have a table of all forms.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final

from probed.config.declaration.scalars import MAX_ARGUMENTS
from probed.elf.usdt import UsdtPlace
from probed.frozen import frozen

MAX_FORMS: Final = 16
"""Most forms of a probe, as USDT_FORMS of probed.bpf.h."""

_LETTERED = {"r15": 0, "r14": 8, "r13": 16, "r12": 24, "r11": 48, "r10": 56, "r9": 64, "r8": 72}
_NAMED = {"bp": 32, "bx": 40, "ax": 80, "cx": 88, "dx": 96, "si": 104, "di": 112, "sp": 152}
REGISTERS: Final = (
    {f"{name}{size}": at for name, at in _LETTERED.items() for size in ("", "d", "w", "b")}
    | {f"{size}{name}": at for name, at in _NAMED.items() for size in ("r", "e", "")}
    | {f"{name.removesuffix('x')}l": at for name, at in _NAMED.items()}
)
"""Offsets of registers in struct pt_regs of x86-64, by all names: Linux arch/x86/include/asm/ptrace.h."""

_MEMBERS = struct.Struct("<qBBBBBBBx")  # struct usdt_argument of probed.bpf.h

_NUMBER = r"-?(?:0x[0-9a-f]+|[0-9]+)"
_ARGUMENT = re.compile(
    rf"(?P<sign>-?)(?P<size>[1248])@(?:\$(?P<constant>{_NUMBER})|%(?P<register>\w+)"
    rf"|(?P<offset>{_NUMBER})?\((?:%(?P<base>\w+))?(?:,%(?P<index>\w+)(?:,(?P<scale>[1248]))?)?\))"
)


@frozen
class UsdtArgument:
    """One argument: `number` and registers, added up, or the memory of the program at that address.

    `base` and `index` are offsets in struct pt_regs; `bases` is 0 or 1, and `scale` 0 without an index. The argument
    has `size` bytes.
    """

    number: int
    base: int
    bases: int
    index: int
    scale: int
    size: int
    is_signed: bool
    in_memory: bool

    @property
    def members(self) -> tuple[int, ...]:
        """The members of struct usdt_argument of probed.bpf.h."""
        shift, size = 64 - 8 * self.size, self.size if self.in_memory else 0
        return self.number, self.base, self.bases, self.index, self.scale, size, shift, int(self.is_signed)


Form = tuple[UsdtArgument, ...]


@frozen
class UsdtForms:
    """The forms of a probe's arguments, and for each place the number of its form, and its semaphore or 0."""

    forms: tuple[Form, ...]
    numbers: tuple[int, ...]
    semaphores: tuple[int, ...]


def usdt_forms(probe: str, places: Sequence[UsdtPlace], arguments: int | None) -> UsdtForms:
    """Return the forms of a probe's first `arguments`, of all for None.

    Raises ValueError for missing arguments, for those that no program can read, and for too many forms.
    """
    of_places = [_form(probe, place, arguments) for place in places]
    forms = tuple(dict.fromkeys(of_places))
    if len(forms) > MAX_FORMS:
        raise ValueError(
            f"the USDT probe '{probe}' has its arguments in {len(forms)} ways at {len(places)} places; {MAX_FORMS} "
            "are the most: take fewer arguments, as 'arguments: 1'"
        )
    return UsdtForms(forms, tuple(map(forms.index, of_places)), tuple(place.semaphore for place in places))


def _form(probe: str, place: UsdtPlace, arguments: int | None) -> Form:
    texts = place.arguments.split()
    if arguments is not None and arguments > len(texts):
        there = f"{len(texts)} argument{'s' * (len(texts) != 1)}"
        raise ValueError(f"the USDT probe '{probe}' has {there} at {place.offset:#x}, and 'arguments' is {arguments}")
    return tuple(_argument(probe, number, text) for number, text in enumerate(texts[: most(arguments)]))


def most(arguments: int | None) -> int:
    """Return the number of arguments to take at most."""
    return MAX_ARGUMENTS if arguments is None else arguments


def _argument(probe: str, number: int, text: str) -> UsdtArgument:
    found = _ARGUMENT.fullmatch(text)
    names = [found[key] for key in ("register", "base", "index") if found[key]] if found else []
    if not found or any(name not in REGISTERS for name in names):
        before = f"'arguments: {number}' takes those before it" if number else "'arguments: 0' counts without arguments"
        raise ValueError(
            f"programs cannot read argument {number} of the USDT probe '{probe}', which is at '{text}': they read "
            f"integers in registers of x86-64, on the stack and behind pointers; {before}"
        )
    base = found["register"] or found["base"]
    return UsdtArgument(
        number=_signed(int(found["constant"] or found["offset"] or "0", 0)),
        base=REGISTERS.get(base, 0),
        bases=int(bool(base)),
        index=REGISTERS.get(found["index"], 0),
        scale=int(found["scale"] or "1") if found["index"] else 0,
        size=int(found["size"]),
        is_signed=bool(found["sign"]),
        in_memory=found["constant"] is None and found["register"] is None,
    )


def packed(forms: Sequence[Form]) -> bytes:
    """Return the table of all forms, as programs of objects have it: MAX_ARGUMENTS of each form."""
    nothing = bytes(_MEMBERS.size)
    rows = [
        b"".join(_MEMBERS.pack(*each.members) for each in form).ljust(MAX_ARGUMENTS * len(nothing), b"\0")
        for form in forms
    ]
    return b"".join(rows)


def _signed(number: int) -> int:
    """Return the number of 64 bits with a sign."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)
