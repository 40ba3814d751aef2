# SPDX-License-Identifier: Apache-2.0
"""A probe's object: layouts from the object's BTF, programs and maps through libbpf, errors as BCC's way has them.

`objects` opens them. Before the load the module sets the constants of core.bpf.h: the verifier removes
branches by them, and a jump to another probe's program has a constant slot.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from probed.errors import LoadError
from probed.frozen import frozen
from probed.ipc.attach_points import AttachPoint, hook_name
from probed.ipc.manifest import COUNT, Field, FieldType, IteratorProgram, Map, Record
from probed.linux.bpf import BPF_F_NO_PREALLOC
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from probed.loader.common.attachment import TRACING, attach
from probed.loader.common.hook_chain import NO_ARRAY
from probed.loader.common.host import Host
from probed.loader.common.module import HASHES, INDEX, MAP_KINDS, NO_MAP_TO_READ, not_flat
from probed.loader.common.register_point import RegisterPoint
from probed.loader.common.usdt_arguments import packed
from probed.loader.core.libbpf import Object, ObjectMap
from probed.loader.errors import refusal
from probed.loader.errors.stderr import captured_stderr

MAP_SUFFIX = "_map"
"""Suffix of a map in the object; the name without the suffix has the map's methods in C."""

CONSTANT = "probed_value_"
"""Prefix of the declaration's constants in the object, as members of an enum."""

HOOK, KPROBE, USDT, ITERATOR = "hook_", "kprobe_", "usdt_", "iterator_"
"""Prefixes of the hook that each program of an object has beside it, of both for kprobes, and of programs at USDT
probes and at iterators."""

PROCESSES = 1 << 30
"""The macro PROCESSES of core.bpf.h, and the least size that the module takes for a fraction of it."""
LEAST_FRACTION = PROCESSES >> 6

CPU_ENTRIES = 1 << 31
"""The macro of core.bpf.h for the size of maps with an entry for each possible CPU."""

NOT_FOUND = (errno.ENOENT, errno.ESRCH, errno.EPERM)
"""Errors for an unknown attach point; EPERM because libbpf then looks for modules' types, which takes CAP_SYS_ADMIN."""

_PROGRAM_ARRAY, _RING = 3, 27  # enum bpf_map_type

_LOG = r"(?s)prog '(\w+)': -- BEGIN PROG LOAD LOG --\n(.*?)-- END PROG LOAD LOG --"
_FAILED = r"prog '(\w+)': failed to load: (-?\d+)"
_NO_MAP = r"map '(\w+)': failed to create: (.*)\(-\d+\)"
_NO_MEMBER = r"failed to resolve CO-RE relocation <\w+> \[\d+\] (struct|union) (\w+)\.([\w.]+)"


@frozen
class Tail:
    """The rest of a chain: the array of programs behind a program's attach point, and the slot after the program."""

    attach_point: AttachPoint
    array: int
    next: int
    hooked: bool
    kprobe: RegisterPoint | None = None


