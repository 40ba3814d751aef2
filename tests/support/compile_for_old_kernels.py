# SPDX-License-Identifier: Apache-2.0
"""``python -m support.compile_for_old_kernels FOLDER…``: compiles probes by BCC as on a kernel without newer helpers.

Such a kernel has no types for the current task, so BCC rewrites more of the C. Exits 1 with the compiler's mistakes.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from probed.config import files
from probed.errors import LoadError
from probed.linux.cpus import possible_cpus
from probed.linux.threads import max_threads
from probed.loader import pipeline
from probed.loader.bcc import compiler, sources
from probed.loader.btf.reader import VMLINUX
from probed.loader.common.hook_chain import Chains
from probed.loader.common.host import Host


def main(folders: list[str]) -> int:
    """Compile each probe; return the exit status."""
    host = Host(VMLINUX, possible_cpus(), os.uname().machine, max_threads())
    host.read_types()
    compiler.import_bcc()
    sources.HELPERS = ()
    failed = 0
    for folder in folders:
        request = files.standalone_probe(Path(folder), str(VMLINUX)).request
        chains = Chains({}, host.kprobe, makes_arrays=True)
        try:
            pipeline.check(request, partial(sources.compile_probe, request, host, chains), host)
        except LoadError as error:
            sys.stderr.write(f"{error}\n")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
