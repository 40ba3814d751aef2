# SPDX-License-Identifier: Apache-2.0
"""From numbers and bytes to label text: once for each new label set, never for each event.

`probe` asks for a decoder by the name that the declaration gave; the modules here are one decoder or two each. Every
decoder takes any value and raises nothing; its text prints. It is None for what a fold rule drops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from probed.exporter.decoders.addresses import address
from probed.exporter.decoders.block_devices import device_name
from probed.exporter.decoders.cgroups import Whose, pod_uid, unit
from probed.exporter.decoders.char_arrays import mapped, text
from probed.exporter.decoders.enums import enum
from probed.exporter.decoders.errnos import errno_name
from probed.exporter.decoders.fold import Decoder, folded
from probed.exporter.decoders.integers import hexadecimal, integer
from probed.exporter.decoders.kernel_symbols import KernelSymbols, symbol
from probed.exporter.decoders.network_interfaces import interface_name
from probed.exporter.decoders.signals import signal_name
from probed.exporter.decoders.syscalls import syscall_name
from probed.exporter.decoders.users import user_name
from probed.ipc.manifest import ResolvedLabel


@dataclass(frozen=True, slots=True)
class Context:
    """What a probe may ask about the host.

    `cgroups` tells whose a cgroup id is, `living_cgroups` which ids there are (None: it was asked too soon after the
    last time), `removed_cgroups` which are known to be removed. Below `root` are /etc, /proc and /sys.
    """

    cgroups: Whose
    root: Path = Path("/")
    living_cgroups: Callable[[], Set[int] | None] = lambda: None
    removed_cgroups: Callable[[], Set[int]] = frozenset


_PLAIN: Mapping[str, Decoder] = {
    "comm": text,
    "string": text,
    "integer": integer,
    "hex": hexadecimal,
    "errno": errno_name,
    "signal": signal_name,
    "syscall": syscall_name,
    "ip": address,
}
"""Those that need nothing but the value."""

_OF_LABEL: Mapping[str, Callable[[ResolvedLabel], Decoder]] = {
    "enum": lambda label: enum(label.table),
    "map": lambda label: mapped(label.texts),
}
"""Those that the declaration has an argument for."""

_OF_HOST: Mapping[str, Callable[[Context], Decoder]] = {
    "cgroup_unit": lambda context: unit(context.cgroups),
    "pod_uid": lambda context: pod_uid(context.cgroups),
    "uid": lambda context: user_name(context.root),
    "block_device": lambda context: device_name(context.root),
    "network_interface": lambda context: interface_name(context.root),
    "kernel_symbol": lambda context: symbol(KernelSymbols(context.root)),
}
"""Those that ask the host."""


def decoder(label: ResolvedLabel, context: Context | None = None) -> Decoder:
    """Return the decoder that a label names, with the label's fold rules.

    Raises KeyError for a name that there is not, ValueError where it needs a context and there is none.
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
