# SPDX-License-Identifier: Apache-2.0
"""Makes one hook per attach point, with the programs of all probes behind it.

A second program on a tracepoint costs as much as the first, some 60 ns on a machine with retpolines; a tail call with
a constant index is a jump that the kernel writes into the code, and costs one or two: Linux commit 428d5df1fa4f ("bpf,
x86: Emit patchable direct jump as tail call") (in v5.5). So only a small program is attached, the hook. The hook jumps
to the first program of an array, and each program ends with a jump to the next one (`bpf.link_programs`). A jump to an
empty entry does nothing.

Where the kernel preempts programs of raw tracepoints, the hook and the programs behind it run in a kprobe (see
`preemption`). Their context is then the registers, from which each program's entry takes the tracepoint's arguments,
as at an attach point that is a kprobe itself.

`core.objects` and `bcc.sources` ask for slots, `pipeline` attaches hooks. The supervisor owns the hooks, and fills and
empties slots.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Container, Iterable, Mapping

from probed.config.declaration.probe import Probe
from probed.config.declaration.scalars import MAX_ARGUMENTS
from probed.errors import LoadError, Reason
from probed.frozen import frozen
from probed.ipc.attach_points import AttachPoint, hook_name
from probed.ipc.manifest import ChainSlot, IteratorProgram, switch_names
from probed.linux import bpf
from probed.linux.bpf import SLOTS
from probed.loader.common.register_point import RegisterPoint
from probed.loader.common.usdt_arguments import UsdtArgument, UsdtForms
from probed.loader.errors import eperm
from probed.loader.errors.eperm import EpermFacts

R2_IS_A_MAP = 0x1218
"""The first 32 bits of the instruction that loads r2 with a map, whose fd follows: BPF_LD | BPF_DW | BPF_IMM with
BPF_PSEUDO_MAP_FD. LLVM 14 cannot read its own word for that, ld_pseudo."""

TAIL_CALL = 12
"""BPF_FUNC_tail_call of Linux include/uapi/linux/bpf.h."""

NO_ARRAY = -1
"""Stands for an array of programs where nothing will be loaded."""

ARGUMENT = "struct bpf_raw_tracepoint_args *ctx"


@frozen
class Places:
    """Where the programs of a probe run: in slots behind hooks, and at iterators, each by itself."""

    slots: tuple[ChainSlot, ...]
    iterators: tuple[IteratorProgram, ...] = ()


class Chains:
    """Arrays of programs by attach point, with or without a hook."""

    def __init__(
        self,
        hooked: Mapping[str, int],
        kprobe_of: Callable[[str], RegisterPoint | None] = lambda _: None,
        makes_arrays: bool = True,
    ) -> None:
        """`hooked` has the arrays of the supervisor's hooks; new hooks run in a kprobe where `kprobe_of` has one.

        Without `makes_arrays` a check of objects needs no privilege: see `array`.
        """
        self._arrays = dict(hooked)
        self._taken: dict[str, set[int]] = {}
        self._hooked = set(hooked)
        self._kprobe_of = kprobe_of
        self._makes_arrays = makes_arrays

    def find_place(self, probe: str, program: str, attach_point: str) -> ChainSlot:
        """Return a free slot, and reserve it. Raises LoadError."""
        array = self.array(probe, attach_point)
        if attach_point not in self._taken:
            self._taken[attach_point] = bpf.taken_slots(array) if self.is_hooked(attach_point) else set()
        taken = self._taken[attach_point]
        for slot in range(SLOTS):
            if slot not in taken:
                taken.add(slot)
                return ChainSlot(program, attach_point, slot)
        text = f"{AttachPoint.parse(attach_point).phrase} has {SLOTS} programs already, and no room for '{program}'"
        raise LoadError(probe, "attach_point", text)

    def array(self, probe: str, attach_point: str) -> int:
        """Return the fd of an attach point's array of programs, made if missing, or NO_ARRAY. Raises LoadError."""
        if attach_point not in self._arrays and not self._makes_arrays:
            return NO_ARRAY
        if attach_point not in self._arrays:
            try:
                self._arrays[attach_point] = bpf.program_array()
            except OSError as error:
                text = f"cannot create the array of programs behind '{attach_point}': {error.strerror}"
                reason: Reason = "map_create"
                if error.errno == errno.EPERM:
                    reason, why = eperm.explain_eperm("map", EpermFacts.gather())
                    text = f"{text}; {why}"
                raise LoadError(probe, reason, text, error.errno or 0) from error
        return self._arrays[attach_point]

    def kprobe(self, attach_point: str) -> RegisterPoint | None:
        """Return the kprobe of an attach point's programs, None for none: programs of one array are of one type."""
        point = self._kprobe_of(attach_point)
        if point and point.switches and self._is_raw_tracepoint(attach_point):
            return None
        return point

    def _is_raw_tracepoint(self, attach_point: str) -> bool:
        """Say whether a hook that is there is no kprobe: an earlier loader decided so."""
        return attach_point in self._hooked and switch_names(attach_point)[0] not in self._hooked

    def is_hooked(self, attach_point: str) -> bool:
        """Say whether an attach point's hook is attached."""
        return attach_point in self._hooked

    def hooked(self, attach_point: str) -> None:
        """Note that an attach point's hook is attached."""
        kprobe = self.kprobe(attach_point)
        if kprobe and kprobe.switches:
            self._hooked.update(switch_names(attach_point))
        self._hooked.add(attach_point)

    def text(self, probe: str, places: Iterable[ChainSlot]) -> str:
        """Return the C entries of programs that ``PROGRAM(name)`` began, and of missing hooks."""
        functions: dict[str, str] = {}
        for place in places:
            array = self.array(probe, place.attach_point)
            kprobe = self.kprobe(place.attach_point)
            begin = _entry_of(place.program, kprobe)
            functions[place.program] = begin + _jump(array, place.slot + 1)
            if not self.is_hooked(place.attach_point):
                functions[hook_name(place.attach_point)] = _jump(array, 0)
        return "".join(f"int {name}({ARGUMENT})\n{{\n{body}}}\n" for name, body in functions.items())


