# SPDX-License-Identifier: Apache-2.0
"""Objects beside sources: names, and the digest that ties an object to the sources that it was built from.

`commands.build` writes objects, `files` looks for them. An object of other sources is stale, and is not used.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from pathlib import Path

from probed.config.declaration.constants import enum_constants, macros_of
from probed.config.declaration.probe import Probe
from probed.digests import digest
from probed.frozen import frozen
from probed.ipc.loader_messages import ObjectFile, Text

CORE_HEADER = "include/core.bpf.h"
SOURCE_SUFFIX = ".bpf.c"

LIBBPF = "libbpf.so.1"
WITHOUT_LIBBPF = "libbpf, which loads objects, cannot be loaded: apt install libbpf1"

_BUILT_FROM = re.compile(rb"probed sources ([0-9a-f]{64})\0")
"""The string in an object: `probed_sources` of core.bpf.h."""


@frozen
class ObjectSources:
    """Everything that an object is built from, except the kernel's types.

    `constants` are those of the declaration, `ring` says whether it has a ring, `slots` are those of the ring, `trace`
    says whether it is a trace probe, `usdt` whether it has programs at USDT probes, and `rows` whether it has programs
    at iterators. `macros` are definitions as `NAME=VALUE`.
    """

    header: Text
    core_header: Text
    source: Text
    ring: bool = False
    slots: int = 0
    constants: tuple[str, ...] = ()
    trace: bool = False
    usdt: bool = False
    rows: bool = False
    macros: tuple[str, ...] = ()

    @classmethod
    def of_probe(cls, probe: Probe, header: Text, core_header: Text, source: Text) -> ObjectSources:
        """Return the sources of a probe's object."""
        slots = probe.ring.slots if probe.ring is not None else 0
        constants = tuple(sorted(enum_constants(probe)))
        ring, trace = probe.ring is not None, bool(probe.columns)
        usdt = any(program.usdt is not None for program in probe.programs.values())
        defined = tuple(f"{name}={value}" for name, value in sorted(macros_of(probe, source.text).items()))
        return cls(header, core_header, source, ring, slots, constants, trace, usdt, probe.has_rows, defined)

    def why_unfit(self, probe: Probe) -> str:
        """Return why the object does not fit a declaration with the site's changes, "" if it fits."""
        if set(enum_constants(probe)) - set(self.constants):
            return "the site's changes name constants of the C that the object does not have"
        if (probe.ring.slots if probe.ring is not None else 0) != self.slots:
            return "the site changes the number of slots"
        return ""

    @property
    def digest(self) -> str:
        """Digest of all sources."""
        parts = [
            self.header.text,
            self.core_header.text,
            self.source.text,
            f"ring {self.ring} {self.slots}",
            f"trace {self.trace} usdt {self.usdt} rows {self.rows}",
            *self.constants,
            *self.macros,
        ]
        return digest("\0".join(parts).encode())

    def path(self, machine: str) -> Path:
        """Return the object's path for an architecture, as `uname -m` prints it: beside the source."""
        source = Path(self.source.path)
        return source.with_name(f"{source.name.removesuffix(SOURCE_SUFFIX)}.{machine}.bpf.o")


@cache
def has_libbpf() -> bool:
    """Say whether this machine has libbpf."""
    try:
        ctypes.CDLL(LIBBPF)
    except OSError:
        return False
    return True


def find_object(sources: ObjectSources, machine: str) -> tuple[ObjectFile | None, str]:
    """Return the object of these sources, or None and the reason; "" where there is no object.

    The object of other sources is stale, and an unreadable one of no use.
    """
    path = sources.path(machine)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path}: cannot be read: {error.strerror}"
    if built_from(data) != sources.digest:
        return None, f"{path}: is stale: other sources than today's made it; build it anew: probed build {path.parent}"
    if not has_libbpf():
        return None, WITHOUT_LIBBPF
    return ObjectFile(str(path), content_digest(data)), ""


def built_from(data: bytes) -> str:
    """Return the digest of the sources that an object was built from, "" for a file without one."""
    found = _BUILT_FROM.search(data)
    return found[1].decode() if found else ""


def content_digest(data: bytes) -> str:
    """Return the digest of an object's content."""
    return digest(data)
