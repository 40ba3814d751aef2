# SPDX-License-Identifier: Apache-2.0
"""Compiles, loads and attaches a probe's C as the loader does, without a daemon."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from probed.ipc.loader_messages import Text
from probed.linux.threads import max_threads
from probed.loader.bcc.compiler import BccModule, compile_text
from probed.loader.bcc.sources import defines, header_and_source
from probed.loader.common.hook_chain import standalone_entry
from probed.loader.common.host import Host
from support.running_daemon import PROBES

BTF = Path("/sys/kernel/btf/vmlinux")
HEADER = PROBES / "include" / "probed.bpf.h"


def attach(source: Text, programs: Mapping[str, str], ring_bytes: int = 0) -> BccModule:
    """Compile a probe's C with a ring of `ring_bytes`, and attach each program to its raw tracepoint."""
    host = Host(BTF, os.cpu_count() or 1, os.uname().machine, max_threads())
    parts = [*header_and_source(Text(str(HEADER), HEADER.read_text()), source), standalone_entry(programs)]
    text = "\n".join(parts) + "\n"
    module = compile_text("bench", text, host.btf, defines(host, ring_bytes))
    for name, tracepoint in programs.items():
        module.attach(name, module.load_program(name, tracepoint), tracepoint)
    return module
