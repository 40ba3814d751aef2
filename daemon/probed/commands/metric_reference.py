# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md: every metric of the shipped probes and of probed itself.

``python -m probed.commands.metric_reference probes docs/metrics.md`` (`make docs`) writes the file from the probes'
declarations and the tables of `exporter.self_metrics`. A test says when the file is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from probed.config.declaration.base_units import base_unit_of
from probed.config.declaration.metrics import Metric
from probed.config.declaration.probe import Probe, parse_declaration
from probed.errors import REASONS
from probed.exporter.self_metrics import daemon, http, maps, probes, process, programs
from probed.exporter.self_metrics.metric import AnyMetric
from probed.exporter.self_metrics.probes import LOSS_REASONS

_COLUMNS = ("metric", "type", "labels", "unit", "meaning", "changes with")

_SECTIONS: tuple[tuple[str, tuple[AnyMetric, ...]], ...] = (
    ("The daemon", daemon.METRICS),
    ("Each probe", probes.METRICS),
    ("BPF programs and hooks", programs.METRICS),
    ("Hash maps", maps.METRICS),
    ("The HTTP server", http.METRICS),
    ("The exporter process", process.METRICS),
)

_HEAD = """# Metrics

<!-- Written by `make docs`: change the probes' YAML or daemon/probed/exporter/self_metrics instead. -->

Every metric on the page `/metrics`. Labels come in the order of the page. Each metric of a probe has at most as many
series as its budget allows; further label sets are counted where every label value is `other`
(`probed_series_overflowed_total`). A site configuration may rename metrics and labels, fold label values, or drop them.

Text pages show a histogram's classic buckets, Protocol Buffers the native ones too where the probe declares them.

Counters of a probe, and of each probe's events and series, count from `probed_probe_start_time_seconds`, the other
counters from `process_start_time_seconds` or a later start of the process that counts. Each series of a counter or
histogram has a start timestamp, in Protocol Buffers and, with the parameter `created=1`, in OpenMetrics; only the runs
of BPF programs have none.
"""


def reference(declared: Iterable[Probe]) -> str:
    """Return the text of docs/metrics.md."""
    parts = [_HEAD, "## Probes\n"]
    for probe in declared:
        parts += [f"### {probe.name}\n\n{probe.description}\n", _table(map(_row, probe.metrics.values()))]
    parts.append("## probed itself\n")
    for title, metrics in _SECTIONS:
        parts += [f"### {title}\n", _table(map(_self_row, metrics))]
    parts.append(
        f"`reason` of `probed_probe_load_failures_total` is one of {_code(REASONS)}, "
        f"that of `probed_events_lost_total` one of {_code(LOSS_REASONS)}.\n"
    )
    return "\n".join(parts)


def read_probes(folder: Path) -> list[Probe]:
    """Read the declarations of all probes with metrics in a folder, by name. Raises DeclarationError."""
    paths = sorted(path for path in folder.glob("*/*.yaml") if path.stem == path.parent.name)
    read = [parse_declaration(path.read_text(encoding="utf-8"), str(path), path.stem) for path in paths]
    return [probe for probe in read if probe.metrics]


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _row(metric: Metric) -> list[str]:
    return [
        f"`{metric.name}`", metric.type, _code(metric.labels), _unit(metric), metric.help, "; ".join(_changes(metric))
    ]  # fmt: skip


def _unit(metric: Metric) -> str:
    """Return the base unit of a metric's name, else the counted things, of which the name speaks."""
    name = metric.name.removesuffix("_total")
    return base_unit_of(name) or name.removeprefix("probed_").replace("_", " ")


def _changes(metric: Metric) -> Iterator[str]:
    if metric.maps:
        yield f"the kernel {'map' if len(metric.maps) == 1 else 'maps'} {_code(metric.maps)}, read at each scrape"
        return
    conditions = " and ".join(f"`{field}` = `{value}`" for field, value in metric.when.items())
    yield f"each event with {conditions}" if conditions else "each event of the probe"
    if metric.value:
        yield f"observes the field `{metric.value}`"


def _self_row(metric: AnyMetric) -> list[str]:
    return [f"`{metric.name}`", metric.type, _code(metric.labels), metric.unit, metric.help, metric.changes]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: Sequence[str]) -> int:
    """Write the reference: the arguments are the folder of the probes and the file."""
    folder, file = map(Path, arguments)
    file.write_text(reference(read_probes(folder)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
