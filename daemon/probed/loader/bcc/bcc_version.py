# SPDX-License-Identifier: Apache-2.0
"""Prints the versions of BCC and its libraries as JSON: ``python -m probed.loader.bcc.bcc_version``.

`doctor` runs it as a process, because only the loader's code imports bcc.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from probed.errors import HostError
from probed.loader.bcc.compiler import import_bcc


def libraries(maps: str) -> list[str]:
    """Return the file names of BCC's libraries, which contain the versions, from the text of /proc/PID/maps."""
    files = re.findall(r"/(lib(?:bcc|bpf|LLVM|clang)[^/\n]*)$", maps, re.MULTILINE)
    return sorted(set(files))


def main() -> int:
    """Print ``{"version": …, "libraries": […]}``, or ``{"error": …}``; return 0."""
    try:
        bcc = import_bcc()
        maps = os.fsdecode(Path("/proc/self/maps").read_bytes())
        told = {"version": str(getattr(bcc, "__version__", "unknown")), "libraries": libraries(maps)}
    except HostError as error:
        told = {"error": str(error)}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
