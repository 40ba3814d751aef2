# SPDX-License-Identifier: Apache-2.0
"""bpf(2): one short function for each command that probed uses. Raises OSError with errno.

Keys and values are addresses in this process, as the kernel takes them. Source: bpf(2), Linux include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

from probed.frozen import frozen
from probed.linux.syscalls import checked

BPF_MAP_CREATE = 0
BPF_MAP_LOOKUP_ELEM = 1
BPF_MAP_UPDATE_ELEM = 2
BPF_MAP_DELETE_ELEM = 3
BPF_PROG_LOAD = 5
BPF_PROG_GET_FD_BY_ID = 13
BPF_OBJ_GET_INFO_BY_FD = 15
BPF_RAW_TRACEPOINT_OPEN = 17
BPF_MAP_LOOKUP_BATCH = 24
BPF_MAP_DELETE_BATCH = 27
BPF_LINK_CREATE = 28
BPF_ITER_CREATE = 33
BPF_MAP_TYPE_ARRAY = 2
BPF_MAP_TYPE_PROG_ARRAY = 3
BPF_PROG_TYPE_KPROBE = 2
BPF_PROG_TYPE_PERF_EVENT = 7
BPF_PROG_TYPE_TRACING = 26
BPF_TRACE_RAW_TP = 23
BPF_TRACE_FENTRY = 24
BPF_TRACE_FEXIT = 25
BPF_TRACE_ITER = 28
BPF_PERF_EVENT = 41
BPF_TRACE_KPROBE_MULTI = 42
BPF_F_NO_PREALLOC = 1
BPF_F_KPROBE_MULTI_RETURN = 1
BPF_TRACE_UPROBE_MULTI = 48
BPF_F_UPROBE_MULTI_RETURN = 1
BPF_CGROUP_ITER_DESCENDANTS_PRE = 2
_INSN_BYTES = 8

_BPF_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
"""The number of bpf(2), which glibc does not wrap: arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h."""

_MAP_CREATE = struct.Struct("=IIIII")  # map_type, key_size, value_size, max_entries, map_flags
_ELEMENT = struct.Struct("=IxxxxQQQ")  # map_fd, key, value, flags
_BATCH = struct.Struct("=QQQQIIQQ")  # in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags
_GET_FD = struct.Struct("=III")  # prog_id, next_id, open_flags
_GET_INFO = struct.Struct("=IIQ")  # bpf_fd, info_len, info
_RAW_TRACEPOINT = struct.Struct("=QI")  # name, prog_fd
_PROG_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQIII")  # prog_type to attach_btf_id, attach_prog_fd

_KPROBE_LINK = struct.Struct("=IIIIIIQQQ")  # prog_fd, target_fd, attach_type, flags, kprobe_multi: flags to cookies

_PERF_LINK = struct.Struct("=IIIIQ")  # prog_fd, target_fd, attach_type, flags; perf_event: bpf_cookie
_UPROBE_LINK = struct.Struct("=IIIIQQQQIII")
"""prog_fd, target_fd, attach_type, flags; uprobe_multi: path, offsets, ref_ctr_offsets, cookies, cnt, flags, pid."""

_ITERATOR_LINK = struct.Struct("=IIIIQI")  # prog_fd, target_fd, attach_type, flags, iter_info, iter_info_len
_CGROUP_ITERATOR = struct.Struct("=IIQ")  # union bpf_iter_link_info: order, cgroup_fd, cgroup_id
_ITERATOR = struct.Struct("=II")  # link_fd, flags

Attribute = ctypes.Array[ctypes.c_char]
"""Bytes of union bpf_attr."""


@cache
def _number() -> int:
    return _BPF_NUMBER[os.uname().machine]


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
    libc.syscall.restype = ctypes.c_long
    return libc


def bpf(command: int, attribute: Attribute) -> int:
    """Call bpf(2); the kernel may write to `attribute`."""
    return checked(_libc().syscall(_number(), command, ctypes.addressof(attribute), ctypes.sizeof(attribute)))


def _attribute(layout: struct.Struct, *values: int | bytes) -> Attribute:
    return ctypes.create_string_buffer(layout.pack(*values), layout.size)


def create_map(map_type: int, key_size: int, value_size: int, entries: int) -> int:
    """Create a map; return the fd."""
    return bpf(BPF_MAP_CREATE, _attribute(_MAP_CREATE, map_type, key_size, value_size, entries, 0))


def lookup(fd: int, key: int, value: int) -> None:
    """Copy the value of one key to the address `value`."""
    bpf(BPF_MAP_LOOKUP_ELEM, _attribute(_ELEMENT, fd, key, value, 0))


def update(fd: int, key: int, value: int) -> None:
    """Copy the value at the address `value` into the map."""
    bpf(BPF_MAP_UPDATE_ELEM, _attribute(_ELEMENT, fd, key, value, 0))


def delete(fd: int, key: int) -> None:
    """Delete one key, if the map has it."""
    with suppress(FileNotFoundError):
        bpf(BPF_MAP_DELETE_ELEM, _attribute(_ELEMENT, fd, key, 0, 0))


class BatchPosition:
    """Position of a map that is read in batches: at first the beginning."""

    def __init__(self, key_size: int = 0) -> None:
        """Make room for the kernel's position: a key in some kinds of map, else the number of a bucket."""
        self._written = ctypes.create_string_buffer(max(key_size, 8))
        self.before, self.after = 0, ctypes.addressof(self._written)


