# SPDX-License-Identifier: Apache-2.0
"""Takes one probe from texts to running programs: assemble, compile, check against the C, verify, attach.

`__main__` calls it for each request. The order matters: no program is attached before every check has passed.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from probed.config import declaration, site
from probed.config.declaration import Probe, enum_constants
from probed.config.overrides import SiteDefaults, override, with_defaults
from probed.errors import DeclarationError, LoadError, Problem
from probed.ipc.loader_messages import LoadRequest, Text
from probed.ipc.manifest import (
    OVERFLOW_MAPS,
    ChainSlot,
    FdName,
    LoadedProbe,
    Map,
    Record,
    ResolvedMetric,
    hook_name,
    switch_names,
)
from probed.linux import bpf
from probed.linux.fdinfo import map_memory
from probed.loader import preemption
from probed.loader.btf.reader import Btf
from probed.loader.compiler import Module, compile_text
from probed.loader.headers.c_names import MAX_NAME, long_name, programs
from probed.loader.headers.types import types_for
from probed.loader.hook_chain import Chains
from probed.loader.resolve import check_attach_points, check_programs, resolve
from probed.terminal import printable

PAGE = 4096

LAYOUT = "probed_layout"
ENUMS = "probed_enums"
STATS = "probed_stats"
RING = "events"
SLOTS = "event_slots"
TURN = "overflow_turn"
OWN_MAPS = (LAYOUT, ENUMS, STATS, RING, SLOTS, TURN, *OVERFLOW_MAPS)

RECENT = "_recent"
"""Suffix of a map of `struct recent_count`, after the name of the map of counts."""

LEAST_PROCESSES, MOST_PROCESSES = 1 << 14, 1 << 19
"""Bounds of the macro PROCESSES, which is the kernel's limit of threads between them: some 80 bytes each in a hash."""

HELPERS = ("get_current_task_btf", "task_pt_regs")
"""Helpers that probed.bpf.h uses only where the kernel has them."""


@dataclass(frozen=True, slots=True)
class Host:
    """Facts on the machine: types, raw tracepoints, possible CPUs, architecture, most threads.

    `uses_kprobes` says whether programs run in kprobes where they can, `has_exchange` whether the kernel has BPF_XCHG.
    """

    btf: Btf
    raw_tracepoints: frozenset[str]
    cpus: int
    machine: str
    threads: int
    uses_kprobes: bool = False
    has_exchange: bool = False


@dataclass(frozen=True, slots=True)
class CompiledProbe:
    """A probe that compiles and agrees with its declaration, before loading."""

    probe: Probe
    fingerprint: str
    module: Module
    places: tuple[ChainSlot, ...]
    event: Record | None
    maps: tuple[Map, ...]
    metrics: tuple[ResolvedMetric, ...]


def declared(request: LoadRequest) -> Probe:
    """Return the probe's declaration with the site's overrides. Raises DeclarationError."""
    probe = declaration.parse(request.declaration.text, request.declaration.path, request.name)
    if request.site is None:
        return with_defaults(probe, SiteDefaults())
    configuration = site.parse(request.site.text, request.site.path)
    return override(probe, configuration.probes[request.name], configuration.defaults, configuration.source)


def source_text(request: LoadRequest, probe: Probe, entries: str) -> str:
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


