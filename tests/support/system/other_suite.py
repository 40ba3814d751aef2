# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a Debian tree of another suite, on this machine's kernel: `make test-on`.

The command's folder .venv is kept beside the tree.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.system.rootfs import HARNESS, rootfs

PROJECT = Path(__file__).parents[3]


def main(suite: str, packages: str, *command: str) -> None:
    """Build the tree with these packages if missing, and execute the command in it. Raises CalledProcessError."""
    tree = rootfs(suite, packages.split())
    venv = tree.with_name(f"{tree.name}-venv")
    venv.mkdir(exist_ok=True)
    os.execv(HARNESS / "run-in-tree", ["run-in-tree", str(tree), str(PROJECT), str(venv), *command])


if __name__ == "__main__":
    main(*sys.argv[1:])
