# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md holds every metric of every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probed.commands.metric_reference import main, read_probes, reference
from probed.config.declaration.probe import Probe
from probed.exporter.exposition.renderer import Page
from probed.exporter.http_server.server import ServerStats
from probed.exporter.self_metrics import http, metric, tables
from probed.exporter.self_metrics.daemon import DaemonStats, WorkStats
from probed.exporter.self_metrics.process import Process
from probed.ipc.exporter_messages import Status, WebStatus
from support.unit.probe_stats import BUILD, probes_of

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs/metrics.md"


def documented() -> dict[str, list[str]]:
    """Return the rows of all tables by metric: type, labels, unit, meaning, occasion of a change."""
    rows = (line.strip("|\n").split(" | ") for line in REFERENCE.read_text().splitlines() if line.startswith("| `"))
    return {name.strip(" `"): [cell.strip() for cell in rest] for name, *rest in rows}


def test_the_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text() == reference(read_probes(ROOT / "probes")), "stale: run 'make docs'"


def test_main_writes_the_reference(tmp_path: Path) -> None:
    assert main([str(ROOT / "probes"), str(tmp_path / "metrics.md")]) == 0
    assert (tmp_path / "metrics.md").read_text() == REFERENCE.read_text()


def test_every_metric_of_a_page_is_in_the_reference() -> None:
    status = Status((), "", True, 1.0, 0, WebStatus(True, 1.0))
    made = [
        *tables.families(DaemonStats(BUILD, status, WorkStats(), 0), probes_of()),
        *metric.families(http.METRICS, ServerStats({}, 0, 0)),
        *Process(1.0).families(),
    ]
    types = re.findall(r"^# TYPE (\S+) (\S+)$", Page().render(made).decode(), re.MULTILINE)
    assert dict(types) == {each.name: each.type for each in tables.ALL}
    assert {name: documented()[name][0] for name, _ in types} == dict(types)


@pytest.mark.parametrize("probe", read_probes(ROOT / "probes"), ids=lambda probe: probe.name)
def test_every_metric_of_a_shipped_probe_is_in_the_reference(probe: Probe) -> None:
    rows = documented()
    for name, declared in probe.metrics.items():
        assert rows[name][0] == declared.type
        assert rows[name][1] == ", ".join(f"`{label}`" for label in declared.labels)


@pytest.mark.parametrize("name", sorted(documented()))
def test_every_row_has_a_unit_a_meaning_and_an_occasion(name: str) -> None:
    _, _, unit, meaning, changes = documented()[name]
    assert unit
    assert meaning.endswith(".")
    assert changes