def lookup_batch(fd: int, position: BatchPosition, keys: int, values: int, count: int) -> tuple[int, bool]:
    """Copy at most `count` keys and values; return the number, and whether the map has ended."""
    attribute = _attribute(_BATCH, position.before, position.after, keys, values, count, fd, 0, 0)
    position.before = position.after
    ended = False
    try:
        bpf(BPF_MAP_LOOKUP_BATCH, attribute)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        ended = True
    return int(_BATCH.unpack_from(attribute)[4]), ended


def delete_batch(fd: int, keys: int, key_size: int, count: int) -> None:
    """Delete `count` keys of a hash map that lie one behind another; a missing key is no error.

    The kernel stops at a missing key, and returns how many keys came before that one. Source:
    generic_map_delete_batch() in Linux kernel/bpf/syscall.c.
    """
    done = 0
    while done < count:
        attribute = _attribute(_BATCH, 0, 0, keys + done * key_size, 0, count - done, fd, 0, 0)
        try:
            bpf(BPF_MAP_DELETE_BATCH, attribute)
            return
        except FileNotFoundError:
            done += int(_BATCH.unpack_from(attribute)[4]) + 1


def object_info(fd: int, layout: struct.Struct) -> tuple[Any, ...]:
    """Return the first members of struct bpf_map_info, bpf_prog_info or the like, as `layout` unpacks them."""
    info = ctypes.create_string_buffer(layout.size)
    bpf(BPF_OBJ_GET_INFO_BY_FD, _attribute(_GET_INFO, fd, layout.size, ctypes.addressof(info)))
    return layout.unpack(info)


def program_fd(program_id: int) -> int:
    """Open a program by id; return the fd. Takes CAP_SYS_ADMIN."""
    return bpf(BPF_PROG_GET_FD_BY_ID, _attribute(_GET_FD, program_id, 0, 0))


SLOTS = 32
"""Programs in a chain: the kernel lets no more than 33 tail calls follow each other."""

_PROGRAM_INFO = struct.Struct("=II")  # struct bpf_prog_info: type, id


def link_programs(array: int, programs: Mapping[int, int]) -> None:
    """Make a chain of programs: entry n gets the first program in slot n or a later slot.

    So a program in slot n ends with one jump, to entry n + 1. `programs` are fds by slot. Entries change one by one,
    from the last to the first: a program that runs meanwhile jumps into the former chain or into the new one. Raises
    OSError.
    """
    following, following_id = -1, 0
    for slot in reversed(range(SLOTS)):
        if slot in programs:
            following = programs[slot]
            _, following_id = object_info(following, _PROGRAM_INFO)
        if program_id(array, slot) == following_id:
            continue
        if following_id:
            put_program(array, slot, following)
        else:
            take_program(array, slot)


def taken_slots(array: int) -> set[int]:
    """Return the slots of a chain that have a program: their entry is another one than the next."""
    ids = [*(program_id(array, slot) for slot in range(SLOTS)), 0]
    return {slot for slot, (own, following) in enumerate(pairwise(ids)) if own != following}


def program_array(slots: int = SLOTS) -> int:
    """Create an array of programs; return the fd. The kernel empties the array when its last fd is closed."""
    return create_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, slots)


def put_program(array: int, slot: int, program: int) -> None:
    """Put the program behind an fd into a slot of an array of programs."""
    key, value = ctypes.c_uint32(slot), ctypes.c_uint32(program)
    update(array, ctypes.addressof(key), ctypes.addressof(value))


def take_program(array: int, slot: int) -> None:
    """Empty a slot of an array of programs; an empty slot stays empty."""
    key = ctypes.c_uint32(slot)
    delete(array, ctypes.addressof(key))


def program_id(array: int, slot: int) -> int:
    """Return the id of the program in a slot of an array of programs, 0 for an empty slot."""
    key, found = ctypes.c_uint32(slot), ctypes.c_uint32(0)
    with suppress(FileNotFoundError):
        lookup(array, ctypes.addressof(key), ctypes.addressof(found))
    return found.value


@frozen
class ProgramType:
    """Type of a program: numbers of enum bpf_prog_type and enum bpf_attach_type, and the attach point's BTF type."""

    kind: int
    attach_type: int
    btf_type: int = 0


def tracing(btf_type: int, attach_type: int = BPF_TRACE_RAW_TP) -> ProgramType:
    """Return the type of programs at a raw tracepoint, whose BTF type is ``btf_trace_NAME``, or at a function."""
    return ProgramType(BPF_PROG_TYPE_TRACING, attach_type, btf_type)


KPROBES = ProgramType(BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI)
"""Type of programs in multi links of kprobes."""

UPROBES = ProgramType(BPF_PROG_TYPE_KPROBE, BPF_TRACE_UPROBE_MULTI)
"""Type of programs in multi links of uprobes."""

