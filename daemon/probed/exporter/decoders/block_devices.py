# SPDX-License-Identifier: Apache-2.0
"""Names of block devices: the decoder `block_device`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from probed.exporter.decoders.char_arrays import text
from probed.exporter.decoders.lookup import Find, Lookup

MINOR_BITS = 20
"""Of the kernel's own dev_t, which differs from the one of user space. Source: Linux include/linux/kdev_t.h."""


def device_names(root: Path) -> Find:
    """Return the look-up of devices' names by dev_t of the kernel.

    No table is kept: a look-up is one readlink(2), and numbers are given to other devices in time.
    """
    folder = root / "sys/dev/block"

    def find(number: int) -> str | None:
        try:
            target = os.fsencode((folder / _numbers(number)).readlink())
        except OSError:
            return None
        # In sysfs a slash of the name is an exclamation mark: cciss!c0d0.
        return text(target.rsplit(b"/", 1)[-1].replace(b"!", b"/"))

    return find


def device_name(names: Lookup) -> Callable[[int | bytes], str]:
    """Return the decoder from a dev_t of the kernel to the device's name, ``MAJOR:MINOR`` without one."""
    return lambda value: names.get(int(value)) or _numbers(int(value))


def _numbers(device: int) -> str:
    return f"{device >> MINOR_BITS}:{device & ((1 << MINOR_BITS) - 1)}"