def defines(host: Host, ring_bytes: int = 0, slots: int = 0) -> dict[str, str]:
    """Return the macros that probed.bpf.h expects."""
    macros = {
        "CPUS": f"{host.cpus}UL",
        "PROCESSES": str(min(max(host.threads, LEAST_PROCESSES), MOST_PROCESSES)),
        f"__TARGET_ARCH_{'arm64' if host.machine == 'aarch64' else 'x86'}": "1",
    }
    macros |= {f"PROBED_HAS_{name.upper()}": "1" for name in HELPERS if host.btf.has_function(f"bpf_{name}")}
    if host.uses_kprobes:
        macros["PROBED_IN_KPROBES"] = "1"
    if host.has_exchange:
        macros["PROBED_HAS_EXCHANGE"] = "1"
    if ring_bytes:
        macros["RING_PAGES"] = str(ring_bytes // PAGE)
    if slots:
        macros["SLOTS"] = str(slots)
    return macros


def _layout_of(probe: Probe) -> list[str]:
    """Return C for reading the event's layout and the enum constants from BCC.

    A constant becomes the length of an array, less one: BCC shows types, not values.
    """
    constants = enum_constants(probe)
    lines = [f"struct {ENUMS} {{", "char probed_none[1];"]
    for name, (path, line) in constants.items():
        lines += [line_directive(line, path), f"char value_{name}[1 + ({name})];"]
    lines += ["};", f"BPF_ARRAY({ENUMS}, struct {ENUMS}, 1);"]
    if probe.ring is not None:
        lines += [line_directive(1, probe.source.path), f"BPF_ARRAY({LAYOUT}, struct event, 1);"]
    return lines


def check(request: LoadRequest, host: Host, chains: Chains) -> CompiledProbe:
    """Compile a probe, and check the declaration against C and host.

    Raises LoadError for the C and for tracepoints that this host lacks, DeclarationError for the YAML.
    """
    probe = declared(request)
    _refuse_long_names(probe.name, request.source)
    functions = programs(request.source.text)
    places = _places(probe, functions, host, chains)
    text = source_text(request, probe, chains.text(probe.name, places))
    macros = defines(host, probe.ring.bytes, probe.ring.slots) if probe.ring is not None else defines(host)
    module = compile_text(probe.name, text, types_for(host.btf, text), macros)
    event = module.record(LAYOUT) if probe.ring is not None else None
    maps, unfit = _maps(probe.name, module, _maps_of_gauges(probe))
    problems: list[Problem] = list(check_programs(probe, functions))
    nowhere = check_attach_points(probe, host.raw_tracepoints)
    try:
        metrics = resolve(probe, event, maps, _enums(module), unfit)
    except DeclarationError as error:
        problems += error.problems
    if problems:
        raise DeclarationError(sorted([*problems, *nowhere]))
    if nowhere:
        raise LoadError(probe.name, "attach_point", "\n".join(map(str, nowhere)), errno.ENOENT)
    read = sorted({name for metric in metrics for name in metric.maps})
    return CompiledProbe(probe, request.fingerprint, module, places, event, tuple(maps[name] for name in read), metrics)


def _refuse_long_names(probe: str, source: Text) -> None:
    if found := long_name(source.text):
        line, name = found
        text = f"{source.path}:{line}: the name '{name[:40]}…' has {len(name)} characters; {MAX_NAME} are the most"
        raise LoadError(probe, "compile", text)


def _places(probe: Probe, functions: Sequence[str], host: Host, chains: Chains) -> tuple[ChainSlot, ...]:
    """Return a slot for each program of the C of which the host has the tracepoint."""
    wanted = {name: program.raw_tracepoint for name, program in probe.programs.items() if name in functions}
    there = {name: tracepoint for name, tracepoint in wanted.items() if tracepoint in host.raw_tracepoints}
    return tuple(chains.find_place(probe.name, name, tracepoint) for name, tracepoint in there.items())


def _maps_of_gauges(probe: Probe) -> frozenset[str]:
    return frozenset(name for metric in probe.metrics.values() if metric.type == "gauge" for name in metric.maps)


def _maps(probe: str, module: Module, gauges: Set[str] = frozenset()) -> tuple[dict[str, Map], dict[str, str]]:
    """Return the C's maps of counts and the maps named in `gauges`, and why no metric can read the others.

    Raises LoadError.
    """
    maps: dict[str, Map] = {}
    unfit: dict[str, str] = {}
    for name in module.map_names():
        if name in OWN_MAPS:
            continue
        layout = module.value_map(name) if name in gauges else module.count_map(name)
        if isinstance(layout, Map):
            maps[name] = layout
        else:
            unfit[name] = layout
    for name in unfit:
        if slots := module.recent_slots(name):
            owner = name.removesuffix(RECENT)
            maps[owner] = replace(_owner(probe, name, maps.get(owner)), recent=slots)
    return maps, unfit


def _owner(probe: str, name: str, owner: Map | None) -> Map:
    if owner is None or not owner.kind.endswith("hash") or owner.key.size != 8:
        raise LoadError(
            probe, "declaration",
            f"map '{name}' of struct recent_count stands beside no map of counts: it is called NAME{RECENT} after a "
            "BPF_HASH(NAME, KEY, u64, …) whose KEY has 8 bytes",
        )  # fmt: skip
    return owner


def _enums(module: Module) -> Mapping[str, int]:
    fields = module.record(ENUMS).fields
    return {field.name.removeprefix("value_"): field.count - 1 for field in fields if field.name != "probed_none"}


def hook(checked: CompiledProbe, host: Host, chains: Chains) -> Iterator[tuple[str, int, int, int]]:
    """Attach the missing hooks of a probe; yield tracepoint, array, link and program of each.

    Raises LoadError.
    """
    for tracepoint in dict.fromkeys(place.tracepoint for place in checked.places):
        if not chains.is_hooked(tracepoint):
            name, module = hook_name(tracepoint), checked.module
            array = chains.array(checked.probe.name, tracepoint)
            kprobe = chains.kprobe(tracepoint)
            program = module.load_program(name, _type(tracepoint, host, chains))
            link = module.attach(name, program, tracepoint, kprobe.function if kprobe else "")
            for switch in switch_names(tracepoint)[: kprobe.switches if kprobe else 0]:
                yield switch, *_attach_switch(module, tracepoint, host)
            yield tracepoint, array, link, program
            chains.hooked(tracepoint)


def _attach_switch(module: Module, tracepoint: str, host: Host) -> tuple[int, int, int]:
    """Attach an empty program, which makes the kernel call the tracepoint; return array, link and program.

    The array stays empty. Each hook has its own, because systemd keeps only one fd of a file.
    """
    program = preemption.load_empty(host.btf.tracepoint_type(tracepoint))
    return bpf.program_array(1), module.attach("switch", program, tracepoint), program


def _type(tracepoint: str, host: Host, chains: Chains) -> int | None:
    """Return the BTF type of a tracepoint; None if its programs run in a kprobe."""
    return None if chains.kprobe(tracepoint) else host.btf.tracepoint_type(tracepoint)


def load(checked: CompiledProbe, host: Host, chains: Chains) -> tuple[LoadedProbe, list[int]]:
    """Load a compiled probe; return the description, and the fds in the order of `fd_names`. Raises LoadError."""
    probe, module = checked.probe, checked.module
    types = {place.program: _type(place.tracepoint, host, chains) for place in checked.places}
    loaded = {name: module.load_program(name, its) for name, its in types.items()}
    fds = {FdName("stats"): _needed(module, STATS, probe.name)}
    if checked.event is not None:
        fds[FdName("ring")] = _needed(module, RING, probe.name)
    if probe.ring is not None and probe.ring.slots:
        fds |= {FdName("slots"): _needed(module, SLOTS, probe.name), FdName("turn"): _needed(module, TURN, probe.name)}
    fds |= {FdName("map", layout.name): module.map_fd(layout.name) for layout in checked.maps}
    fds |= {FdName("recent", each.name): module.map_fd(each.name + RECENT) for each in checked.maps if each.recent}
    read = {layout.name for layout in checked.maps}
    fds |= {FdName("hash", name): module.map_fd(name) for name in module.hash_names() if name not in read}
    fds |= {FdName("program", name): fd for name, fd in loaded.items()}
    memory = _memory(module)
    return replace(describe(checked, tuple(fds)), map_bytes=memory), list(fds.values())


def _memory(module: Module) -> int:
    """Return the kernel memory of all maps, 0 where the kernel does not tell."""
    try:
        return sum(map_memory(module.map_fd(name)) for name in module.map_names())
    except PermissionError:  # a former root before Linux 5.14 (commit 7bc3fa0172a4): the files are root's
        return 0


def describe(checked: CompiledProbe, fd_names: tuple[FdName, ...] = ()) -> LoadedProbe:
    """Return the description of a compiled probe, loaded or not."""
    ring = checked.probe.ring
    return LoadedProbe(
        name=checked.probe.name,
        fingerprint=checked.fingerprint,
        event=checked.event,
        ring_bytes=ring.bytes if ring is not None else 0,
        maps=checked.maps,
        metrics=checked.metrics,
        fd_names=fd_names,
        places=checked.places,
        slots=ring.slots if ring is not None else 0,
    )


def _needed(module: Module, name: str, probe: str) -> int:
    fd = module.map_fd(name)
    if fd < 0:
        raise LoadError(probe, "internal", f"the compiled source has no map '{name}'")
    return fd
