# SPDX-License-Identifier: Apache-2.0
"""Attaches empty programs while standard input is open: the lower bound of a probe's cost.

``python -m bench.floor TRACEPOINT…``, started by `hooks`.
"""

from __future__ import annotations

import os
import sys

from bench import compiled
from probed.ipc.loader_messages import Text


def main() -> None:
    """Attach one program to each tracepoint, print a line, and wait."""
    tracepoints = sys.argv[1:]
    text = "".join(f"PROGRAM(on_{name}) {{ return 0; }}\n" for name in tracepoints)
    compiled.attach(Text("floor.bpf.c", text), {f"on_{name}": name for name in tracepoints})
    os.write(1, b"attached\n")
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