PERF_EVENTS = ProgramType(BPF_PROG_TYPE_PERF_EVENT, BPF_PERF_EVENT)
"""Type of programs at perf events."""

RETURN_0 = bytes.fromhex("b700000000000000 9500000000000000")
"""The smallest program: r0 = 0; exit."""

LICENCE = b"GPL"


def load_program(code: bytes, name: str, program_type: ProgramType, log: bytearray, licence: bytes = LICENCE) -> int:
    """Load byte code; return the fd.

    The verifier writes its log into `log`, as text that ends with a NUL; an empty `log` asks for none.
    """
    kind, attach_type, btf_type = program_type.kind, program_type.attach_type, program_type.btf_type
    insns, terms = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(licence)
    level, text = (1, ctypes.addressof((ctypes.c_char * len(log)).from_buffer(log))) if log else (0, 0)
    attribute = _attribute(
        _PROG_LOAD,
        kind, len(code) // _INSN_BYTES, ctypes.addressof(insns), ctypes.addressof(terms),
        level, len(log), text, 0, 0, name.encode()[:15], 0, attach_type, 0, 0, 0, 0, 0, 0, 0, btf_type, 0,
    )  # fmt: skip
    return bpf(BPF_PROG_LOAD, attribute)


def attach_tracing_program(program: int) -> int:
    """Attach a program to its raw tracepoint; return the attachment's fd."""
    return bpf(BPF_RAW_TRACEPOINT_OPEN, _attribute(_RAW_TRACEPOINT, 0, program))


def attach_kprobe_program(program: int, functions: Sequence[str], returns: bool = False) -> int:
    """Attach a program to the beginning or return of kernel functions; return the attachment's fd.

    No perf event is needed. Raises ESRCH if the kernel cannot trace one of the functions. Source: Linux commit
    0dcac2725406 ("bpf: Add multi kprobe link") (in v5.18).
    """
    names = [function.encode() for function in functions]
    symbols = (ctypes.c_char_p * len(names))(*names)
    flags = BPF_F_KPROBE_MULTI_RETURN if returns else 0
    attribute = _attribute(
        _KPROBE_LINK, program, 0, BPF_TRACE_KPROBE_MULTI, 0, flags, len(names), ctypes.addressof(symbols), 0, 0
    )
    return bpf(BPF_LINK_CREATE, attribute)


@frozen
class FilePlaces:
    """Places in a file for uprobes.

    `semaphores` has for each of the `offsets` that of a counter in the file, which the kernel raises in each process
    while a program is attached, or 0. `cookies` has the numbers that bpf_get_attach_cookie() returns there.
    """

    path: str
    offsets: tuple[int, ...]
    semaphores: tuple[int, ...] = ()
    cookies: tuple[int, ...] = ()


def attach_uprobe_program(program: int, places: FilePlaces, returns: bool = False) -> int:
    """Attach a program to functions of a file, in all processes; return the attachment's fd.

    Source: Linux commit 89ae89f53d20 ("bpf: Add multi uprobe link") (in v6.6).
    """
    name = ctypes.create_string_buffer(os.fsencode(places.path))
    lists = [(ctypes.c_uint64 * len(each))(*each) for each in (places.offsets, places.semaphores, places.cookies)]
    addresses = [ctypes.addressof(each) if len(each) else 0 for each in lists]
    flags = BPF_F_UPROBE_MULTI_RETURN if returns else 0
    attribute = _attribute(
        _UPROBE_LINK,
        program, 0, BPF_TRACE_UPROBE_MULTI, 0,
        ctypes.addressof(name), *addresses, len(places.offsets), flags, 0,
    )  # fmt: skip
    return bpf(BPF_LINK_CREATE, attribute)


def attach_perf_program(program: int, event: int) -> int:
    """Attach a program to an open perf event; return the attachment's fd, which keeps the event.

    Source: Linux commit b89fbfbb854c ("bpf: Implement minimal BPF perf link") (in v5.15).
    """
    return bpf(BPF_LINK_CREATE, _attribute(_PERF_LINK, program, event, BPF_PERF_EVENT, 0, 0))


def attach_iterator_program(program: int, target: str) -> int:
    """Attach a program to an iterator; return the link's fd. The program runs only when a process reads.

    That of control groups takes an order, and then iterates all of them. Source: Linux commit d4ccaf58a847 ("bpf:
    Introduce cgroup iter") (in v6.1).
    """
    info = _attribute(_CGROUP_ITERATOR, BPF_CGROUP_ITER_DESCENDANTS_PRE, 0, 0) if target == "cgroup" else b""
    address = ctypes.addressof(info) if isinstance(info, ctypes.Array) else 0
    return bpf(BPF_LINK_CREATE, _attribute(_ITERATOR_LINK, program, 0, BPF_TRACE_ITER, 0, address, len(info)))


def open_iterator(link: int) -> int:
    """Begin an iteration; return the fd, from which all rows can be read once.

    No capability is needed since Linux 5.19, CAP_BPF before (see `privilege.reads_maps_with_cap_bpf`).
    """
    return bpf(BPF_ITER_CREATE, _attribute(_ITERATOR, link, 0))
