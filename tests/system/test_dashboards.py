# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus answers every query of every dashboard while a unit is in trouble."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Stage:
    """The daemon, the unit in trouble, Prometheus, and the watched period."""

    server: Prometheus
    daemon: Daemon
    trouble: Trouble
    period: Period

    def variables(self, board: dict[str, Any], one: bool) -> dict[str, str]:
        """Return the variables with all choices, or with only the test's instance and unit."""
        values = everything(board, choices(board, self.server))
        if one:
            values |= {"instance": several([f"127.0.0.1:{self.daemon.port}"]), "unit": several([UNIT])}
        return values


def rules() -> dict[str, Any]:
    """Return rules with every alert of probed firing at once; the alerts of deploy/prometheus wait longer."""
    condition = "sum by (instance, unit) (probed_process_forks_total) >= 0"
    return {"groups": [{"name": "all", "rules": [{"alert": name, "expr": condition} for name in ALERTS]}]}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A daemon, a unit in trouble, and a Prometheus with some scrapes of both."""
    folder = tmp_path_factory.mktemp("dashboards")
    (folder / "trouble").mkdir()
    (folder / "rules.yml").write_text(yaml.safe_dump(rules()))
    with Daemon(folder, site({**SHIPPED, **dict.fromkeys(LIBRARY)})) as daemon, Trouble(folder / "trouble") as trouble:
        daemon.wait_until_ready()
        targets = [{"targets": [f"127.0.0.1:{daemon.port}"]}]
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["../rules.yml"],
            "scrape_configs": [{"job_name": "probed", "static_configs": targets}],
        }
        with prometheus(folder / "prometheus", configuration) as server:
            # A scraper sees new series at 0 first, and then rising.
            moved = "count(sum by (unit) (rate(probed_open_failures_total[10s])) > 0) or vector(0)"
            until(lambda: server.value(moved) > 0, "counts that rise")
            before = server.value("sum(count_over_time(up[1h]))")
            until(lambda: server.value("sum(count_over_time(up[1h]))") >= before + SCRAPES, f"{SCRAPES} scrapes")
            now = server.query("time()")[0].value
            yield Stage(server, daemon, trouble, Period(now - SCRAPES, now))


def of_dashboard(uid: str) -> dict[str, Any]:
    return next(board for board in boards() if board["uid"] == uid)


def asked(stage: Stage, board: dict[str, Any], title: str, one: bool) -> list[list[Series]]:
    """Return the answers to the queries of a panel."""
    panel = next(panel for panel in panels(board) if panel["title"] == title)
    variables = stage.variables(board, one)
    return [answer(target, variables, stage.period, stage.server) for target in panel["targets"]]


TITLES = [(board["uid"], panel["title"]) for board in boards() for panel in panels(board)]


@pytest.mark.parametrize("one", [False, True], ids=["everything", "one unit"])
@pytest.mark.parametrize(("uid", "title"), TITLES)
def test_every_query_of_a_panel_has_data(stage: Stage, uid: str, title: str, one: bool) -> None:
    """Queries of only native histograms have none: this Prometheus keeps the classic form."""
    board = of_dashboard(uid)
    targets = next(panel for panel in panels(board) if panel["title"] == title)["targets"]
    for target, series in zip(targets, asked(stage, board, title, one), strict=True):
        only_native = "lifetime_seconds{" in target["expr"] and "lifetime_seconds_" not in target["expr"]
        assert bool(series) is not only_native, target["expr"]


@pytest.mark.parametrize("board", boards(), ids=lambda board: board["uid"])
def test_variables_offer_the_scraped_values(stage: Stage, board: dict[str, Any]) -> None:
    offered = choices(board, stage.server)
    assert offered["job"] == ["probed"]
    assert offered["instance"] == [f"127.0.0.1:{stage.daemon.port}"]
    assert UNIT in offered["unit"]


@pytest.mark.parametrize("board", boards(), ids=lambda board: board["uid"])
def test_alerts_are_marked(stage: Stage, board: dict[str, Any]) -> None:
    for one in (False, True):
        variables = stage.variables(board, one)
        for annotation in board["annotations"]["list"]:
            assert answer({**annotation, "instant": False}, variables, stage.period, stage.server), annotation["name"]


def test_the_culprit_is_the_first_in_the_table(stage: Stage) -> None:
    starts, short = asked(stage, of_dashboard(STORMS), "Started programs, now", one=True)
    first = max(starts, key=lambda series: max(series.values.values()))
    programs = {workload: program.name for workload, program in stage.trouble.programs.items()}
    assert first.labels == {"unit": UNIT, "parent": programs["spawn"], "comm": programs["exits"]}
    (share,) = [list(series.values.values()) for series in short if series.labels == first.labels]
    assert share == [1.0]


def test_the_program_without_descriptors_is_named(stage: Stage) -> None:
    (rows,) = asked(stage, of_dashboard("probed-open-failures"), "Programs without descriptors", one=True)
    program = stage.trouble.programs["fail_opens"].name
    assert [series.labels for series in rows] == [{"unit": UNIT, "comm": program, "errno": "EMFILE"}]
