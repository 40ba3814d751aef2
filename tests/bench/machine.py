# SPDX-License-Identifier: Apache-2.0
"""Facts of the machine and the software behind the figures."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
from importlib.metadata import version
from pathlib import Path

from probed.linux.bpf import bpf
from support.running_daemon import ROOT

PACKAGES = ("numpy", "prometheus_client", "h11", "PyYAML")
BPF_LINK_GET_NEXT_ID = 31
"""enum bpf_cmd of Linux include/uapi/linux/bpf.h."""


def facts() -> dict[str, str]:
    """Return kernel, CPU, versions and commit."""
    found = {
        "kernel": f"{platform.release()} {platform.version()}",
        "cpu": _line(Path("/proc/cpuinfo"), "model name"),
        "cpus": str(os.cpu_count()),
        "spectre_v2": Path("/sys/devices/system/cpu/vulnerabilities/spectre_v2").read_text().strip(),
        "python": platform.python_version(),
        "commit": _git("rev-parse", "HEAD") + (" and changes" if _git("status", "--porcelain") else ""),
    }
    return found | {package: version(package) for package in PACKAGES}


def attachments() -> int:
    """Return the number of attached BPF links on the machine, since every program costs."""
    count, last = 0, 0
    while last := _next_link(last):
        count += 1
    return count


def _next_link(last: int) -> int:
    start_id_and_next_id = ctypes.create_string_buffer(struct.pack("<II", last, 0), 12)
    try:
        bpf(BPF_LINK_GET_NEXT_ID, start_id_and_next_id)
    except FileNotFoundError:
        return 0
    return int(struct.unpack_from("<I", start_id_and_next_id, 4)[0])


def _line(path: Path, name: str) -> str:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((text.strip() for found, _, text in lines if found.strip() == name), "unknown")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()
