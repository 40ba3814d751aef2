# SPDX-License-Identifier: Apache-2.0
"""Time of libbpf alone for the probes of a site: the lower bound of a load through objects.

``python -m bench.opening FILE``, started by `starting`; writes the seconds of libbpf's calls, with the kernel's work.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.compiled import BTF
from probed.config import files
from probed.linux import privilege
from probed.linux.threads import max_threads
from probed.loader import pipeline
from probed.loader.common.hook_chain import Chains
from probed.loader.common.host import Host
from probed.loader.core import libbpf
from probed.loader.core.objects import ObjectContent, open_probe


class Timed:
    """The library, with a clock at each call."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._library, name)

        def timed(*arguments: Any) -> Any:
            begin = time.perf_counter()
            returned = call(*arguments)
            self.seconds += time.perf_counter() - begin
            return returned

        setattr(self, name, timed)
        return timed


def main(config_file: str) -> None:
    """Open, load and attach the probes as the loader does, without canary and without other checks."""
    configuration, text = files.read_site(config_file)
    declared = files.declared_probes(configuration, text, str(BTF))
    host = Host(BTF, os.cpu_count() or 1, os.uname().machine, max_threads())
    library = Timed(libbpf._library())
    libbpf._library = lambda: library  # type: ignore[assignment]
    with libbpf.kernel_types():
        pass  # as the loader, which asks for two types
    privilege.keep_only(privilege.LOADER)
    chains = Chains({}, host.kprobe)
    for each in declared.values():
        assert each.request.object is not None
        content = ObjectContent(Path(each.request.object.path).read_bytes())
        checked = pipeline.check(each.request, partial(open_probe, content, host, chains), host)
        pipeline.load(checked, chains)
        for _ in pipeline.hook(checked, host, chains):
            pass
    os.write(1, f"{library.seconds}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
