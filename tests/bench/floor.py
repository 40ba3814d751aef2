# SPDX-License-Identifier: Apache-2.0
"""Programs that do nothing, attached while standard input is open: what no probe can be cheaper than.

``python -m bench.floor TRACEPOINT…``, started by `hooks`.
"""

from __future__ import annotations

import os
import sys

from bench import compiled


def main() -> None:
    """Attach one program to each tracepoint, say so, and wait."""
    tracepoints = sys.argv[1:]
    text = "".join(f"int on_{name}(void *ctx) {{ return 0; }}\n" for name in tracepoints)
    module = compiled.module("floor", text)
    for name in tracepoints:
        module.attach(f"on_{name}", module.load_program(f"on_{name}"), name)
    os.write(1, b"attached\n")
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
