# SPDX-License-Identifier: Apache-2.0
"""Takes one probe from texts or object to running programs: compile or open, check against the C, verify, attach.

`__main__` calls it for each request. The order matters: no program is attached before every check has passed.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from probed.config import declaration, site
from probed.config.declaration import Probe, enum_constants, kernel_enums
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
    ResolvedColumn,
    ResolvedMetric,
    hook_name,
    switch_names,
)
from probed.linux import bpf
from probed.linux.fdinfo import map_memory
from probed.loader import libbpf, preemption
from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.compiler import ENUMS, LAYOUT, compile_text
from probed.loader.core_module import CoreModule, Tail
from probed.loader.headers.c_names import MAX_NAME, long_name, programs
from probed.loader.hook_chain import Chains
from probed.loader.module import Module
from probed.loader.resolve import (
    KernelEnums,
    check_attach_points,
    check_kernel_enums,
    check_programs,
    resolve,
    resolve_columns,
    with_kernel_enums,
)
from probed.terminal import printable

PAGE = 4096

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


class Host:
    """Facts on the machine: types, raw tracepoints, possible CPUs, architecture, limit of threads."""

    def __init__(self, btf_path: Path, cpus: int, machine: str, threads: int) -> None:
        """`btf_path` is the file with the kernel's types, which an object alone does not need parsed here.

        `uses_kprobes` says whether programs run in kprobes where they can, `has_exchange` whether the kernel has
        BPF_XCHG, for BCC.
        """
        self.btf_path = btf_path
        self.uses_kprobes = False
        self.has_exchange = False
        self.cpus = cpus
        self.machine = machine
        self._threads = threads

    @cached_property
    def btf(self) -> Btf:
        """The kernel's types. Raises HostError."""
        return Btf.read(self.btf_path)

    @cached_property
    def raw_tracepoints(self) -> frozenset[str]:
        """The names of the raw tracepoints. Raises HostError."""
        return self.btf.raw_tracepoints()

    @property
    def has_other_types(self) -> bool:
        """Whether the command line names other types than the kernel's own."""
        return self.btf_path != VMLINUX

    @cached_property
    def relocation_btf(self) -> str | None:
        """A path of other types for libbpf, else None: an open fd, since the loader gives up its rights."""
        return f"/proc/self/fd/{os.open(self.btf_path, os.O_RDONLY)}" if self.has_other_types else None

    def read_types(self) -> None:
        """Read the types while the loader has the rights to. Raises HostError."""
        _ = self.raw_tracepoints, self.relocation_btf

    @property
    def processes(self) -> int:
        """The size of maps with an entry for each living process."""
        return min(max(self._threads, LEAST_PROCESSES), MOST_PROCESSES)

    @contextmanager
    def kernel_types(self) -> Iterator[preemption.KernelType]:
        """Let libbpf parse the running kernel's types for a while, unless this process has parsed them."""
        if "btf" in self.__dict__ or not VMLINUX.exists():
            yield lambda kind, name: next(iter(self.btf.find(kind, name)), 0)
        else:
            with libbpf.kernel_types() as types:
                yield types

    def kprobe(self, tracepoint: str) -> preemption.KprobePoint | None:
        """Return the kprobe in which the programs of a tracepoint run, None for the raw tracepoint."""
        return preemption.kprobe_point(self.btf, tracepoint) if self.uses_kprobes else None


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
    columns: tuple[ResolvedColumn, ...]
    object: str


@dataclass(frozen=True, slots=True)
class Running:
    """A running version of a probe, with the fds of its maps by name."""

    loaded: LoadedProbe
    fds: dict[FdName, int]

    def maps(self) -> dict[str, int]:
        """Return the maps by their names in the C."""
        return {_map_name(name): fd for name, fd in self.fds.items()}


@dataclass(frozen=True, slots=True)
class ObjectContent:
    """Content of an object; its programs take over maps and slots of a `running` version."""

    data: bytes
    running: Running | None = None


def _map_name(name: FdName) -> str:
    own = {"stats": STATS, "ring": RING, "slots": SLOTS, "turn": TURN, "recent": name.of + RECENT}
    return own.get(name.kind, name.of)


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


