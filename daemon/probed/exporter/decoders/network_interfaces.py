# SPDX-License-Identifier: Apache-2.0
"""Names of network interfaces: the decoder `network_interface`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from probed.exporter.decoders.char_arrays import text
from probed.exporter.decoders.host_table import HostTable
from probed.exporter.decoders.lookup import Find, Lookup


def interface_names(root: Path) -> Find:
    """Return the look-up of interfaces' names by index.

    Only interfaces of the exporter's own network namespace have names here. Indices of other namespaces may coincide
    with indices of this one.
    """
    return HostTable(lambda: _interfaces(root)).get


def interface_name(names: Lookup) -> Callable[[int | bytes], str]:
    """Return the decoder from an ifindex to the interface's name, ``ifindex:N`` without one.

    No interface's name has a colon (Linux net/core/dev.c, dev_valid_name).
    """
    return lambda value: names.get(int(value)) or f"ifindex:{int(value)}"


def _interfaces(root: Path) -> Iterator[tuple[int, str]]:
    """Yield index and name of every interface. Source: Linux Documentation/ABI/testing/sysfs-class-net."""
    for folder in (root / "sys/class/net").iterdir():
        try:
            number = (folder / "ifindex").read_bytes().strip()
        except OSError:  # removed meanwhile, or bonding_masters, which is a file
            continue
        if re.fullmatch(rb"[0-9]{1,10}", number):
            yield int(number), text(os.fsencode(folder.name))
