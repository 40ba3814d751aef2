# SPDX-License-Identifier: Apache-2.0
"""A storm under systemd is found by the command of its alert, without its secret.

The storms last until a sample is taken: the time of a load depends on the machine.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

import pytest
import yaml

from probed.log import MessageId
from support.running_daemon import ROOT, until
from support.system.machine import Machine, Service

RULES = ROOT / "deploy/prometheus/rules/probed-alerts.yml"
SECRET = "hunter2-hunter2"
SAMPLES = "probed_evidence_samples_total"
ENDLESS = str(1 << 30)


@pytest.fixture(scope="module")
def service(machine: Machine) -> Service:
    return Service(machine, 9835).wait_until_ready()


def command_of(alert: str, unit: str) -> str:
    """Return the command in the description of an alert for a unit."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    (rule,) = [rule for group in groups for rule in group["rules"] if rule.get("alert") == alert]
    found = re.search(r"journalctl MESSAGE_ID=\w+ 'UNIT=\{\{ \$labels\.unit \}\}'", rule["annotations"]["description"])
    assert found is not None
    return found[0].replace("{{ $labels.unit }}", unit)


def found_by(machine: Machine, command: str) -> list[dict[str, Any]]:
    return list(map(json.loads, machine.run("sh", "-c", f"{command} --output=json").splitlines()))


def storm_until_a_sample(machine: Machine, service: Service, *command: object) -> str:
    """Run a command in a unit until a sample is taken; return the unit's name."""
    before = service.scrape().value(SAMPLES)
    unit = f"storm-{secrets.token_hex(4)}.service"
    machine.run("systemd-run", "--quiet", "--collect", f"--unit={unit}", *map(str, command))
    until(lambda: service.scrape().value(SAMPLES) > before, "a sample is taken")
    machine.run("systemctl", "stop", unit)
    return unit


@pytest.mark.parametrize("alert", ["ShortLivedProcessStorm", "ProcessStorm"])
def test_a_storm_is_found_by_the_alerts_command(machine: Machine, service: Service, alert: str) -> None:
    program, spawner = machine.install("exits"), machine.install("spawn")
    unit = storm_until_a_sample(machine, service, spawner, ENDLESS, program, f"--password={SECRET}", "last")
    rows = found_by(machine, command_of(alert, unit))
    assert len(rows) == 50
    assert {(row["COMM"], row["PARENT"], row["ARGV"], row["RESULT"], row["EVIDENCE_OF"]) for row in rows} == {
        (program.name, spawner.name, f"{program} --password=*** last", "0", "starts")
    }
    assert {row["_SYSTEMD_UNIT"] for row in rows} == {service.unit}
    assert SECRET not in machine.run("journalctl", "--unit", service.unit, "--output=json")


def test_a_storm_of_failed_opens_is_found_by_the_alerts_command(machine: Machine, service: Service) -> None:
    opener = machine.install("fail_opens")
    settings = ("--property=WorkingDirectory=/tmp", "--property=PrivateTmp=yes")
    unit = storm_until_a_sample(machine, service, *settings, opener, "openat", "ENOENT", ENDLESS)
    rows = found_by(machine, command_of("OpenFailureStorm", unit))
    assert len(rows) == 50
    assert {(row["COMM"], row["RESULT"], row["ARGV"]) for row in rows} == {(opener.name, "ENOENT", "absent/file")}


def test_a_quiet_unit_leaves_nothing(machine: Machine, service: Service) -> None:
    machine.transient("--unit=quiet.service", machine.install("exits"))
    assert found_by(machine, command_of("ProcessStorm", "quiet.service")) == []


def test_only_the_journal_has_arguments(service: Service) -> None:
    assert "--password" not in service.machine.run("curl", "-sSf", f"http://127.0.0.1:{service.port}/")
    assert service.journal(MessageId.EVIDENCE)
    assert service.stop() == ("success", "0")
