# SPDX-License-Identifier: Apache-2.0
"""libbpf: one short method for each call that probed uses.

`core_module` calls it. libbpf 1.0 or later; functions return a pointer, or a negative errno, which raises OSError.
libbpf writes its reasons to file descriptor 2, where `captured_stderr` finds them. Source: libbpf's src/libbpf.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from probed.config.objects import LIBBPF, WITHOUT_LIBBPF
from probed.errors import HostError
from probed.linux.bpf import ProgramType

_POINTER, _TEXT, _INT, _SIZE, _U32 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint32

_CALLS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_mem": (_POINTER, (_POINTER, _SIZE, _POINTER)),
    "bpf_object__load": (_INT, (_POINTER,)),
    "bpf_object__btf": (_POINTER, (_POINTER,)),
    "bpf_object__next_program": (_POINTER, (_POINTER, _POINTER)),
    "bpf_object__next_map": (_POINTER, (_POINTER, _POINTER)),
    "bpf_program__name": (_TEXT, (_POINTER,)),
    "bpf_program__fd": (_INT, (_POINTER,)),
    "bpf_program__set_type": (_INT, (_POINTER, _INT)),
    "bpf_program__set_expected_attach_type": (_INT, (_POINTER, _INT)),
    "bpf_program__set_attach_target": (_INT, (_POINTER, _INT, _TEXT)),
    "bpf_program__set_autoload": (_INT, (_POINTER, ctypes.c_bool)),
    "bpf_map__name": (_TEXT, (_POINTER,)),
    "bpf_map__fd": (_INT, (_POINTER,)),
    "bpf_map__type": (_INT, (_POINTER,)),
    "bpf_map__is_internal": (ctypes.c_bool, (_POINTER,)),
    "bpf_map__max_entries": (_U32, (_POINTER,)),
    "bpf_map__set_max_entries": (_INT, (_POINTER, _U32)),
    "bpf_map__map_flags": (_U32, (_POINTER,)),
    "bpf_map__set_map_flags": (_INT, (_POINTER, _U32)),
    "bpf_map__btf_key_type_id": (_U32, (_POINTER,)),
    "bpf_map__btf_value_type_id": (_U32, (_POINTER,)),
    "bpf_map__initial_value": (_POINTER, (_POINTER, ctypes.POINTER(_SIZE))),
    "bpf_map__reuse_fd": (_INT, (_POINTER, _INT)),
    "btf__load_vmlinux_btf": (_POINTER, ()),
    "btf__free": (None, (_POINTER,)),
    "btf__find_by_name_kind": (_INT, (_POINTER, _TEXT, _U32)),
    "btf__raw_data": (_POINTER, (_POINTER, ctypes.POINTER(_U32))),
}


class _OpenOptions(ctypes.Structure):
    """struct bpf_object_open_opts, up to the last member in use."""

    _fields_ = (
        ("sz", _SIZE),
        ("object_name", _TEXT),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", _TEXT),
        ("unused", _U32),
        ("kconfig", _TEXT),
        ("btf_custom_path", _TEXT),
    )


@cache
def _library() -> ctypes.CDLL:
    """Return the library. Raises HostError without it."""
    try:
        library = ctypes.CDLL(LIBBPF, use_errno=True)
    except OSError as error:
        raise HostError(f"{WITHOUT_LIBBPF} ({error})", "compile") from error
    for name, (returned, arguments) in _CALLS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returned, arguments
    return library


def _checked(returned: int) -> None:
    if returned < 0:
        raise OSError(-returned, os.strerror(-returned))


@contextmanager
def kernel_types() -> Iterator[Callable[[int, str], int]]:
    """Parse the running kernel's types for a while, in some 11 MB.

    The function returns the number of a type, 0 for none, by BTF_KIND_* and name.
    """
    types = _library().btf__load_vmlinux_btf()
    try:
        yield lambda kind, name: max(_library().btf__find_by_name_kind(types, name.encode(), kind), 0) if types else 0
    finally:
        _library().btf__free(types)


class ObjectProgram:
    """struct bpf_program."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    @property
    def name(self) -> str:
        """The function's name."""
        return str(_library().bpf_program__name(self._pointer).decode())

    @property
    def fd(self) -> int:
        """The fd of a loaded program."""
        return int(_library().bpf_program__fd(self._pointer))

    def set_type(self, program_type: ProgramType) -> None:
        """Set another type than the section's. Raises OSError."""
        _checked(_library().bpf_program__set_type(self._pointer, program_type.kind))
        self._set_attach_type(program_type.attach_type)

    def _set_attach_type(self, attach_type: int) -> None:
        _checked(_library().bpf_program__set_expected_attach_type(self._pointer, attach_type))

    def set_attach_target(self, attach_type: int, target: str) -> None:
        """Set the raw tracepoint or the function. Raises OSError: ENOENT or ESRCH for an unknown one."""
        self._set_attach_type(attach_type)
        _checked(_library().bpf_program__set_attach_target(self._pointer, 0, target.encode()))

    def set_autoload(self, autoload: bool) -> None:
        """Set whether `Object.load` loads the program. Raises OSError."""
        _checked(_library().bpf_program__set_autoload(self._pointer, autoload))


