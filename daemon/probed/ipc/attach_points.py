# SPDX-License-Identifier: Apache-2.0
"""Attach points: the places at which the kernel calls a program. Pure.

Messages, hooks and systemd's fd store name an attach point by one text: a raw tracepoint by its bare name, others as
KIND/TARGET, such as ``fentry/vfs_read``, like the section names of libbpf.
"""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections.abc import Collection
from typing import Final, Literal, cast, get_args

from probed.frozen import frozen

Kind = Literal[
    "raw_tracepoint", "fentry", "fexit", "kprobe", "kretprobe", "uprobe", "uretprobe", "usdt", "perf_event", "iterator"
]  # fmt: skip
"""Kinds of attach points, as the YAML has them.

`fentry`, `fexit`: beginning and return of a kernel function, through a trampoline; the verifier knows the types of the
arguments. `kprobe`, `kretprobe`: the same for all functions that a pattern matches, by a multi link, with registers.
`uprobe`, `uretprobe`: the same for a function of a program or library; the target is FUNCTION@FILE, or an offset in the
file instead of the function. `usdt`: a mark of a program's authors; the target is PROVIDER.NAME@FILE, with the
number of arguments in parentheses behind the name where the YAML has one. `perf_event`: each time that a CPU has
counted so many events, or so often a second; the target is EVENT@PERIOD or EVENT@FREQUENCYHz. `iterator`: each object
of a kind, such as ``task``, whenever the exporter reads.
"""

PerfEventName = Literal[
    "cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults", "major-faults",
    "cycles", "instructions", "cache-references", "cache-misses", "branch-instructions", "branch-misses",
]  # fmt: skip
"""Events of perf_event_open(2): of the kernel's software, then of the CPU."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
OF_FUNCTIONS: Final = frozenset[Kind]({"fentry", "fexit", "kprobe", "kretprobe"})
OF_FILES: Final = frozenset[Kind]({"uprobe", "uretprobe", "usdt"})
RETURNS: Final = frozenset[Kind]({"kretprobe", "uretprobe"})
WITH_REGISTERS: Final = OF_FILES | {"kprobe", "kretprobe", "perf_event"}
"""Kinds with registers instead of arguments."""
BY_HOST: Final = WITH_REGISTERS | {"iterator"}
"""Kinds that libbpf cannot look up: `loader.common.host` does."""


@frozen
class AttachPoint:
    """One attach point; `target` is a name of the kernel, a pattern, or a function of a file.

    `identity` tells a file from the next version at the same path: a program stays with the file of its attachment.
    """

    kind: Kind
    target: str
    identity: str = ""

    @classmethod
    def parse(cls, text: str) -> AttachPoint:
        """Return the attach point of a text that `str` made."""
        kind, separator, rest = text.partition("/")
        target, _, identity = rest.partition("#")
        return cls(cast(Kind, kind), target, identity) if separator else cls("raw_tracepoint", text)

    def __str__(self) -> str:
        if self.kind == "raw_tracepoint":
            return self.target
        return f"{self.kind}/{self.target}#{self.identity}" if self.identity else f"{self.kind}/{self.target}"

    @property
    def function(self) -> str:
        """The function, the offset, or the USDT probe, of an attach point in a file."""
        place = self.target.partition("@")[0]
        return place.partition("(")[0] if self.kind == "usdt" else place

    @property
    def arguments(self) -> int | None:
        """The number of arguments that programs of a USDT probe want, None for all."""
        number = self.target.partition("@")[0].partition("(")[2]
        return int(number.rstrip(")")) if self.kind == "usdt" and number else None

    def in_file(self, path: str, identity: str) -> AttachPoint:
        """Return the same attach point in a file with this real path and identity."""
        return AttachPoint(self.kind, f"{self.target.partition('@')[0]}@{path}", identity)

    @property
    def file(self) -> str:
        """The file of an attach point in a file."""
        return self.target.partition("@")[2] if self.kind in OF_FILES else ""

    @property
    def label(self) -> str:
        """The text of metrics and tables, such as ``raw_tracepoint:sys_exit``."""
        return f"{self.kind}:{self.target}"

    @property
    def title(self) -> str:
        """The text of a list, such as ``raw tracepoint sys_exit``."""
        return f"{self.kind.replace('_', ' ')} {self.target}"

    @property
    def phrase(self) -> str:
        """The text of a sentence, such as ``raw tracepoint 'sys_exit'``."""
        return f"{self.kind.replace('_', ' ')} '{self.target}'"


def is_pattern(point: AttachPoint) -> bool:
    """Say whether a target is a pattern for several functions."""
    return point.kind in ("kprobe", "kretprobe") and bool(re.search(r"[*?\[]", point.target))


def has_target(point: AttachPoint, known: Collection[str]) -> bool:
    """Say whether `known`, a host's names for an attach point, have that, or a match of a pattern."""
    if point.kind == "perf_event":
        return True  # the kernel tells at the attachment
    if point.kind in OF_FILES:
        return point.function in known or is_offset(point.function)
    return bool(fnmatch.filter(known, point.target)) if is_pattern(point) else point.target in known


def is_offset(function: str) -> bool:
    """Say whether a number stands for a function: an offset in the file."""
    return function[:1].isdigit()


def hook_name(attach_point: str) -> str:
    """Return the name of an attach point's hook in C; the kernel keeps the first 15 characters."""
    if "/" not in attach_point:
        return f"probed_{attach_point}"
    name = re.sub(r"\W", "_", attach_point)
    unlike = re.sub(r"\w", "", attach_point) != "/"  # two patterns may differ in these characters alone
    return f"probed_{name}_{zlib.crc32(attach_point.encode()):x}" if unlike else f"probed_{name}"
