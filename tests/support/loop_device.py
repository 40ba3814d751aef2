# SPDX-License-Identifier: Apache-2.0
"""Block devices on files."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def loop_device(folder: Path, bytes_: int) -> Iterator[str]:
    """Yield the name of a block device on a new file, with an I/O scheduler."""
    file = folder / "disk"
    with file.open("wb") as disk:
        disk.truncate(bytes_)
    device = subprocess.run(
        ["/sbin/losetup", "--find", "--show", file], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        name = Path(device).name
        Path(f"/sys/block/{name}/queue/scheduler").write_text("mq-deadline")
        with Path(device).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # udev reads no locked device: systemd.io/BLOCK_DEVICE_LOCKING
            yield name
    finally:
        subprocess.run(["/sbin/losetup", "--detach", device], check=True)
