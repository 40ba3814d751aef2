# SPDX-License-Identifier: Apache-2.0
"""Opens the object of a probe or of the canary, and sets the constants of this machine.

`__main__` hands `open_probe` to `pipeline`, and `open_canary` to the canary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from probed.config.declaration.probe import Probe
from probed.frozen import frozen
from probed.ipc.attach_points import BY_HOST, AttachPoint
from probed.ipc.loader_messages import TraceConstants
from probed.ipc.manifest import FdName, LoadedProbe
from probed.loader.btf.reader import VMLINUX
from probed.loader.common import canary
from probed.loader.common.hook_chain import Chains, Places, find_places
from probed.loader.common.host import RING_PAGE, Host, ring_bytes
from probed.loader.common.module import Module
from probed.loader.common.own_maps import map_name
from probed.loader.common.preemption import KernelType, may_be_preempted
from probed.loader.core import libbpf
from probed.loader.core.core_module import CoreModule, Tail


@frozen
class Running:
    """A running version of a probe, with the fds of its maps by name."""

    loaded: LoadedProbe
    fds: dict[FdName, int]

    def maps(self) -> dict[str, int]:
        """Return the maps by their names in the C."""
        return {map_name(name): fd for name, fd in self.fds.items()}


@frozen
class ObjectContent:
    """Content of an object; its programs take over maps and slots of a `running` version.

    `constants` are those of a trace probe.
    """

    data: bytes
    running: Running | None = None
    constants: TraceConstants = TraceConstants()


@contextmanager
def kernel_types(host: Host) -> Iterator[KernelType]:
    """Let libbpf parse the running kernel's types for a while, unless this process has parsed them."""
    if host.has_read_types or not VMLINUX.exists():
        yield lambda kind, name: next(iter(host.btf.find(kind, name)), 0)
    else:
        with libbpf.kernel_types() as types:
            yield types


def open_probe(
    content: ObjectContent, host: Host, chains: Chains, probe: Probe, functions: Sequence[str]
) -> tuple[Module, Places]:
    """Open an object; return the module, and places for its programs: those of a running version, if there is one.

    Raises LoadError and HostError.
    """
    module, running = CoreModule(probe.name, content.data, host.relocation_btf), content.running
    size = ring_bytes(probe)
    preempted = may_be_preempted(probe.programs.values(), host.may_preempt)
    constants = {"probed_cpus": host.cpus, "probed_preempted": int(preempted)}
    if size:
        constants["probed_ring_pages"] = size // RING_PAGE
    if probe.columns:
        constants |= content.constants.by_name()
    module.prepare(constants, host, size)

    def find(program: str, point: AttachPoint) -> AttachPoint | None:
        if point.kind in BY_HOST:
            return host.find(point)
        return point if module.has_attach_point(program, point) else None

    if running is None:
        places = find_places(chains, probe, functions, find)
    else:
        places = Places(running.loaded.places, running.loaded.iterators)
        module.take_over(running.maps())
    tails = {
        each.program: Tail(
            AttachPoint.parse(each.attach_point), chains.array(probe.name, each.attach_point), each.slot + 1,
            chains.is_hooked(each.attach_point), chains.kprobe(each.attach_point),
        )
        for each in places.slots
    }  # fmt: skip
    module.chain(tails)
    module.iterate(places.iterators)
    return module, places


def open_canary(data: bytes, host: Host) -> Module:
    """Open the canary's object; it reads every member that the kernel has. Raises LoadError."""
    module = CoreModule("canary", data, host.relocation_btf)
    dev, ino = canary.pid_namespace()
    module.prepare({"canary_pidns_dev": dev, "canary_pidns_ino": ino}, host)
    module.keep(canary.PROGRAMS)
    return module
