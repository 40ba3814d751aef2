# SPDX-License-Identifier: Apache-2.0
"""CPU time of two parsers on their largest input: the kernel's BTF, and names for fold rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bench.figures import Figure, least
from bench.setup import Setup
from probed.config.folding import fold_defaults
from probed.exporter.decoders.fold import folded
from probed.ipc.manifest import ResolvedFoldRule
from probed.loader.btf.reader import Btf
from probed.loader.headers.types import types_for
from support.running_daemon import PROBES

ROUNDS: Final = 7
LONG_NAMES: Final = ("a@1-" + "1-" * 2000, "app-" + "a-1" * 2000, "run-r" + "0" * 5000, "irq/" + "1" * 5000)
"""Names on which a backtracking default rule takes longest."""


def measure(setup: Setup) -> list[Figure]:
    """Return the CPU time of BTF and the types of the probe process, and of folding the names."""
    source = (PROBES / "process" / "process.bpf.c").read_text()
    cases: dict[str, Callable[[], object]] = {
        "types of the probe process from the kernel's BTF": lambda: types_for(Btf.read(), source),
        "default fold rules, four names of 4,000 to 6,000 bytes": lambda: [_fold(name) for name in LONG_NAMES],
    }
    rounds = setup.rounds(ROUNDS)
    return [least(about, "ms", [_cpu_ms(once) for _ in range(rounds)]) for about, once in cases.items()]


def _cpu_ms(once: Callable[[], object]) -> float:
    begin = time.process_time()
    once()
    return (time.process_time() - begin) * 1e3


def _fold(name: str) -> list[str | None]:
    """Return the name after the default rules of every label."""
    found = []
    for rules in fold_defaults.RULES.values():
        resolved = [ResolvedFoldRule(rule.match, rule.replace, rule.parts) for rule in rules]
        found.append(folded(lambda value: bytes(value).decode(), resolved)(name.encode()))
    return found
