# SPDX-License-Identifier: Apache-2.0
"""Which BCC there is, and with which libraries: ``python -m probed.loader.bcc_version`` prints it as JSON.

`doctor` asks, in a process of its own: nobody but the loader imports bcc.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from probed.errors import HostError
from probed.loader.compiler import import_bcc


def libraries(maps: str) -> list[str]:
    """Return the file names of BCC's libraries in the text of /proc/PID/maps: their versions are in these."""
    files = re.findall(r"/\S*/(lib(?:bcc|bpf|LLVM|clang)\S*)$", maps, re.MULTILINE)
    return sorted(set(files))


def main() -> int:
    """Print ``{"version": …, "libraries": […]}``, or ``{"error": …}``; return 0."""
    try:
        bcc = import_bcc()
        maps = Path("/proc/self/maps").read_text()
        told = {"version": str(getattr(bcc, "__version__", "unknown")), "libraries": libraries(maps)}
    except HostError as error:
        told = {"error": str(error)}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
