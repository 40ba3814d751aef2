# SPDX-License-Identifier: Apache-2.0
"""Runs BCC: C text in, programs and maps out, with errors that name the probe's lines.

`sources` calls it. BCC writes its errors to file descriptor 2 and raises a bare Exception: this module
captures the text and raises LoadError. BCC prints nothing else, and leaves no files.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from probed.errors import HostError, LoadError
from probed.ipc.attach_points import AttachPoint
from probed.ipc.loader_output import c_mistakes
from probed.ipc.manifest import COUNT, Field, FieldType, Map, MapKind, Record
from probed.linux import bpf
from probed.loader.btf.reader import Btf
from probed.loader.common.attachment import attach, tracing_type
from probed.loader.common.module import HASHES, INDEX, MAP_KINDS, NO_MAP_TO_READ, not_flat
from probed.loader.common.own_maps import ENUMS, LAYOUT, ROW
from probed.loader.common.register_point import RegisterPoint
from probed.loader.errors import refusal
from probed.loader.errors.stderr import captured_stderr
from probed.loader.headers import tree
from probed.loader.headers.private_folder import private_folder
from probed.loader.headers.types import types_for

_TYPES: Mapping[str, FieldType] = {
    "c": "char", "b": "s8", "B": "u8", "?": "u8", "h": "s16", "H": "u16", "i": "s32", "I": "u32",
    "l": "s64", "L": "u64", "q": "s64", "Q": "u64",
}  # fmt: skip
"""ctypes type codes, as BCC makes them from the C struct."""

LOG_BYTES = 1 << 20
"""Most bytes of the verifier's log on a refused program."""


def import_bcc() -> ModuleType:
    """Return the module bcc. Raises HostError when it is missing, broken, or another package of that name."""
    try:
        import bcc
    except ModuleNotFoundError as error:
        raise HostError(
            f"BCC's Python module cannot be imported ({error}), and BCC compiles probes without an object: "
            "apt install python3-bpfcc, or build objects elsewhere with 'probed build'",
            "compile",
        ) from error
    except Exception as error:  # a broken installation can raise anything
        raise HostError(
            f"BCC's Python module is broken: {type(error).__name__}: {error}; reinstall the distribution's "
            "packages: apt install --reinstall python3-bpfcc libbpfcc",
            "compile",
        ) from error
    if not hasattr(bcc, "BPF"):
        raise HostError(
            f"the module 'bcc' at {getattr(bcc, '__file__', 'an unknown place')} is not the BPF Compiler Collection: "
            "the package named bcc on PyPI is something else; pip uninstall bcc, then apt install python3-bpfcc",
            "compile",
        )
    module: ModuleType = bcc
    return module


