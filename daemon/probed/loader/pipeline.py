# SPDX-License-Identifier: Apache-2.0
"""Takes one probe to running programs: compile or open, check against the C, load, attach.

`__main__` calls it for each request, with `core.objects` or `bcc.sources` for the C. No program is attached before
every check has passed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace

from probed.config import site
from probed.config.declaration.constants import kernel_enums
from probed.config.declaration.probe import Probe, parse_declaration
from probed.config.overrides import SiteDefaults, override, with_defaults
from probed.errors import DeclarationError, LoadError, Problem
from probed.frozen import frozen
from probed.ipc.attach_points import AttachPoint, hook_name
from probed.ipc.loader_messages import LoadRequest, Text
from probed.ipc.manifest import (
    FdName,
    LoadedProbe,
    Map,
    Record,
    ResolvedColumn,
    ResolvedMetric,
    switch_names,
)
from probed.linux import bpf
from probed.linux.fdinfo import map_memory
from probed.loader.common import preemption
from probed.loader.common.attachment import NO_UPROBES, function_refusal, lacks_uprobes
from probed.loader.common.hook_chain import Chains, Places
from probed.loader.common.host import Host, ring_bytes
from probed.loader.common.module import Module
from probed.loader.common.own_maps import OWN_MAPS, RECENT, RING, SLOTS, STATS, TURN
from probed.loader.headers.c_names import MAX_NAME, long_name, programs
from probed.loader.host_check import KernelEnums, check_attach_points, check_kernel_enums, with_kernel_enums
from probed.loader.resolve import CFacts, check_programs, resolve, resolve_columns

MakeModule = Callable[[Probe, Sequence[str]], tuple[Module, Places]]
"""Compiles or opens the C of a probe, given the names of its programs; returns the module and their places."""


@frozen
class CompiledProbe:
    """A probe that compiles and agrees with its declaration, before loading."""

    probe: Probe
    fingerprint: str
    module: Module
    places: Places
    event: Record | None
    row: Record | None
    maps: tuple[Map, ...]
    metrics: tuple[ResolvedMetric, ...]
    columns: tuple[ResolvedColumn, ...]
    object: str


def declared(request: LoadRequest) -> Probe:
    """Return the probe's declaration with the site's overrides. Raises DeclarationError."""
    probe = parse_declaration(request.declaration.text, request.declaration.path, request.name)
    if request.site is None:
        return with_defaults(probe, SiteDefaults())
    configuration = site.parse(request.site.text, request.site.path)
    return override(probe, configuration.probes[request.name], configuration.defaults, configuration.source)


def _kernel_enums(probe: Probe, host: Host) -> KernelEnums:
    """Return the enums that labels name, of those that the kernel has; of a value's names the first."""
    found = {name: host.btf.enum_constants(name) for name in kernel_enums(probe)}
    return {
        name: {each.value: each.name for each in reversed(constants)} for name, constants in found.items() if constants
    }


def check(request: LoadRequest, make_module: MakeModule, host: Host) -> CompiledProbe:
    """Compile a probe or open its object with `make_module`; check the declaration against C and host.

    Raises LoadError for the C and for attach points that this host lacks, DeclarationError for the YAML. A kernel
    without an attach point often lacks structs that the C reads there, so the attach point is told first.
    """
    probe = declared(request)
    _refuse_long_names(probe.name, request.source)
    functions = programs(request.source.text)
    try:
        module, places = make_module(probe, functions)
    except LoadError as error:
        if error.reason == "compile":
            _refuse_without(probe, check_attach_points(probe, host.targets), error)
        raise
    event = module.event() if probe.ring is not None else None
    maps, unfit = _maps(probe.name, module, _maps_of_values(probe))
    problems: list[Problem] = list(check_programs(probe, functions))
    row = module.row() if probe.has_rows else None
    hooked = {place.program for place in places.slots} | {each.program for each in places.iterators}
    missing = any(name in functions and name not in hooked for name in probe.programs)
    nowhere = check_attach_points(probe, host.targets) if missing else []
    enums = _kernel_enums(probe, host)
    unnamed = check_kernel_enums(probe, host.btf.enum_names()) if len(enums) < len(kernel_enums(probe)) else []
    try:
        metrics = resolve(with_kernel_enums(probe, enums), CFacts(event, maps, module.constants(), unfit, row))
        columns = resolve_columns(probe, event, module.constants())
    except DeclarationError as error:
        problems += error.problems
    if problems:
        raise DeclarationError(sorted([*problems, *nowhere, *unnamed]))
    _refuse_without(probe, nowhere)
    if unnamed:
        raise LoadError(probe.name, "compile", "\n".join(map(str, unnamed)))
    read = sorted({name for metric in metrics for name in metric.maps})
    read_maps = tuple(maps[name] for name in read)
    digest = request.object.digest if request.object else ""
    return CompiledProbe(probe, request.fingerprint, module, places, event, row, read_maps, metrics, columns, digest)


