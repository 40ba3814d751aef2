# SPDX-License-Identifier: Apache-2.0
"""The files for operators: Prometheus's tools accept them, and every alert is complete."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
RUNBOOK = (DEPLOY / "runbook.md").read_text()
LINK = "{{ $externalURL }}/consoles/probed-runbook.md#"


def rules(kind: str) -> list[dict[str, Any]]:
    """Return all rules of a kind: alert or record."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


ALERTS = {rule["alert"]: rule for rule in rules("alert")}
STORMS = [name for name, rule in ALERTS.items() if not name.startswith("Probe")]


def run(program: str, *arguments: str | Path) -> None:
    """Have a tool check files. Raises AssertionError with the tool's output."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not there: `make test` unpacks it")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def sections() -> list[str]:
    return re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)


def test_promtool_accepts_the_rules() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("name", ["prometheus.yml", "static.yml", "systemd-hosts.yml"])
def test_promtool_accepts_the_configuration(name: str) -> None:
    run("promtool", "check", "config", DEPLOY / "prometheus" / name)


def test_promtool_accepts_the_agents_configuration() -> None:
    run("promtool", "check", "config", "--agent", DEPLOY / "prometheus" / "agent.yml")


def test_amtool_accepts_the_configuration() -> None:
    run("amtool", "check-config", DEPLOY / "alertmanager" / "alertmanager.yml")


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_links_to_its_section_of_the_runbook(name: str) -> None:
    assert ALERTS[name]["annotations"]["runbook_url"] == LINK + name.lower()
    assert name in sections()


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert set(sections()) == set(ALERTS)


def test_every_section_has_meaning_look_and_remedy() -> None:
    for section in RUNBOOK.split("\n## ")[1:]:
        assert all(f"**{word}:**" in section for word in ("Means", "Look", "Do")), section.splitlines()[0]


def test_prometheus_does_not_take_the_runbook_for_a_template_with_actions() -> None:
    assert "{{" not in RUNBOOK


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_severity_summary_and_description(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert not any("\n" in text for text in rule["annotations"].values())


OF_NO_PROGRAM = ("SyscallStorm", "CpuThrottling")
"""Alerts on counts without programs: of the whole machine, and of a unit's quota."""


@pytest.mark.parametrize("name", STORMS)
def test_an_alert_about_programs_names_unit_program_and_parent(name: str) -> None:
    description = ALERTS[name]["annotations"]["description"]
    assert all(word in description for word in ("unit", "comm", "parent")) or name in OF_NO_PROGRAM


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
def test_a_recorded_series_is_named_level_metric_operation(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"(instance|unit|parent)(_[a-z]+)*:probed_[a-z_]+:(ratio_)?rate[15]m", rule["record"])


def test_the_variants_of_the_job_differ_in_discovery_only() -> None:
    files = ("prometheus.yml", "static.yml", "systemd-hosts.yml", "agent.yml")
    jobs = [yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["scrape_configs"] for name in files]
    same = ("job_name", "scrape_interval", "scrape_timeout", "sample_limit")
    assert [[{key: job[key] for key in same} for job in these] for these in jobs] == 4 * [
        [{"job_name": "probed", "scrape_interval": "15s", "scrape_timeout": "10s", "sample_limit": 50000}]
    ]


def test_the_table_of_alerts_is_complete() -> None:
    text = (DEPLOY / "README.md").read_text()
    rows = {
        name: severity
        for names, severity in re.findall(r"^\| (\[.+?\]\(runbook.+?) \| (\w+) \|", text, re.MULTILINE)
        for name in re.findall(r"\[(\w+)\]", names)
    }
    assert rows == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
