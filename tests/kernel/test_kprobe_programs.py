# SPDX-License-Identifier: Apache-2.0
"""The verifier accepts every shipped program in a kprobe, where kernels run them that preempt raw tracepoints.

Such kernels run in guests only: tests/system/test_kernels.py.
"""

from __future__ import annotations

import os

import pytest

from probed.config import files
from probed.ipc.manifest import hook_name
from probed.linux.threads import max_threads
from probed.loader import pipeline, preemption
from probed.loader.btf.reader import VMLINUX, Btf
from probed.loader.hook_chain import Chains
from support.running_daemon import ROOT, SHIPPED


@pytest.mark.filterwarnings("ignore:not a bytes object")  # BCC's way to take text
def test_every_shipped_program_and_hook_loads_as_a_kprobe() -> None:
    btf = Btf.read()
    host = pipeline.Host(btf, btf.raw_tracepoints(), os.cpu_count() or 1, os.uname().machine, max_threads(), True)
    chains = Chains({}, lambda name: preemption.kprobe_point(btf, name))
    site, text = files.read_site(str(ROOT / "config" / "probed.yaml"))
    loaded = set()
    for name, declared in files.declared_probes(site, text, str(VMLINUX)).items():
        checked = pipeline.check(declared.request, host, chains)
        for place in checked.places:
            in_interrupts = place.tracepoint in preemption.IN_INTERRUPTS
            assert (chains.kprobe(place.tracepoint) is None) == in_interrupts
            its_type = btf.tracepoint_type(place.tracepoint) if in_interrupts else None
            os.close(checked.module.load_program(place.program, its_type))
            if not chains.is_hooked(place.tracepoint):
                os.close(checked.module.load_program(hook_name(place.tracepoint), its_type))
                chains.hooked(place.tracepoint)
            loaded.add((name, place.program))
    assert {name for name, _ in loaded} == set(SHIPPED)
    assert len(loaded) == 13
