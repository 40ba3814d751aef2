# SPDX-License-Identifier: Apache-2.0
"""`probed list`: a site's probes with attach points and metrics, and the trace probes, from files only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from probed.config import files
from probed.config.declaration.metrics import Metric
from probed.config.declaration.probe import Probe
from probed.ipc.loader_messages import LoadRequest
from probed.ipc.manifest import LoaderChoice
from probed.terminal import show


def run(config_file: str, btf: str, loader: LoaderChoice | None = None) -> int:
    """Print the probes of a site configuration; return 0. Raises DeclarationError."""
    configuration, text = files.read_site(config_file)
    for declared in files.declared_probes(configuration, text, btf, loader).values():
        show("\n".join(_shown(declared.probe, _loader(declared.request))) + "\n")
    for probe in files.trace_probes([*map(Path, configuration.directories), *files.INSTALLED]):
        show("\n".join(_shown(probe, "loader bcc")) + "\n")
    return 0


def _shown(probe: Probe, loader: str) -> Iterator[str]:
    yield f"{probe.name}: {probe.description}"
    yield f"  {loader}"
    for name, program in probe.programs.items():
        yield f"  {name} at {program.attach_point.title}"
    for name, metric in probe.metrics.items():
        yield f"  {metric.type} {name}{_labels(metric)}"
        yield f"    {metric.help}"
    if probe.columns:
        yield f"  trace of {', '.join(probe.columns)}: probed tail {probe.name}"


def _loader(request: LoadRequest) -> str:
    """Say how the daemon would load a probe, and why not from its object."""
    if request.object is not None:
        return f"loader core, object {request.object.path}"
    if request.loader == "core":
        return f"loader core, no object{f': {request.unfit}' if request.unfit else ''}"
    return f"loader bcc{f': {request.unfit}' if request.unfit else ''}"


def _labels(metric: Metric) -> str:
    return f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
