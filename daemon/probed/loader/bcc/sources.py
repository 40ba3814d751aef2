# SPDX-License-Identifier: Apache-2.0
"""Composes the C text of a probe or of the canary for BCC: header, source, layout, entries, macros.

`__main__` hands `compile_probe` to `pipeline`, and `compile_canary` to the canary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from probed.config.declaration.constants import enum_constants, macros_of
from probed.config.declaration.probe import Probe
from probed.ipc.loader_messages import LoadRequest, Text
from probed.linux.bpf import BPF_F_NO_PREALLOC
from probed.loader.bcc.compiler import compile_text
from probed.loader.common import canary
from probed.loader.common.hook_chain import Chains, Places, entries_at_iterators, find_places, standalone_entry
from probed.loader.common.host import RING_PAGE, Host, ring_bytes
from probed.loader.common.module import Module
from probed.loader.common.own_maps import ENUMS, LAYOUT, ROW
from probed.loader.common.preemption import may_be_preempted
from probed.terminal import printable

HELPERS: tuple[str, ...] = ("get_current_task_btf", "task_pt_regs")
"""Helpers that probed.bpf.h uses only where the kernel has them."""


def compile_probe(
    request: LoadRequest, host: Host, chains: Chains, probe: Probe, functions: Sequence[str]
) -> tuple[Module, Places]:
    """Compile a source with BCC; return the module, and places for its programs. Raises LoadError and HostError."""
    places = find_places(chains, probe, functions, lambda _, point: host.find(point))
    entries = chains.text(probe.name, places.slots) + entries_at_iterators(places.iterators)
    text = _source_text(request, probe, entries)
    ring = (ring_bytes(probe), probe.ring.slots) if probe.ring is not None else ()
    macros = defines(host, *ring) | macros_of(probe, request.source.text)
    if may_be_preempted(probe.programs.values(), host.may_preempt):
        macros["PROBED_PREEMPTED"] = "1"
    if probe.columns:
        constants = request.constants.by_name()
        macros |= {"TRACE": "1"} | {f"VALUE_{name}": f"{value}UL" for name, value in constants.items()}
    points = [kprobe for place in places.slots if (kprobe := chains.kprobe(place.attach_point))]
    if points:
        macros["PROBED_IN_KPROBES"] = "1"
    if any(point.usdt for point in points):
        macros["PROBED_USDT"] = "1"
    if probe.has_rows:
        macros["PROBED_ROWS"] = "1"
    return compile_text(probe.name, text, host.btf, macros), places


def compile_canary(members: Iterable[canary.Member], header: Text, source: Text, host: Host) -> Module:
    """Compile the canary with BCC; it reads those of `members` that it knows. Raises LoadError."""
    text = "\n".join([*header_and_source(header, source), standalone_entry(canary.PROGRAMS)]) + "\n"
    dev, ino = canary.pid_namespace()
    macros = defines(host) | {f"CHECK_{struct}_{member}": "1" for struct, member in members}
    macros |= {"PIDNS_DEV": f"{dev}ULL", "PIDNS_INO": f"{ino}ULL"}
    return compile_text("canary", text, host.btf, macros)


def _source_text(request: LoadRequest, probe: Probe, entries: str) -> str:
    """Return the whole C text of a probe, with file names and lines of each part."""
    parts = [*header_and_source(request.header, request.source), *_layout_of(probe), entries]
    return "\n".join(parts) + "\n"


def header_and_source(header: Text, source: Text) -> list[str]:
    """Return the common C and a probe's own as one text, because BCC rewrites only the main file."""
    included = re.sub(r'^[ \t]*#[ \t]*include[ \t]+"probed\.bpf\.h"', "", source.text, flags=re.MULTILINE)
    return [line_directive(1, header.path), header.text, line_directive(1, source.path), included]


def line_directive(number: int, path: str) -> str:
    """Return the directive from which the compiler's errors have file and line.

    Any byte may be in a path, so the file's name has escapes, and in C each backslash is two.
    """
    name = printable(path).replace("\n", r"\n").replace("\\", r"\\").replace('"', r"\"")
    return f'#line {number} "{name}"'


def defines(host: Host, ring_size: int = 0, slots: int = 0) -> dict[str, str]:
    """Return the macros that probed.bpf.h expects of every probe."""
    macros = {
        "CPUS": f"{host.cpus}UL",
        "PROCESSES": str(host.processes),
        "ON_DEMAND": str(BPF_F_NO_PREALLOC if host.allocates_on_demand else 0),
        f"__TARGET_ARCH_{'arm64' if host.machine == 'aarch64' else 'x86'}": "1",
    }
    macros |= {f"PROBED_HAS_{name.upper()}": "1" for name in HELPERS if host.btf.has_function(f"bpf_{name}")}
    if host.has_exchange:
        macros["PROBED_HAS_EXCHANGE"] = "1"
    if ring_size:
        macros["RING_PAGES"] = str(ring_size // RING_PAGE)
    if slots:
        macros["SLOTS"] = str(slots)
    return macros


def _layout_of(probe: Probe) -> list[str]:
    """Return C for reading the layouts of event and row, and the enum constants from BCC.

    A constant becomes the length of an array, less one: BCC shows types, not values.
    """
    constants = enum_constants(probe)
    lines = [f"struct {ENUMS} {{", "char probed_none[1];"]
    for name, (path, line) in constants.items():
        lines += [line_directive(line, path), f"char value_{name}[1 + ({name})];"]
    lines += ["};", f"BPF_ARRAY({ENUMS}, struct {ENUMS}, 1);"]
    if probe.ring is not None:
        lines += [line_directive(1, probe.source.path), f"BPF_ARRAY({LAYOUT}, struct event, 1);"]
    if probe.has_rows:
        lines += [line_directive(1, probe.source.path), f"BPF_ARRAY({ROW}, struct row, 1);"]
    return lines
