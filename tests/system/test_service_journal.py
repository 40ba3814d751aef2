# SPDX-License-Identifier: Apache-2.0
"""The journal and `systemctl status` show starts, failures and losses; a socket starts the service."""

from __future__ import annotations

import secrets
import shutil
import signal

import yaml

from probed.log import MessageId
from support.running_daemon import ROOT, SHIPPED, until
from support.system.machine import OUT, Machine, Service

FLOOD = "100019"
"""System call that the probe `flood` counts, whose events have no weight."""


def fields(line: dict[str, str], *names: str) -> dict[str, str]:
    return {name: line.get(name, "") for name in names}


def test_start_and_reload_are_found_by_their_message_id(machine: Machine) -> None:
    service = Service(machine, 9830)
    (started,) = service.journal(MessageId.STARTED)
    assert fields(started, "MESSAGE", "PRIORITY", "PROCESS", "SYSLOG_IDENTIFIER", "CODE_FUNC", "_TRANSPORT") == {
        "MESSAGE": "started: 4 of 4 probes up", "PRIORITY": "6", "PROCESS": "supervisor",
        "SYSLOG_IDENTIFIER": "probed", "CODE_FUNC": "_log_states", "_TRANSPORT": "journal",
    }  # fmt: skip
    machine.run("systemctl", "reload", service.unit)
    until(lambda: len(service.journal(MessageId.RELOADED)) == 1, "the reload is in the journal")
    assert service.journal(MessageId.RELOAD_REFUSED) == []
    assert service.stop() == ("success", "0")


def configuration_with(machine: Machine, probe: str) -> str:
    """Give the machine a probe of the kernel tests; return the path of a site with all probes."""
    probes, path = machine.out / f"{probe}-probes", f"/etc/probed-{secrets.token_hex(4)}.yaml"
    shutil.copytree(ROOT / "tests/kernel/probes" / probe, probes / probe)
    directories = [str(OUT / "probed/probes"), str(OUT / probes.name)]
    machine.write(path, yaml.safe_dump({"probe_directories": directories, "probes": {**SHIPPED, probe: None}}))
    return path


def test_a_probe_that_fails_is_found_with_its_name_reason_and_errno(machine: Machine) -> None:
    path = configuration_with(machine, "nowhere")
    service = Service(machine, 9831, {"Environment": f"CONFIG={path}"})
    assert service.show("StatusText").startswith("4 of 5 probes up (nowhere: attach_point), ")
    (failed, *_) = service.journal(MessageId.PROBE_FAILED)
    assert fields(failed, "PROBE", "REASON", "PRIORITY", "PROCESS") == {
        "PROBE": "nowhere", "REASON": "attach_point", "PRIORITY": "3", "PROCESS": "supervisor",
    }  # fmt: skip
    assert service.stop() == ("success", "0")


def test_lost_events_are_found_with_the_name_of_their_probe(machine: Machine) -> None:
    path = configuration_with(machine, "flood")
    service = Service(machine, 9832, {"WatchdogSec": "30s", "Environment": f"CONFIG={path}"})
    exporter = service.exporter
    service.kill(exporter, signal.SIGSTOP)
    machine.run(machine.install("calls"), FLOOD, "10007")
    service.kill(exporter, signal.SIGCONT)
    until(lambda: service.journal(MessageId.EVENTS_LOST), "the loss is in the journal")
    (lost, *_) = service.journal(MessageId.EVENTS_LOST)
    assert fields(lost, "PROBE", "PRIORITY", "PROCESS", "_TRANSPORT") == {
        "PROBE": "flood", "PRIORITY": "4", "PROCESS": "exporter", "_TRANSPORT": "journal",
    }  # fmt: skip
    page = service.scrape()
    assert f"{page.lost('flood'):.0f} in all" in lost["MESSAGE"]
    assert service.stop() == ("success", "0")


def test_a_mistake_in_the_configuration_is_in_the_status(machine: Machine) -> None:
    path = f"/etc/probed-{secrets.token_hex(4)}.yaml"
    machine.write(path, f"probe_directories: [{OUT}/probed/probes]\nprobes: {{process: {{rnig: {{}}}}}}\n")
    service = Service(machine, 9833, {"Environment": f"CONFIG={path}", "Restart": "no"}, may_fail=True)
    assert (service.show("ActiveState"), service.show("ExecMainStatus")) == ("failed", "1")
    assert "did you mean 'ring'?" in service.show("StatusText")
    machine.run("systemctl", "reset-failed", service.unit)


def test_the_first_scrape_starts_the_service_through_its_socket(machine: Machine) -> None:
    service = Service(machine, 9834, {"Environment": "ARGS=--web.systemd-socket"}, socket=True)
    assert service.show("ActiveState") == "inactive"
    service.scrape()
    until(lambda: service.show("ActiveState") == "active", "it has started")
    assert service.scrape().total("probed_probe_up") == len(SHIPPED)
    machine.run("systemctl", "stop", service.socket_unit)
    assert service.stop() == ("success", "0")