def find_places(
    chains: Chains, probe: Probe, functions: Container[str], find: Callable[[str, AttachPoint], AttachPoint | None]
) -> Places:
    """Return a place for each program among the C's `functions` of which `find` returns the host's attach point."""
    wanted = {name: program.attach_point for name, program in probe.programs.items() if name in functions}
    there = {name: found for name, point in wanted.items() if (found := find(name, point))}
    iterators = {name: str(point) for name, point in there.items() if point.kind == "iterator"}
    slots = (chains.find_place(probe.name, name, str(there[name])) for name in there if name not in iterators)
    return Places(tuple(slots), tuple(IteratorProgram(name, point) for name, point in iterators.items()))


def _entry_of(program: str, kprobe: RegisterPoint | None) -> str:
    if kprobe and kprobe.usdt:
        return entry_in_usdt(program, kprobe.usdt)
    return entry_in_kprobe(program, kprobe) if kprobe else entry(program)


def entry(program: str) -> str:
    """Return the C call of the function that ``PROGRAM(name)`` began."""
    return f"\tprogram_{program}(ctx, ctx);\n"


def entry_in_kprobe(program: str, point: RegisterPoint) -> str:
    """Return the C call of a program with the arguments, which are in the registers behind `ctx`."""
    loads = "".join(f"\tLOAD_AT(u64, arguments[{at}], ctx, {offset});\n" for at, offset in enumerate(point.registers))
    call = f"\tprogram_{program}((struct bpf_raw_tracepoint_args *)arguments, ctx);\n"
    return f"\tu64 arguments[{len(point.registers)}];\n\n{loads}{call}"


def entry_in_usdt(program: str, usdt: UsdtForms) -> str:
    """Return the C call of a program with the arguments of a USDT probe: the kernel tells their form."""
    lines = [f"\tu64 arguments[{MAX_ARGUMENTS}] = {{}};\n"]
    if len(usdt.forms) > 1:
        lines.append("\tu64 form = bpf_get_attach_cookie(ctx);\n")
    for number, form in enumerate(usdt.forms):
        reads = [
            f"\t\targuments[{at}] = usdt_argument(ctx, (struct usdt_argument){{{_listed(argument)}}});\n"
            for at, argument in enumerate(form)
        ]
        condition = f"\tif (form == {number}) " if len(usdt.forms) > 1 else "\t"
        lines += [f"{condition}{{\n", *reads, "\t}\n"]
    return "".join([*lines, f"\tprogram_{program}((struct bpf_raw_tracepoint_args *)arguments, ctx);\n"])


def _listed(argument: UsdtArgument) -> str:
    number, *rest = argument.members
    return ", ".join([f"(s64){number % (1 << 64)}ULL", *map(str, rest)])


def entries_at_iterators(programs: Iterable[IteratorProgram]) -> str:
    """Return the C entries of programs at iterators. After the last object the kernel calls them without one."""
    return "".join(
        f"int {each.program}({ARGUMENT})\n{{\n\tif (ctx->args[1])\n\t{entry(each.program)}\treturn 0;\n}}\n"
        for each in programs
    )


def standalone_entry(programs: Iterable[str]) -> str:
    """Return the C entries of programs without a chain."""
    return "".join(f"int {name}({ARGUMENT})\n{{\n{entry(name)}\treturn 0;\n}}\n" for name in programs)


def _jump(array: int, entry: int) -> str:
    """Return C that jumps to an entry of the array, and returns 0 where the entry is empty.

    The function ends with the jump and needs only its result afterwards, so the jump may use any register. The C has
    the return: after assembly that exits, LLVM 21 puts a call of the kernel's function __bpf_trap, which BCC does not
    resolve.
    """
    if entry == SLOTS:
        return "\treturn 0;\n"
    words = f".quad {array << 32 | R2_IS_A_MAP:#x}", ".quad 0"
    lines = ["r1 = %1", *words, f"r3 = {entry}", f"call {TAIL_CALL}", "%0 = 0"]
    text = "".join(f'\t\t"{line}\\n"\n' for line in lines)
    return f'\tu64 nothing;\n\tasm volatile(\n{text}\t\t: "=r"(nothing) : "r"(ctx) : "memory");\n\treturn nothing;\n'
