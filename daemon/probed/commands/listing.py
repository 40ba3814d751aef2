# SPDX-License-Identifier: Apache-2.0
"""`probed list`: the probes of a site with attach points and metrics, from files only."""

from __future__ import annotations

from collections.abc import Iterator

from probed.config import files
from probed.config.declaration import Metric
from probed.config.files import DeclaredProbe
from probed.terminal import show


def run(config_file: str, btf: str) -> int:
    """Print the probes of a site configuration; return 0. Raises DeclarationError."""
    configuration, text = files.read_site(config_file)
    for declared in files.declared_probes(configuration, text, btf).values():
        show("\n".join(_shown(declared)) + "\n")
    return 0


def _shown(declared: DeclaredProbe) -> Iterator[str]:
    probe = declared.probe
    yield f"{probe.name}: {probe.description}"
    for name, program in probe.programs.items():
        yield f"  {name} at raw tracepoint {program.raw_tracepoint}"
    for name, metric in probe.metrics.items():
        yield f"  {metric.type} {name}{_labels(metric)}"
        yield f"    {metric.help}"


def _labels(metric: Metric) -> str:
    return f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
