# SPDX-License-Identifier: Apache-2.0
"""Names of block devices: the decoder `block_device`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from probed.exporter.decoders.char_arrays import text

MINOR_BITS = 20
"""Of the kernel's own dev_t, which is not the user's. Source: Linux include/linux/kdev_t.h."""


def device_name(root: Path) -> Callable[[int | bytes], str]:
    """Return the decoder from a dev_t of the kernel to the device's name, ``MAJOR:MINOR`` where there is none.

    Nothing is kept: it is one readlink(2), and numbers are given to other devices in time.
    """
    folder = root / "sys/dev/block"

    def decode(value: int | bytes) -> str:
        number = int(value)
        numbers = f"{number >> MINOR_BITS}:{number & ((1 << MINOR_BITS) - 1)}"
        try:
            target = os.fsencode((folder / numbers).readlink())
        except OSError:
            return numbers
        # In sysfs a slash of the name is an exclamation mark: cciss!c0d0.
        return text(target.rsplit(b"/", 1)[-1].replace(b"!", b"/"))

    return decode