class ObjectMap:
    """struct bpf_map."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    @property
    def name(self) -> str:
        """The map's name in the object."""
        return str(_library().bpf_map__name(self._pointer).decode())

    @property
    def fd(self) -> int:
        """The fd of a loaded map."""
        return int(_library().bpf_map__fd(self._pointer))

    @property
    def type(self) -> int:
        """A number of enum bpf_map_type."""
        return int(_library().bpf_map__type(self._pointer))

    @property
    def is_internal(self) -> bool:
        """Whether libbpf made the map, for global variables."""
        return bool(_library().bpf_map__is_internal(self._pointer))

    @property
    def max_entries(self) -> int:
        """Entries; for a ring buffer bytes."""
        return int(_library().bpf_map__max_entries(self._pointer))

    def set_max_entries(self, entries: int) -> None:
        """Set the size before the load. Raises OSError."""
        _checked(_library().bpf_map__set_max_entries(self._pointer, entries))

    @property
    def flags(self) -> int:
        """Flags of the map's creation."""
        return int(_library().bpf_map__map_flags(self._pointer))

    def set_flags(self, flags: int) -> None:
        """Set the flags before the load. Raises OSError."""
        _checked(_library().bpf_map__set_map_flags(self._pointer, flags))

    @property
    def key_type(self) -> int:
        """The BTF type of the keys."""
        return int(_library().bpf_map__btf_key_type_id(self._pointer))

    @property
    def value_type(self) -> int:
        """The BTF type of the values."""
        return int(_library().bpf_map__btf_value_type_id(self._pointer))

    def initial_value(self) -> ctypes.Array[ctypes.c_char]:
        """Return the memory with the initial value of global variables, to be changed before the load."""
        size = _SIZE(0)
        pointer = _library().bpf_map__initial_value(self._pointer, ctypes.byref(size))
        return (ctypes.c_char * size.value).from_address(pointer)

    def reuse_fd(self, fd: int) -> None:
        """Take the map behind `fd` instead of a new one. Raises OSError."""
        _checked(_library().bpf_map__reuse_fd(self._pointer, fd))


class Object:
    """struct bpf_object; lives as long as the process, like the fds."""

    def __init__(self, data: bytes, name: str, btf_path: str | None) -> None:
        """Open an ELF file's content, which libbpf copies. `btf_path` has the types for relocations.

        Raises OSError and HostError.
        """
        options = _OpenOptions(
            sz=ctypes.sizeof(_OpenOptions),
            object_name=name.encode(),
            btf_custom_path=btf_path.encode() if btf_path else None,
        )
        pointer = _library().bpf_object__open_mem(data, len(data), ctypes.byref(options))
        if not pointer:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._pointer: int = pointer

    def load(self) -> None:
        """Create the maps, and load the programs. Raises OSError."""
        _checked(_library().bpf_object__load(self._pointer))

    def btf(self) -> bytes:
        """Return the object's own BTF."""
        size = _U32(0)
        data = _library().btf__raw_data(_library().bpf_object__btf(self._pointer), ctypes.byref(size))
        return ctypes.string_at(data, size.value)

    def programs(self) -> Iterator[ObjectProgram]:
        """Yield the programs."""
        pointer = None
        while pointer := _library().bpf_object__next_program(self._pointer, pointer):
            yield ObjectProgram(pointer)

    def maps(self) -> Iterator[ObjectMap]:
        """Yield the maps."""
        pointer = None
        while pointer := _library().bpf_object__next_map(self._pointer, pointer):
            yield ObjectMap(pointer)