def defines(host: Host, ring_bytes: int = 0, slots: int = 0, *, trace: bool = False) -> dict[str, str]:
    """Return the macros that probed.bpf.h expects; `trace` is for a trace probe."""
    macros = {
        "CPUS": f"{host.cpus}UL",
        "PROCESSES": str(host.processes),
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
    if trace:
        macros["TRACE"] = "1"
    return macros


def _kernel_enums(probe: Probe, host: Host) -> KernelEnums:
    """Return the enums that labels name, of those that the kernel has; of a value's names the first."""
    found = {name: host.btf.enum_constants(name) for name in kernel_enums(probe)}
    return {
        name: {each.value: each.name for each in reversed(constants)} for name, constants in found.items() if constants
    }


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


def check(request: LoadRequest, content: ObjectContent | None, host: Host, chains: Chains) -> CompiledProbe:
    """Compile a probe, or open the content of its object, and check the declaration against C and host.

    Raises LoadError for the C and for tracepoints that this host lacks, DeclarationError for the YAML.
    """
    probe = declared(request)
    _refuse_long_names(probe.name, request.source)
    functions = programs(request.source.text)
    module, places = (
        _compile(request, probe, functions, host, chains)
        if content is None
        else _open(content, probe, functions, host, chains)
    )
    event = module.event() if probe.ring is not None else None
    maps, unfit = _maps(probe.name, module, _maps_of_gauges(probe))
    problems: list[Problem] = list(check_programs(probe, functions))
    hooked = {place.program for place in places}
    missing = any(name in functions and name not in hooked for name in probe.programs)
    nowhere = check_attach_points(probe, host.raw_tracepoints) if missing else []
    enums = _kernel_enums(probe, host)
    unnamed = check_kernel_enums(probe, host.btf.enum_names()) if len(enums) < len(kernel_enums(probe)) else []
    try:
        metrics = resolve(with_kernel_enums(probe, enums), event, maps, module.constants(), unfit)
        columns = resolve_columns(probe, event)
    except DeclarationError as error:
        problems += error.problems
    if problems:
        raise DeclarationError(sorted([*problems, *nowhere, *unnamed]))
    if nowhere:
        raise LoadError(probe.name, "attach_point", "\n".join(map(str, nowhere)), errno.ENOENT)
    if unnamed:
        raise LoadError(probe.name, "compile", "\n".join(map(str, unnamed)))
    read = sorted({name for metric in metrics for name in metric.maps})
    read_maps = tuple(maps[name] for name in read)
    digest = request.object.digest if request.object else ""
    return CompiledProbe(probe, request.fingerprint, module, places, event, read_maps, metrics, columns, digest)


def _refuse_long_names(probe: str, source: Text) -> None:
    if found := long_name(source.text):
        line, name = found
        text = f"{source.path}:{line}: the name '{name[:40]}…' has {len(name)} characters; {MAX_NAME} are the most"
        raise LoadError(probe, "compile", text)


def _compile(
    request: LoadRequest, probe: Probe, functions: Sequence[str], host: Host, chains: Chains
) -> tuple[Module, tuple[ChainSlot, ...]]:
    """Compile the source with BCC; return the module, and slots for its programs."""
    places = _places(probe, functions, chains, lambda _, tracepoint: tracepoint in host.raw_tracepoints)
    text = source_text(request, probe, chains.text(probe.name, places))
    ring = (probe.ring.bytes, probe.ring.slots) if probe.ring is not None else ()
    macros = defines(host, *ring, trace=bool(probe.columns))
    return compile_text(probe.name, text, host.btf, macros), places


def _open(
    content: ObjectContent, probe: Probe, functions: Sequence[str], host: Host, chains: Chains
) -> tuple[Module, tuple[ChainSlot, ...]]:
    """Open the object; return the module, and slots for its programs: those of a running version, if there is one."""
    module, running = CoreModule(probe.name, content.data, host.relocation_btf), content.running
    ring_bytes = probe.ring.bytes if probe.ring is not None else 0
    constants = {"probed_cpus": host.cpus} | ({"probed_ring_pages": ring_bytes // PAGE} if ring_bytes else {})
    module.prepare(constants, host.processes, ring_bytes)
    if running is None:
        places = _places(probe, functions, chains, module.has_tracepoint)
    else:
        places = running.loaded.places
        module.take_over(running.maps())
    tails = {
        each.program: Tail(
            each.tracepoint, chains.array(probe.name, each.tracepoint), each.slot + 1,
            chains.is_hooked(each.tracepoint), chains.kprobe(each.tracepoint),
        )
        for each in places
    }  # fmt: skip
    module.chain(tails)
    return module, places


def _places(
    probe: Probe, functions: Sequence[str], chains: Chains, has_tracepoint: Callable[[str, str], bool]
) -> tuple[ChainSlot, ...]:
    """Return a slot for each program of the C of which the host has the tracepoint."""
    wanted = {name: program.raw_tracepoint for name, program in probe.programs.items() if name in functions}
    there = {name: tracepoint for name, tracepoint in wanted.items() if has_tracepoint(name, tracepoint)}
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


def hook(checked: CompiledProbe, host: Host, chains: Chains) -> Iterator[tuple[str, int, int, int]]:
    """Attach the missing hooks of a probe; yield tracepoint, array, link and program of each.

    Raises LoadError.
    """
    for tracepoint in dict.fromkeys(place.tracepoint for place in checked.places):
        if not chains.is_hooked(tracepoint):
            name, module = hook_name(tracepoint), checked.module
            array = chains.array(checked.probe.name, tracepoint)
            kprobe = chains.kprobe(tracepoint)
            program = module.load_program(name, tracepoint, bool(kprobe))
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


def load(checked: CompiledProbe, chains: Chains) -> tuple[LoadedProbe, list[int]]:
    """Load a compiled probe; return the description, and the fds in the order of `fd_names`. Raises LoadError."""
    probe, module = checked.probe, checked.module
    loaded = {
        place.program: module.load_program(place.program, place.tracepoint, bool(chains.kprobe(place.tracepoint)))
        for place in checked.places
    }
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
        object=checked.object,
        slots=ring.slots if ring is not None else 0,
        columns=checked.columns,
    )


def _needed(module: Module, name: str, probe: str) -> int:
    fd = module.map_fd(name)
    if fd < 0:
        raise LoadError(probe, "internal", f"the compiled source has no map '{name}'")
    return fd