class CoreModule:
    """One object. Maps and programs exist after the first `load_program`."""

    def __init__(self, probe: str, data: bytes, btf_path: str | None) -> None:
        """Open an object's content. Raises LoadError and HostError."""
        self._probe = probe
        self._loaded = False
        self._names: dict[str, str] = {}  # of programs in the object, by the names that the loader knows
        self._targets: dict[str, AttachPoint] = {}  # set so far, because libbpf looks through all types each time
        self._object = _opened(probe, data, btf_path)
        self._btf = Btf.parse(self._object.btf(), Path(f"{probe}.bpf.o"))
        self._programs = {each.name: each for each in self._object.programs()}
        self._maps = {each.name.removesuffix(MAP_SUFFIX): each for each in self._object.maps() if not _is_aside(each)}
        # A map of a running version has no types: BCC makes maps without.
        self._key_types = {name: each.key_type for name, each in self._maps.items()}
        self._value_types = {name: each.value_type for name, each in self._maps.items()}
        for program in self._programs.values():
            program.set_autoload(False)

    # Before the load.

    def has_attach_point(self, program: str, point: AttachPoint) -> bool:
        """Set a program's raw tracepoint or function; return whether the kernel has that. Raises LoadError."""
        with captured_stderr() as said:
            try:
                self._set_target(program, point)
                return True
            except OSError as error:
                failure = error
        if failure.errno in NOT_FOUND:
            return False
        text = f"libbpf cannot read the kernel's types: {failure.strerror}\n{refusal.last_lines(said[0])}"
        raise LoadError(self._probe, "no_btf", text, failure.errno or 0)

    def _set_target(self, program: str, point: AttachPoint) -> None:
        """Set a program's raw tracepoint, function or iterator. Raises OSError."""
        if self._targets.get(program) != point:
            self._programs[program].set_attach_target(TRACING[point.kind], point.target)
            self._targets[program] = point

    def prepare(self, constants: Mapping[str, int], host: Host, ring_bytes: int = 0) -> None:
        """Set the constants of the headers, and the maps' sizes and flags for this machine."""
        for name, value in constants.items():
            self._set_constant(name, value)
        for each in self._maps.values():
            if each.type == _RING:
                each.set_max_entries(ring_bytes)
            elif each.max_entries == CPU_ENTRIES:
                each.set_max_entries(host.cpus)
            elif each.max_entries >= LEAST_FRACTION:
                each.set_max_entries(host.processes * each.max_entries // PROCESSES)
            if not host.allocates_on_demand:
                each.set_flags(each.flags & ~BPF_F_NO_PREALLOC)

    def take_over(self, maps: Mapping[str, int]) -> None:
        """Use maps of a running version, by name, instead of new ones."""
        for name, fd in maps.items():
            self._maps[name].reuse_fd(fd)

    def chain(self, tails: Mapping[str, Tail]) -> None:
        """Put each program before the rest of the chain, and add hooks where none is attached."""
        arrays = {each.name: each for each in self._object.maps()}
        for name, tail in tails.items():
            if tail.array != NO_ARRAY:
                arrays[f"{name}_chain"].reuse_fd(tail.array)
            self._set_constant(f"{name}_next", tail.next)
            if tail.kprobe:
                self._set_constant("probed_in_kprobes", True)
                self._find_arguments(name, tail.kprobe)
            self._choose(name, name, tail)
            hook = hook_name(str(tail.attach_point))
            if not tail.hooked and hook not in self._names:
                self._choose(hook, HOOK + name, tail)

    def _find_arguments(self, name: str, kprobe: RegisterPoint) -> None:
        """Tell a program where its arguments are."""
        if kprobe.usdt:
            self._set_constant(f"{name}_count", max(map(len, kprobe.usdt.forms)))
            self._write(f"{name}_arguments", packed(kprobe.usdt.forms))
        else:
            self._set_constant(f"{name}_first", kprobe.first)

    def _choose(self, known_as: str, name: str, tail: Tail) -> None:
        """Mark a program for loading, in a kprobe, at a USDT probe or on the raw tracepoint."""
        prefix = USDT if tail.kprobe and tail.kprobe.usdt and known_as == name else KPROBE
        self._names[known_as] = prefix + name if tail.kprobe else name
        program = self._programs[self._names[known_as]]
        if tail.kprobe:
            program.set_type(tail.kprobe.program_type)
        else:
            self._set_target(name, tail.attach_point)
        program.set_autoload(True)

    def iterate(self, iterators: Iterable[IteratorProgram]) -> None:
        """Mark programs at iterators for loading."""
        for each in iterators:
            self._names[each.program] = ITERATOR + each.program
            self._set_target(ITERATOR + each.program, AttachPoint.parse(each.attach_point))
            self._programs[ITERATOR + each.program].set_autoload(True)

    def keep(self, programs: Mapping[str, str]) -> None:
        """Mark programs without a chain for loading, each with its raw tracepoint. Raises LoadError."""
        for name, tracepoint in programs.items():
            if not self.has_attach_point(name, AttachPoint("raw_tracepoint", tracepoint)):
                raise LoadError(self._probe, "attach_point", f"this kernel has no raw tracepoint '{tracepoint}'")
            self._names[name] = name
            self._programs[name].set_autoload(True)

    def _set_constant(self, name: str, value: int) -> None:
        """Set a constant. Raises LoadError where the object's header has none of this name."""
        variables = self._btf.variables(".rodata")
        if name not in variables:
            raise LoadError(
                self._probe, "compile",
                f"the object has no constant '{name}': beside the probe is another version's core.bpf.h; "
                "remove that include folder, or take this version's, and run 'probed build' again",
            )  # fmt: skip
        _, size = variables[name]
        self._write(name, value.to_bytes(size, sys.byteorder))

    def _write(self, name: str, value: bytes) -> None:
        offset, _ = self._btf.variables(".rodata")[name]
        memory = next(each for each in self._object.maps() if each.name.endswith(".rodata")).initial_value()
        ctypes.memmove(ctypes.byref(memory, offset), value, len(value))

    # The load.

    def load_program(self, name: str, attach_point: str, kprobe: RegisterPoint | None = None) -> int:
        """Return a program's fd; the first call loads the whole object. Raises LoadError."""
        if not self._loaded:
            self._load()
            self._loaded = True
        return self._programs[self._names[name]].fd

    def _load(self) -> None:
        with captured_stderr() as said:
            try:
                self._object.load()
                return
            except OSError as error:
                failure = error
        raise self._refused(said[0], failure) from failure

    def _refused(self, said: str, error: OSError) -> LoadError:
        if lacking := re.search(_NO_MEMBER, said):
            keyword, flavour, member = lacking.groups()
            struct = flavour.partition("___")[0]
            return LoadError(
                self._probe, "compile",
                f"the running kernel's '{keyword} {struct}' has no member '{member}', which the C reads: this kernel "
                "needs another version of the probe",
            )  # fmt: skip
        if absent := re.search(_NO_MAP, said):
            return refusal.map_refused(self._probe, absent[1].removesuffix(MAP_SUFFIX), absent[2])
        if logged := re.search(_LOG, said):
            return refusal.program_refused(self._probe, _plain(logged[1]), logged[2], error.errno or 0)
        if failed := re.search(_FAILED, said):
            return refusal.program_refused(self._probe, _plain(failed[1]), "", error.errno or 0)
        text = f"libbpf cannot load the object: {os.strerror(error.errno or 0)}\n{refusal.last_lines(said)}"
        return LoadError(self._probe, "verifier", text, error.errno or 0)

    def attach(self, program: str, fd: int, attach_point: str, kprobe: RegisterPoint | None = None) -> list[int]:
        """Attach a loaded program; return the attachments' fds. Raises LoadError."""
        return attach(self._probe, program, fd, attach_point, kprobe)

    def map_fd(self, name: str) -> int:
        """Return a map's fd, -1 for no such map."""
        return self._maps[name].fd if name in self._maps else -1

    # Layouts.

    def event(self) -> Record:
        """Return the layout of ``struct event``. Raises LoadError."""
        return self._struct("event")

    def row(self) -> Record:
        """Return the layout of ``struct row``. Raises LoadError."""
        return self._struct("row")

    def _struct(self, name: str) -> Record:
        (type_id,) = self._btf.find(Kind.STRUCT, name)
        return self._layout(type_id, "value", name)

    def constants(self) -> Mapping[str, int]:
        """Return the constants that the declaration named when the object was built."""
        found = {}
        for type_id in self._btf.by_kind[Kind.ENUM]:
            for each in self._btf.enumerators(type_id):
                if each.name.startswith(CONSTANT):
                    found[each.name.removeprefix(CONSTANT)] = each.value
        return found

    def record(self, name: str) -> Record:
        """Return the layout of a map's value. Raises LoadError."""
        return self._layout(self._value_types[name], "value", name)

    def map_names(self) -> list[str]:
        """Return the names of all maps."""
        return list(self._maps)

    def hash_names(self) -> list[str]:
        """Return the names of all hash maps, with any values."""
        return [name for name, each in self._maps.items() if each.type in HASHES]

    def count_map(self, name: str) -> Map | str:
        """Return the description of a map of u64 counts, or why it is none, as the end of a sentence."""
        if self._maps[name].type not in MAP_KINDS:
            return NO_MAP_TO_READ
        type_id, _ = self._btf.resolve(self._value_types[name])
        if self._integer(type_id) != "u64":
            return f"its values are {self._btf.name(type_id)}, not u64"
        return self._map(name, COUNT)

    def value_map(self, name: str) -> Map | str:
        """Return the description of a map of integers or flat structs, or why it is none, as `count_map` does."""
        each = self._maps[name]
        if each.type not in MAP_KINDS:
            return NO_MAP_TO_READ
        try:
            value = self._layout(self._value_types[name], "value", name)
        except LoadError as error:
            return error.text
        if MAP_KINDS[each.type].startswith("percpu") and value.size % 8:
            return f"its values for each CPU have {value.size} bytes, no multiple of 8"
        return self._map(name, value)

    def _map(self, name: str, value: Record) -> Map:
        each = self._maps[name]
        kind = MAP_KINDS[each.type]
        key = INDEX if kind.endswith("array") else self._layout(self._key_types[name], "key", name)
        return Map(name, kind, key, each.max_entries, value=value)

    def recent_slots(self, name: str) -> int:
        """Return how many `struct recent_count` a map has for each CPU; 0 for another kind of map."""
        each = self._maps[name]
        type_id, _ = self._btf.resolve(self._value_types[name])
        is_recent = MAP_KINDS.get(each.type) == "percpu_array" and self._btf.name(type_id) == "recent_count"
        return each.max_entries if is_recent else 0

    def _layout(self, type_id: int, scalar: str, name: str) -> Record:
        type_id, _ = self._btf.resolve(type_id)
        if self._btf.kind(type_id) != Kind.STRUCT:
            return Record(self._btf.size(type_id), (self._field(scalar, type_id, 0, name),))
        members = self._btf.members(type_id)
        return Record(
            self._btf.size(type_id), tuple(self._field(each.name, each.type_id, each.offset, name) for each in members)
        )

    def _field(self, member: str, type_id: int, offset: int, name: str) -> Field:
        type_id, _ = self._btf.resolve(type_id)
        count = 1
        if self._btf.kind(type_id) == Kind.ARRAY:
            element, count = self._btf.array_of(type_id)
            type_id, _ = self._btf.resolve(element)
        kind = self._integer(type_id)
        if kind is None:
            raise LoadError(self._probe, "declaration", not_flat(member, name))
        return Field(member, kind, offset, count)

    def _integer(self, type_id: int) -> FieldType | None:
        if self._btf.kind(type_id) != Kind.INT or self._btf.size(type_id) > 8:
            return None
        if self._btf.name(type_id) == "char":
            return "char"
        kinds: Mapping[str, FieldType] = {
            "u8": "u8", "u16": "u16", "u32": "u32", "u64": "u64", "s8": "s8", "s16": "s16", "s32": "s32", "s64": "s64",
        }  # fmt: skip
        sign = "s" if self._btf.signed(type_id) else "u"
        return kinds[f"{sign}{8 * self._btf.size(type_id)}"]


def _opened(probe: str, data: bytes, btf_path: str | None) -> Object:
    with captured_stderr() as said:
        try:
            return Object(data, probe, btf_path)
        except OSError as error:
            failure = error
    text = f"libbpf cannot open the object: {failure.strerror}\n{refusal.last_lines(said[0])}"
    raise LoadError(probe, "compile", text, failure.errno or 0)


def _plain(program: str) -> str:
    """Return the name of a program, or of a hook, without the prefix of a kind of attach point."""
    return program.removeprefix(KPROBE).removeprefix(USDT).removeprefix(ITERATOR)


def _is_aside(each: ObjectMap) -> bool:
    """Say whether a map is none of the probe's own: global variables, or an array of programs."""
    return each.is_internal or each.type == _PROGRAM_ARRAY
