# SPDX-License-Identifier: Apache-2.0
"""Decoders: from the number or bytes of a field to label text, once for each new key.

`probe_tables` takes a decoder by the name in the declaration; the other modules of this folder have one decoder or two
each. Every decoder takes any value, raises nothing, and returns text that prints, or None for a value dropped by a fold
rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import field

from probed.exporter.cgroup.pod_names import NAMELESS
from probed.exporter.decoders.addresses import address
from probed.exporter.decoders.block_devices import device_name, device_names
from probed.exporter.decoders.cgroups import (
    AttributionOf,
    PodNamesOf,
    container,
    container_name,
    namespace,
    pod,
    pod_uid,
    unit,
)
from probed.exporter.decoders.char_arrays import mapped, text
from probed.exporter.decoders.domain_names import domain_name
from probed.exporter.decoders.errnos import errno_name
from probed.exporter.decoders.fold import Decoder, folded
from probed.exporter.decoders.integers import enum, hexadecimal, integer
from probed.exporter.decoders.kernel_stacks import stack
from probed.exporter.decoders.kernel_symbols import symbol, symbol_names
from probed.exporter.decoders.lookup import Lookups
from probed.exporter.decoders.network_interfaces import interface_name, interface_names
from probed.exporter.decoders.signals import signal_name
from probed.exporter.decoders.syscalls import syscall_name
from probed.exporter.decoders.users import user_name, user_names
from probed.frozen import frozen
from probed.ipc.manifest import ResolvedLabel


@frozen
class Context:
    """The host as decoders and map sources see it.

    `cgroups` gives the attribution of a cgroup id, `removed_cgroups` the ids known to be removed; `doubt_cgroups` takes
    ids of which some may be removed. Each label with names of pods calls `pod_names` once for the look-up by cgroup id;
    `container_names` is the look-up of names that runtimes give. `lookups` has the host's other names.
    """

    cgroups: AttributionOf
    lookups: Lookups = field(default_factory=Lookups)
    removed_cgroups: Callable[[], Set[int]] = frozenset
    doubt_cgroups: Callable[[Set[int]], None] = lambda _: None
    pod_names: Callable[[], PodNamesOf] = lambda: lambda _: NAMELESS
    container_names: Callable[[int], str] = lambda _: ""


_PLAIN: Mapping[str, Decoder] = {
    "comm": text,
    "string": text,
    "dname": domain_name,
    "integer": integer,
    "hex": hexadecimal,
    "errno": errno_name,
    "signal": signal_name,
    "syscall": syscall_name,
    "ip": address,
}
"""Decoders that need the value alone."""

_OF_LABEL: Mapping[str, Callable[[ResolvedLabel], Decoder]] = {
    "enum": lambda label: enum(label.table),
    "kernel_enum": lambda label: enum(label.table),
    "map": lambda label: mapped(label.texts),
}
"""Decoders with an argument in the declaration."""

_OF_HOST: Mapping[str, Callable[[Context], Decoder]] = {
    "cgroup_unit": lambda context: unit(context.cgroups),
    "pod_uid": lambda context: pod_uid(context.cgroups),
    "namespace": lambda context: namespace(context.pod_names()),
    "pod": lambda context: pod(context.pod_names()),
    "container": lambda context: container(context.pod_names()),
    "container_name": lambda context: container_name(context.container_names),
    "uid": lambda context: user_name(context.lookups.of(user_names)),
    "block_device": lambda context: device_name(context.lookups.of(device_names)),
    "network_interface": lambda context: interface_name(context.lookups.of(interface_names)),
    "kernel_symbol": lambda context: symbol(context.lookups.of(symbol_names)),
    "kernel_stack": lambda context: stack(context.lookups.of(symbol_names)),
}
"""Decoders that look up names on the host."""


def decoder(label: ResolvedLabel, context: Context | None = None) -> Decoder:
    """Return the decoder that a label names, with the label's fold rules.

    Raises KeyError for an unknown name, ValueError for a decoder that needs a context and gets none.
    """
    return folded(_plain(label, context), label.fold)


def _plain(label: ResolvedLabel, context: Context | None) -> Decoder:
    name = label.decoder
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _OF_LABEL:
        return _OF_LABEL[name](label)
    make = _OF_HOST[name]
    if context is None:
        raise ValueError(f"label '{label.name}': decoder '{name}' asks the host and needs a context")
    return make(context)