def report_crashes(bcc: ModuleType) -> None:
    """Let LLVM write the line at which clang works to standard error, before a crash ends the process.

    LLVM takes over the signals that end a process: SIGINT is ignored again. Without effect where BCC hides LLVM.
    """
    with suppress(AttributeError):
        bcc.lib.LLVMEnablePrettyStackTrace()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class BccModule:
    """One C text that BCC compiled. The maps exist; `load_program` loads the programs."""

    def __init__(self, probe: str, compiled: Any, lib: Any, btf: Btf, with_lines: Callable[[], Any]) -> None:
        """`btf` has the attach points, `with_lines` compiles the text with the source line of each instruction."""
        self._probe = probe
        self._btf = btf
        self._bpf = compiled
        self._lib = lib
        self._compile_with_lines = with_lines

    def load_program(self, name: str, attach_point: str, kprobe: RegisterPoint | None = None) -> int:
        """Pass one program through the verifier; return the fd. Raises LoadError with the line at fault.

        From the BTF type of a raw tracepoint or function the verifier knows the types of the arguments, and permits
        direct reads: `LOAD` of probed.bpf.h. BCC compiles such programs, but cannot load them.
        """
        module, encoded = self._bpf.module, name.encode()
        code = ctypes.string_at(
            self._lib.bpf_function_start(module, encoded), self._lib.bpf_function_size(module, encoded)
        )
        licence = self._lib.bpf_module_license(module)
        program_type = kprobe.program_type if kprobe else tracing_type(self._btf, AttachPoint.parse(attach_point))

        def load(log: bytearray) -> int:
            return bpf.load_program(code, name, program_type, log, licence)

        try:
            return load(bytearray())
        except OSError:
            log = bytearray(LOG_BYTES)
        try:
            return load(log)
        except OSError as error:
            said = log.partition(b"\0")[0].decode(errors="replace")
            log_text = self._with_lines(name, said)
            raise refusal.program_refused(self._probe, name, log_text, error.errno or 0) from error

    def _with_lines(self, name: str, log: str) -> str:
        """Return the verifier's log with source lines, which BCC can get, if both logs end with the same verdict."""
        import bcc

        with captured_stderr() as said, suppress(Exception):
            self._compile_with_lines().load_func(name, bcc.BPF.RAW_TRACEPOINT)
        return said[0] if refusal.verdict(said[0]).startswith(refusal.verdict(log)) else log

    def attach(self, program: str, fd: int, attach_point: str, kprobe: RegisterPoint | None = None) -> list[int]:
        """Attach a loaded program; return the attachments' fds. Raises LoadError."""
        return attach(self._probe, program, fd, attach_point, kprobe)

    def table(self, name: str) -> Any:
        """Return BCC's table object of a map."""
        return self._bpf[name.encode()]

    def map_fd(self, name: str) -> int:
        """Return a map's fd, -1 for no such map."""
        return int(self._lib.bpf_table_fd(self._bpf.module, name.encode()))

    def event(self) -> Record:
        """Return the layout of ``struct event``. Raises LoadError."""
        return self.record(LAYOUT)

    def row(self) -> Record:
        """Return the layout of ``struct row``. Raises LoadError."""
        return self.record(ROW)

    def constants(self) -> Mapping[str, int]:
        """Return the values of the constants in `ENUMS`: the lengths of arrays, less one."""
        fields = self.record(ENUMS).fields
        return {field.name.removeprefix("value_"): field.count - 1 for field in fields if field.name != "probed_none"}

    def record(self, name: str) -> Record:
        """Return the layout of a map's value."""
        return _layout(self.table(name).Leaf, "value", self._probe, name)

    def map_names(self) -> list[str]:
        """Return the names of all maps."""
        name_of = self._lib.bpf_table_name  # BCC's Python declares no types for this function
        name_of.argtypes, name_of.restype = (ctypes.c_void_p, ctypes.c_size_t), ctypes.c_char_p
        module = self._bpf.module
        return [name_of(module, index).decode() for index in range(self._lib.bpf_num_tables(module))]

    def hash_names(self) -> list[str]:
        """Return the names of all hash maps, with any values."""
        kind_of, module = self._lib.bpf_table_type, self._bpf.module
        return [name for name in self.map_names() if kind_of(module, name.encode()) in HASHES]

    def count_map(self, name: str) -> Map | str:
        """Return the description of a map of u64 counts, or why it is none, as the end of a sentence."""
        kind = self._map_kind(name)
        if kind is None:
            return NO_MAP_TO_READ
        value = self._value_type(name)
        if value != "unsigned long long":
            return f"its values are {value}, not u64"
        return self._map(name, kind, COUNT)

    def value_map(self, name: str) -> Map | str:
        """Return the description of a map of integers or flat structs, or why it is none, as `count_map` does."""
        kind = self._map_kind(name)
        if kind is None:
            return NO_MAP_TO_READ
        size = int(self._lib.bpf_table_leaf_size(self._bpf.module, name.encode()))
        if kind.startswith("percpu") and size % 8:
            return f"its values for each CPU have {size} bytes, no multiple of 8"
        try:
            leaf = getattr(self.table(name), "sLeaf", None) or self.table(name).Leaf
            return self._map(name, kind, _layout(leaf, "value", self._probe, name))
        except LoadError as error:
            return error.text

    def _map_kind(self, name: str) -> MapKind | None:
        return MAP_KINDS.get(self._lib.bpf_table_type(self._bpf.module, name.encode()))

    def _map(self, name: str, kind: MapKind, value: Record) -> Map:
        entries = int(self._lib.bpf_table_max_entries(self._bpf.module, name.encode()))
        key = INDEX if kind.endswith("array") else _layout(self.table(name).Key, "key", self._probe, name)
        return Map(name, kind, key, entries, value=value)

    def recent_slots(self, name: str) -> int:
        """Return how many `struct recent_count` a map has for each CPU; 0 for another kind of map."""
        if self._map_kind(name) != "percpu_array" or self._value_type(name) != "recent_count":
            return 0
        return int(self._lib.bpf_table_max_entries(self._bpf.module, name.encode()))

    def _value_type(self, name: str) -> str:
        """Return the C name of the values' type, which BCC's table object of a per-CPU map hides in an array."""
        described = self._lib.bpf_table_leaf_desc(self._bpf.module, name.encode()).decode()
        return str(described.split(",")[0].strip('"['))


