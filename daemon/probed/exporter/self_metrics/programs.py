# SPDX-License-Identifier: Apache-2.0
"""Self metrics of the BPF programs and of the hooks that call them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from probed.exporter.bpf.program_stats import ProgramStats
from probed.exporter.self_metrics.metric import Samples, SelfMetric
from probed.exporter.self_metrics.probes import ProbeSnapshot
from probed.ipc.attach_points import AttachPoint


def _hooks(probes: ProbeSnapshot) -> list[ProgramStats]:
    """Return every hook once: several probes may share one."""
    return list({hook.id: hook for probe in probes.stats for hook in probe.hooks}.values())


def _counted(probes: ProbeSnapshot) -> list[ProgramStats]:
    """Return all hooks once the kernel has counted a run; 0 before would mean no cost."""
    hooks = _hooks(probes)
    return hooks if any(hook.runs for hook in hooks) else []


def _owned(probes: ProbeSnapshot) -> Iterator[tuple[str, ProgramStats]]:
    """Yield every program with the name of its probe; a hook belongs to no probe."""
    for probe in probes.stats:
        for program in probe.programs:
            yield probe.name, program
    for hook in _hooks(probes):
        yield "", hook


@lru_cache(maxsize=256)
def _label(attach_point: str) -> str:
    return AttachPoint.parse(attach_point).label


def _info(probes: ProbeSnapshot) -> Samples:
    return {
        (probe, program.name, str(program.id), program.tag, _label(program.attach_point)): 1
        for probe, program in _owned(probes)
    }


METRICS: tuple[SelfMetric[ProbeSnapshot], ...] = (
    SelfMetric(
        "probed_program_info", "gauge", ("probe", "program", "id", "tag", "attach"), "always 1",
        "BPF programs of the probes, and the hooks that call them (no probe), by the kernel's id and tag; always 1.",
        "a load of a probe", _info,
    ),
    SelfMetric(
        "probed_program_runs_total", "counter", ("program",), "runs",
        "Runs of the hook and all programs behind it, while kernel.bpf_stats_enabled is 1.",
        "each run of the hook; no series before the kernel has counted one",
        lambda probes: {(hook.name,): hook.runs for hook in _counted(probes)},
    ),
    SelfMetric(
        "probed_program_run_seconds_total", "counter", ("program",), "seconds",
        "Run time of the hook and all programs behind it in seconds, while kernel.bpf_stats_enabled is 1.",
        "each run of the hook; no series before the kernel has counted one",
        lambda probes: {(hook.name,): hook.run_ns / 1e9 for hook in _counted(probes)},
    ),
)  # fmt: skip
