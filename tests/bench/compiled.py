# SPDX-License-Identifier: Apache-2.0
"""C of a bench's own, compiled as the loader compiles a probe's, without a daemon."""

from __future__ import annotations

import os
from pathlib import Path

from daemon import PROBES
from probed.loader import load
from probed.loader.btf import Btf
from probed.loader.compiler import Module, compile_text
from probed.loader.types import types_for
from probed.request import Text

BTF = Path("/sys/kernel/btf/vmlinux")
HEADER = PROBES / "include" / "probed.bpf.h"


def module(name: str, text: str) -> Module:
    """Compile C that needs nothing of the kernel."""
    return compile_text(name, text, "", {})


def probe(source: Path, ring_bytes: int) -> Module:
    """Compile a probe's C with the header of all probes, and a ring of `ring_bytes`."""
    btf = Btf.read(BTF)
    host = load.Host(btf, btf.raw_tracepoints(), os.cpu_count() or 1, os.uname().machine)
    parts = load.header_and_source(Text(str(HEADER), HEADER.read_text()), Text(str(source), source.read_text()))
    text = "\n".join(parts) + "\n"
    return compile_text(source.stem, text, types_for(btf, text), load.defines(host, ring_bytes))