def compile_text(probe: str, text: str, btf: Btf, defines: Mapping[str, str]) -> BccModule:
    """Compile C text against the kernel's types that it names, with the macros `defines`.

    Raises LoadError with every mistake. BCC's header tree is private, and gone on return. Source lines of instructions
    take a tenth of the time, so only a program that the verifier refuses is compiled with them.
    """
    types = types_for(btf, text)
    compiled = _compile(probe, text, types, defines, "-g0")
    return BccModule(probe, compiled, import_bcc().lib, btf, lambda: _compile(probe, text, types, defines, "-g"))


def _compile(probe: str, text: str, types: str, defines: Mapping[str, str], debug: str) -> Any:
    try:
        return _compile_in_a_tree(probe, text, types, defines, debug)
    except OSError as error:
        raise LoadError(
            probe, "compile",
            f"cannot write what the compiler is to read: {error}; some 100 kB are needed for a moment in a folder for "
            f"temporary files: {_remedy_for_files(error)}", error.errno or 0,
        ) from error  # fmt: skip


def _remedy_for_files(error: OSError) -> str:
    if error.errno == errno.EFBIG:
        return "raise LimitFSIZE= of the unit, ulimit -f"
    return "make room there, or set TMPDIR to one that can be written to"


def _compile_in_a_tree(probe: str, text: str, types: str, defines: Mapping[str, str], debug: str) -> Any:
    bcc = import_bcc()
    flags = ["-Werror=implicit-function-declaration", "-Werror=int-conversion", debug]
    with private_folder() as directory:
        tree.write(directory, text, types, defines=defines)
        os.environ["BCC_KERNEL_SOURCE"] = directory
        with captured_stderr() as said:
            try:
                return bcc.BPF(text=text, cflags=flags)
            except Exception as error:
                failure = error
        raise _compile_error(probe, said[0].replace(directory, ""), failure)


def _compile_error(probe: str, said: str, error: Exception) -> LoadError:
    mistakes = c_mistakes(said)
    if mistakes:
        return LoadError(probe, "compile", "the C does not compile:\n" + "\n".join(mistakes[:20]))
    refused = re.search(r"could not open bpf map: ([^,]+), error: (.*)", said)
    if refused:
        return refusal.map_refused(probe, refused[1], refused[2])
    return LoadError(probe, "compile", f"BCC gave up: {error}\n{refusal.last_lines(said)}")


def _layout(ctype: Any, scalar: str, probe: str, name: str) -> Record:
    if not hasattr(ctype, "_fields_"):
        return Record(ctypes.sizeof(ctype), (_field(scalar, ctype, 0, probe, name),))
    fields = tuple(
        _field(member, kind, getattr(ctype, member).offset, probe, name)
        for member, kind, *_ in ctype._fields_
        if not member.startswith("__pad")
    )
    return Record(ctypes.sizeof(ctype), fields)


def _field(member: str, ctype: Any, offset: int, probe: str, name: str) -> Field:
    element, count = (ctype._type_, ctype._length_) if hasattr(ctype, "_length_") else (ctype, 1)
    code = getattr(element, "_type_", None)
    if not isinstance(code, str) or code not in _TYPES:
        raise LoadError(probe, "declaration", not_flat(member, name))
    return Field(member, _TYPES[code], offset, count)
