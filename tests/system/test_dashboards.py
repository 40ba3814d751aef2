# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus answers every query of every dashboard while a unit is in trouble.

Prometheus scrapes the daemon twice, under two instances. On the second the unit's series have the labels of a pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from boards.frame import ALERTS
from support.monitoring.grafana_boards import Period, Series, answer, boards, choices, everything, panels, several
from support.monitoring.prometheus_server import Prometheus, prometheus
from support.running_daemon import LIBRARY, SHIPPED, Daemon, site, until
from support.system.trouble import UNIT, Trouble

SCRAPES = 17
"""Seconds of trouble before the queries; a rate takes eight."""

STORMS = "probed-process-storms"

POD_HOST = "node-with-pods"
"""The instance with the names of a pod."""

POD = {"namespace": "shop", "pod": "billing-7d4b9c6f5-x7x2p", "container": "app"}

CHOSEN = ("everything", "one unit", "one pod")
"""Choices of a dashboard's variables."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The daemon, the unit in trouble, Prometheus, and the watched period."""

    server: Prometheus
    daemon: Daemon
    trouble: Trouble
    period: Period

    @property
    def host(self) -> str:
        """The instance without names of pods."""
        return f"127.0.0.1:{self.daemon.port}"

    def variables(self, board: dict[str, Any], chosen: str) -> dict[str, str]:
        """Return the variables with all choices, or with one instance and its unit or pod."""
        values = everything(board, choices(board, self.server))
        one = {
            "everything": {},
            "one unit": {"instance": self.host, "unit": UNIT},
            "one pod": {"instance": POD_HOST, "namespace": POD["namespace"], "pod": POD["pod"]},
        }[chosen]
        return values | {name: several([value]) for name, value in one.items()}


def rules() -> dict[str, Any]:
    """Return rules with every alert of probed firing at once; the alerts of deploy/prometheus wait longer."""
    condition = "sum by (instance, unit, namespace, pod, container) (probed_process_forks_total) >= 0"
    return {"groups": [{"name": "all", "rules": [{"alert": name, "expr": condition} for name in ALERTS]}]}


def scrapes(target: str) -> list[dict[str, Any]]:
    """Return the configuration of both scrapes of one daemon."""
    targets = [{"targets": [target]}]
    host = {"target_label": "instance", "replacement": POD_HOST}
    names = [
        {"source_labels": ["unit"], "regex": re.escape(UNIT), "target_label": name, "replacement": value}
        for name, value in POD.items()
    ]
    with_pods = {"relabel_configs": [{"target_label": "job", "replacement": "probed"}, host]}
    return [
        {"job_name": "probed", "static_configs": targets},
        {"job_name": "with-pods", "static_configs": targets, **with_pods, "metric_relabel_configs": names},
    ]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A daemon, a unit in trouble, and a Prometheus with some scrapes of both."""
    folder = tmp_path_factory.mktemp("dashboards")
    (folder / "trouble").mkdir()
    (folder / "rules.yml").write_text(yaml.safe_dump(rules()))
    with Daemon(folder, site({**SHIPPED, **dict.fromkeys(LIBRARY)})) as daemon, Trouble(folder / "trouble") as trouble:
        daemon.wait_until_ready()
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["../rules.yml"],
            "scrape_configs": scrapes(f"127.0.0.1:{daemon.port}"),
        }
        with prometheus(folder / "prometheus", configuration) as server:
            # A scraper sees new series at 0 first, and then rising.
            moved = "count(sum by (unit) (rate(probed_open_failures_total[10s])) > 0) or vector(0)"
            until(lambda: server.value(moved) > 0, "counts that rise")
            scraped = "min(count_over_time(up[1h]))"
            before = server.value(scraped)
            until(lambda: server.value(scraped) >= before + SCRAPES, f"{SCRAPES} scrapes")
            now = server.query("time()")[0].value
            yield Stage(server, daemon, trouble, Period(now - SCRAPES, now))


def of_dashboard(uid: str) -> dict[str, Any]:
    return next(board for board in boards() if board["uid"] == uid)


def asked(stage: Stage, board: dict[str, Any], title: str, chosen: str) -> list[list[Series]]:
    """Return the answers to the queries of a panel."""
    panel = next(panel for panel in panels(board) if panel["title"] == title)
    variables = stage.variables(board, chosen)
    return [answer(target, variables, stage.period, stage.server) for target in panel["targets"]]


TITLES = [(board["uid"], panel["title"]) for board in boards() for panel in panels(board)]


@pytest.mark.parametrize("chosen", CHOSEN)
@pytest.mark.parametrize(("uid", "title"), TITLES)
def test_every_query_of_a_panel_has_data(stage: Stage, uid: str, title: str, chosen: str) -> None:
    """Queries of only native histograms have none: this Prometheus keeps the classic form."""
    board = of_dashboard(uid)
    targets = next(panel for panel in panels(board) if panel["title"] == title)["targets"]
    for target, series in zip(targets, asked(stage, board, title, chosen), strict=True):
        only_native = "lifetime_seconds{" in target["expr"] and "lifetime_seconds_" not in target["expr"]
        assert bool(series) is not only_native, target["expr"]


@pytest.mark.parametrize("board", boards(), ids=lambda board: board["uid"])
def test_variables_offer_the_scraped_values(stage: Stage, board: dict[str, Any]) -> None:
    offered = choices(board, stage.server)
    assert offered["job"] == ["probed"]
    assert offered["instance"] == [stage.host, POD_HOST]
    assert UNIT in offered["unit"]
    assert (offered["namespace"], offered["pod"]) == ([POD["namespace"]], [POD["pod"]])


@pytest.mark.parametrize("board", boards(), ids=lambda board: board["uid"])
def test_alerts_are_marked(stage: Stage, board: dict[str, Any]) -> None:
    for chosen in CHOSEN:
        variables = stage.variables(board, chosen)
        for annotation in board["annotations"]["list"]:
            assert answer({**annotation, "instant": False}, variables, stage.period, stage.server), annotation["name"]


@pytest.mark.parametrize(("chosen", "names"), [("one unit", {}), ("one pod", POD)])
def test_the_culprit_is_the_first_in_the_table(stage: Stage, chosen: str, names: dict[str, str]) -> None:
    starts, short = asked(stage, of_dashboard(STORMS), "Started programs, now", chosen)
    first = max(starts, key=lambda series: max(series.values.values()))
    programs = {workload: program.name for workload, program in stage.trouble.programs.items()}
    assert first.labels == {"unit": UNIT, **names, "parent": programs["spawn"], "comm": programs["exits"]}
    (share,) = [list(series.values.values()) for series in short if series.labels == first.labels]
    assert share == [1.0]


@pytest.mark.parametrize(("chosen", "names"), [("one unit", {}), ("one pod", POD)])
def test_the_program_without_descriptors_is_named(stage: Stage, chosen: str, names: dict[str, str]) -> None:
    (rows,) = asked(stage, of_dashboard("probed-open-failures"), "Programs without descriptors", chosen)
    program = stage.trouble.programs["fail_opens"].name
    assert [series.labels for series in rows] == [{"unit": UNIT, **names, "comm": program, "errno": "EMFILE"}]
