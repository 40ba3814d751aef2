# SPDX-License-Identifier: Apache-2.0
"""The verifier accepts every shipped program in a kprobe, where kernels run them that preempt raw tracepoints.

Such kernels run in guests only: tests/system/test_kernels.py.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from probed.config import files
from probed.ipc.attach_points import hook_name
from probed.ipc.manifest import LoaderName
from probed.linux.threads import max_threads
from probed.loader import pipeline
from probed.loader.bcc.sources import compile_probe
from probed.loader.btf.reader import VMLINUX
from probed.loader.common import preemption
from probed.loader.common.hook_chain import Chains
from probed.loader.common.host import Host
from probed.loader.core.objects import ObjectContent, open_probe
from support.running_daemon import PROBES, SHIPPED


@pytest.mark.filterwarnings("ignore:not a bytes object")  # BCC's way to take text
@pytest.mark.filterwarnings("ignore:Due to '_pack_'")  # of BCC's modules, since Python 3.14
@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_every_shipped_program_and_hook_loads_as_a_kprobe(loader: LoaderName, objects: Path) -> None:
    host = Host(VMLINUX, os.cpu_count() or 1, os.uname().machine, max_threads())
    host.uses_kprobes = True
    chains = Chains({}, host.kprobe)
    loaded = set()
    traces = [probe.name for probe in files.trace_probes([PROBES])]
    for name in [*SHIPPED, *traces]:
        request = files.standalone_probe(objects / name, str(VMLINUX), loader).request
        assert bool(request.object) == (loader == "core")
        if request.object:
            make = partial(open_probe, ObjectContent(Path(request.object.path).read_bytes()), host, chains)
        else:
            make = partial(compile_probe, request, host, chains)
        checked = pipeline.check(request, make, host)
        for place in checked.places.slots:
            in_kprobe = place.attach_point not in preemption.IN_INTERRUPTS
            assert bool(chains.kprobe(place.attach_point)) == in_kprobe
            kprobe = chains.kprobe(place.attach_point)
            os.close(checked.module.load_program(place.program, place.attach_point, kprobe))
            if not chains.is_hooked(place.attach_point):
                os.close(checked.module.load_program(hook_name(place.attach_point), place.attach_point, kprobe))
                chains.hooked(place.attach_point)
            loaded.add((name, place.program))
    assert {name for name, _ in loaded} == {*SHIPPED, *traces}
    assert len(loaded) == 20
