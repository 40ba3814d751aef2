# SPDX-License-Identifier: Apache-2.0
"""CPU time of BCC alone for the probes of a site: the lower bound of a load.

``python -m bench.compiling FILE``, started by `starting`; writes the CPU seconds of BCC's import and of its compiles.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from typing import Any

from bench.compiled import BTF
from probed.config import files
from probed.linux import privilege
from probed.linux.threads import max_threads
from probed.loader import pipeline
from probed.loader.bcc import compiler
from probed.loader.bcc.hide_kallsyms import hide_kallsyms
from probed.loader.bcc.sources import compile_probe
from probed.loader.common.hook_chain import Chains
from probed.loader.common.host import Host


def main(config_file: str) -> None:
    """Compile as the loader does, without canary and without loading into the kernel."""
    configuration, text = files.read_site(config_file)
    declared = files.declared_probes(configuration, text, str(BTF))
    host = Host(BTF, os.cpu_count() or 1, os.uname().machine, max_threads())
    assert host.raw_tracepoints
    begin = time.process_time()
    bcc = compiler.import_bcc()
    imported = time.process_time() - begin
    privilege.keep_only(privilege.LOADER)
    hide_kallsyms()
    compiles: list[float] = []

    class Timed(bcc.BPF):  # type: ignore[misc, name-defined]
        def __init__(self, **arguments: Any) -> None:
            begin = time.process_time()
            super().__init__(**arguments)
            compiles.append(time.process_time() - begin)

    bcc.BPF = Timed  # type: ignore[attr-defined]
    chains = Chains({})
    for each in declared.values():
        pipeline.check(each.request, partial(compile_probe, each.request, host, chains), host)
    os.write(1, f"{imported} {sum(compiles)}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