def _refuse_without(probe: Probe, nowhere: Sequence[Problem], cause: LoadError | None = None) -> None:
    """Raise LoadError where the host lacks attach points."""
    if nowhere:
        raise LoadError(probe.name, "attach_point", "\n".join(map(str, nowhere)), errno.ENOENT) from cause


def _refuse_long_names(probe: str, source: Text) -> None:
    if found := long_name(source.text):
        line, name = found
        text = f"{source.path}:{line}: the name '{name[:40]}…' has {len(name)} characters; {MAX_NAME} are the most"
        raise LoadError(probe, "compile", text)


def _maps_of_values(probe: Probe) -> frozenset[str]:
    """Return the maps of gauges and histograms, whose values may be structs."""
    return frozenset(name for metric in probe.metrics.values() if metric.type != "counter" for name in metric.maps)


def _maps(probe: str, module: Module, values: Set[str] = frozenset()) -> tuple[dict[str, Map], dict[str, str]]:
    """Return the C's maps of counts and the maps named in `values`, and why no metric can read the others.

    Raises LoadError.
    """
    maps: dict[str, Map] = {}
    unfit: dict[str, str] = {}
    for name in module.map_names():
        if name in OWN_MAPS:
            continue
        layout = module.value_map(name) if name in values else module.count_map(name)
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


def hook(checked: CompiledProbe, host: Host, chains: Chains) -> Iterator[tuple[str, list[int]]]:
    """Attach the missing hooks of a probe, and yield their attach points and fds.

    The fds are those of array, program and links. Raises LoadError.
    """
    for attach_point in dict.fromkeys(place.attach_point for place in checked.places.slots):
        if not chains.is_hooked(attach_point):
            name, module = hook_name(attach_point), checked.module
            array = chains.array(checked.probe.name, attach_point)
            kprobe = chains.kprobe(attach_point)
            program = module.load_program(name, attach_point, kprobe)
            links = module.attach(name, program, attach_point, kprobe)
            for switch in switch_names(attach_point)[: kprobe.switches if kprobe else 0]:
                yield switch, _attach_switch(module, attach_point, host)
            yield attach_point, [array, program, *links]
            chains.hooked(attach_point)


def _attach_switch(module: Module, tracepoint: str, host: Host) -> list[int]:
    """Attach an empty program, which makes the kernel call the tracepoint; return array, program and link.

    The array stays empty. Each hook has its own, because systemd keeps only one fd of a file.
    """
    program = preemption.load_empty(host.btf.tracepoint_type(tracepoint))
    return [bpf.program_array(1), program, *module.attach("switch", program, tracepoint)]


def load(checked: CompiledProbe, chains: Chains) -> tuple[LoadedProbe, list[int]]:
    """Load a compiled probe; return the description, and the fds in the order of `fd_names`. Raises LoadError."""
    probe, module = checked.probe, checked.module
    loaded = {
        place.program: module.load_program(place.program, place.attach_point, chains.kprobe(place.attach_point))
        for place in checked.places.slots
    }
    loaded |= {each.program: module.load_program(each.program, each.attach_point) for each in checked.places.iterators}
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
    for each in checked.places.iterators:
        (fds[FdName("iterator", each.program)],) = module.attach(each.program, loaded[each.program], each.attach_point)
    memory = _memory(module)
    return replace(describe(checked, tuple(fds)), map_bytes=memory), list(fds.values())


def explain(error: LoadError, checked: CompiledProbe, host: Host) -> LoadError:
    """Return the error of a load; where the kernel lacks the attach point, or takes not even empty programs, that."""
    if error.reason not in ("verifier", "permission"):
        return error
    for point in (AttachPoint.parse(place.attach_point) for place in checked.places.slots):
        if point.kind == "usdt" and lacks_uprobes(host.btf):
            return LoadError(error.probe, "attach_point", f"no program runs at {point.phrase}: {NO_UPROBES}")
        if refused := function_refusal(host.btf, point):
            cause = f"{refused.strerror} ({errno.errorcode.get(refused.errno or 0, refused.errno)})"
            text = (
                f"this kernel takes no program at {point.phrase}, not even an empty one: {cause}; it needs "
                "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, and no security policy against it"
            )
            return LoadError(error.probe, "attach_point", text, refused.errno or 0)
    return error


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
        ring_bytes=ring_bytes(checked.probe),
        maps=checked.maps,
        metrics=checked.metrics,
        fd_names=fd_names,
        places=checked.places.slots,
        object=checked.object,
        slots=ring.slots if ring is not None else 0,
        columns=checked.columns,
        iterators=checked.places.iterators,
        row=checked.row,
    )


def _needed(module: Module, name: str, probe: str) -> int:
    fd = module.map_fd(name)
    if fd < 0:
        raise LoadError(probe, "internal", f"the compiled source has no map '{name}'")
    return fd
