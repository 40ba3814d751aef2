# SPDX-License-Identifier: Apache-2.0
"""`probed list`: the probes of a site with attach points and metrics; with ``--live`` the running programs."""

from __future__ import annotations

from collections.abc import Iterator

from probed.client import http_config
from probed.client.http_client import find_endpoint
from probed.commands import live_programs
from probed.config import files
from probed.config.declaration import Metric
from probed.config.files import DeclaredProbe
from probed.terminal import show
from probed.webconfig.listen_address import Address


def run(config_file: str, btf: str) -> int:
    """Print the probes of a site configuration; return 0. Raises DeclarationError."""
    configuration, text = files.read_site(config_file)
    for declared in files.declared_probes(configuration, text, btf).values():
        show("\n".join(_shown(declared)) + "\n")
    return 0


def run_live(config_file: str, address: Address | None, http_config_file: str | None) -> int:
    """Print the programs of the daemon at `address`, by default the first address of the site configuration.

    `http_config_file` has TLS and authentication of the client. Returns 0. Raises DeclarationError and HostError.
    """
    configuration, _ = files.read_site(config_file)
    web = configuration.web_options
    endpoint = find_endpoint(web.config_file, http_config.read(http_config_file))
    return live_programs.run(address or web.listen_addresses[0], web.telemetry_path, endpoint)


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
