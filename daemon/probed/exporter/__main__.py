# SPDX-License-Identifier: Apache-2.0
"""``python -m probed.exporter FD``, as the supervisor starts it: imports `serving` without what nobody needs.

Where an installed version does not bear that (see `unneeded`), it starts anew with everything: ``… FD whole``.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from probed.exporter.lean_imports import left_out

SERVING = "probed.exporter.main"


def main(fd: int, *, whole: bool) -> int:
    """Serve the supervisor behind `fd`; return the exit status."""
    if not whole:
        try:
            with left_out():
                import_module(SERVING)
        except Exception as error:  # of main: whatever a package misses, it will not miss it again
            text = f"probed: {error}, without what the exporter leaves out of its packages: it takes them whole\n"
            sys.stderr.write(text)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "whole"])
    status: int = import_module(SERVING).main(fd)
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), whole="whole" in sys.argv[2:]))
