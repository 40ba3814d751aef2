# SPDX-License-Identifier: Apache-2.0
"""``python -m probed.exporter FD``, started by the supervisor: imports `main` without unused modules.

Where an installed version of a package fails without them (see `lean_imports`), the process executes itself again with
whole packages: ``… FD whole``.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

from probed.exporter.lean_imports import left_out

SERVING = "probed.exporter.main"


def main(fd: int, *, whole: bool) -> int:
    """Serve the supervisor behind `fd`; return the exit status."""
    gc.disable()
    if not whole:
        try:
            with left_out():
                import_module(SERVING)
        except Exception as error:  # of main: with whole packages, none of these can happen again
            text = f"probed: {error}, without what the exporter leaves out of its packages: it takes them whole\n"
            sys.stderr.write(text)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "whole"])
    serving = import_module(SERVING)
    gc.freeze()  # later collections leave out what the modules made: a third of the CPU time of a start
    gc.enable()
    status: int = serving.main(fd)
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), whole="whole" in sys.argv[2:]))
