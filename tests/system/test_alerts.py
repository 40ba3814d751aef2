# SPDX-License-Identifier: Apache-2.0
"""Alerts from real units to a pager, through probed, Debian's Prometheus and Alertmanager and the shipped files.

All units start at once: one forks short-lived children, one runs out of descriptors, `make` works in one for three
minutes, and the others are quiet. A storm in one container after another follows. The tests look at the alerts.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from support.monitoring.alerting import STORM_SCRIPT, Webhook, alerting
from support.monitoring.prometheus_server import Prometheus, need
from support.running_daemon import until
from support.system.machine import OUT, Machine, Service
from support.system.netns import loopback
from support.workload_programs import fresh_letters

STORM: Final = "ShortLivedProcessStorm"
EXHAUSTED: Final = "FileDescriptorsExhausted"

LONG: Final = 120.0
"""Seconds for an alert that takes 40 s on a quiet machine: ten minutes of 'for', shortened."""

QUIET_SCRAPES: Final = 180
"""Three minutes with a scrape a second."""

OUTSIDE: Final = "/.*|unknown|kernel|test-.*"
"""The label `unit` of processes outside of the booted system."""

ENGINE: Final = """#!/bin/sh
while :; do
    id=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')
    systemd-run --quiet --scope --collect --unit docker-$id.scope timeout 2 {spawner}
done
"""
"""Starts one container after another, each for two seconds, as Docker names their control groups under systemd."""

LEAKER: Final = """#!/usr/bin/python3
import time
files = []
while True:
    try:
        files.append(open("/dev/null"))
    except OSError:
        time.sleep(0.1)
"""

MAKEFILE: Final = """\
all: $(addsuffix .o,$(basename $(wildcard *.c)))
%.o: %.c
\t@cc -c $< -o $@; rm -f $@.tmp
"""


@dataclass(frozen=True, slots=True)
class Loop:
    """A unit in which a parent starts a program, and both comms."""

    unit: str
    comm: str
    parent: str


@dataclass(frozen=True, slots=True)
class Watch:
    """The booted system with its units, and the monitoring."""

    machine: Machine
    prometheus: Prometheus
    webhook: Webhook
    storm: Loop
    leak: Loop
    make: str

    def states(self, alert: str, unit: str) -> set[str]:
        """Return the states of an alert for a unit now."""
        alerts = self.prometheus.alerts()
        wanted = {"alertname": alert, "unit": unit}
        return {one["state"] for one in alerts if wanted.items() <= one["labels"].items()}

    def ever(self, state: str) -> set[tuple[str, str]]:
        """Return names and units of all alerts that ever were in a state, of units of the booted system."""
        expression = f'max_over_time(ALERTS{{alertstate="{state}", unit!~"{OUTSIDE}"}}[1h])'
        return {(one.labels["alertname"], one.labels.get("unit", "")) for one in self.prometheus.query(expression)}


def script(machine: Machine, name: str, text: str) -> Path:
    """Install a script, named as its comm; return its path inside."""
    file = machine.out / "bin" / f"{name}-{secrets.token_hex(3)}"
    file.write_text(text)
    file.chmod(0o755)
    return OUT / file.relative_to(machine.out)


def start(machine: Machine, *arguments: str | Path) -> str:
    """Start a command as a new unit, and return the unit's name."""
    unit = f"alerts-{fresh_letters()}.service"
    machine.run("systemd-run", "--quiet", "--collect", "--unit", unit, *arguments)
    return unit


def start_storm(machine: Machine) -> Loop:
    program = machine.install("lives")
    spawner = script(machine, "storms", STORM_SCRIPT.format(program=program))
    return Loop(start(machine, spawner), program.name, spawner.name)


def start_containers(machine: Machine) -> Loop:
    """Start a unit that starts one container after another, and a parent in each that starts a program."""
    program = machine.install("lives")
    spawner = script(machine, "storms", STORM_SCRIPT.format(program=program))
    return Loop(start(machine, script(machine, "engine", ENGINE.format(spawner=spawner))), program.name, spawner.name)


def start_leak(machine: Machine) -> Loop:
    leaker = script(machine, "leaks", LEAKER)
    starter = script(machine, "starts", f"#!/bin/sh\n{leaker}\n")
    return Loop(start(machine, "--property", "LimitNOFILE=32", starter), leaker.name, starter.name)


@contextmanager
def making(machine: Machine, folder: Path) -> Iterator[str]:
    """Run the host's make and compiler in a unit of the booted system; yield the unit's name."""
    need("make", "cc")
    folder.mkdir()
    (folder / "Makefile").write_text(MAKEFILE)
    for number in range(101):
        (folder / f"file{number}.c").write_text(f"int number = {number};\n")
    unit = start(machine, "sleep", "infinity")
    group = machine.root / f"sys/fs/cgroup{machine.show(unit, 'ControlGroup')}"
    work = subprocess.Popen(
        ["sh", "-ec", f"echo $$ > {group}/cgroup.procs; while :; do make --silent --always-make --jobs 2; done"],
        cwd=folder, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield unit
    finally:
        (group / "cgroup.kill").write_text("1")
        work.wait()


@pytest.fixture(scope="module")
def watch(machine: Machine, probed: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Start everything, and stop it after the last test."""
    folder = tmp_path_factory.mktemp("alerts")
    with (
        loopback(Path(f"/proc/{machine.pid}/ns/net")) as namespace,
        alerting(namespace, folder, f"127.0.0.1:{probed.port}") as (prometheus, webhook),
        making(machine, folder / "make") as make,
    ):
        watch = Watch(machine, prometheus, webhook, start_storm(machine), start_leak(machine), make)
        yield watch
        machine.call("systemctl", "stop", watch.storm.unit, watch.leak.unit)


def test_a_program_out_of_descriptors_reaches_the_pager_and_resolves(watch: Watch) -> None:
    leak = watch.leak
    labels = {"alertname": EXHAUSTED, "unit": leak.unit, "comm": leak.comm, "errno": "EMFILE"}
    until(lambda: watch.webhook.received("firing", **labels), "the pager knows it")
    message, alert = watch.webhook.received("firing", **labels)[0]
    assert message.receiver == "/pager"
    assert f"'{leak.comm}' in the unit {leak.unit}" in alert["annotations"]["description"]
    assert f"its parent is '{leak.parent}'" in alert["annotations"]["description"]
    watch.machine.run("systemctl", "stop", leak.unit)
    until(lambda: watch.webhook.received("resolved", **labels), "the pager knows that it is over", LONG)


def test_a_storm_is_pending_then_fires_reaches_the_pager_and_resolves(watch: Watch) -> None:
    storm = watch.storm
    until(lambda: (STORM, storm.unit) in watch.ever("pending"), "it is pending")
    until(lambda: watch.states(STORM, storm.unit) == {"firing"}, "it fires", LONG)
    labels = {"alertname": STORM, "unit": storm.unit}
    until(lambda: watch.webhook.received("firing", **labels), "the pager knows it")
    message, alert = watch.webhook.received("firing", **labels)[0]
    assert message.receiver == "/pager"
    assert f"Most are '{storm.comm}', started by '{storm.parent}'" in alert["annotations"]["description"]
    assert f"In the unit {storm.unit}" in alert["annotations"]["description"]
    watch.machine.run("systemctl", "stop", storm.unit)
    until(lambda: watch.webhook.received("resolved", **labels), "the pager knows that it is over", LONG)
    assert watch.states(STORM, storm.unit) == set()


def test_a_storm_in_one_container_after_another_fires_names_its_parent_and_resolves(watch: Watch) -> None:
    storm = start_containers(watch.machine)
    labels = {"alertname": STORM, "parent": storm.parent}
    until(lambda: watch.webhook.received("firing", **labels), "the pager knows it", LONG)
    message, alert = watch.webhook.received("firing", **labels)[0]
    assert message.receiver == "/pager"
    assert "unit" not in alert["labels"]
    assert f"Most are '{storm.comm}'" in alert["annotations"]["description"]
    assert f"started by '{storm.parent}'" in alert["annotations"]["description"]
    watch.machine.run("systemctl", "stop", storm.unit)
    until(lambda: watch.webhook.received("resolved", **labels), "the pager knows that it is over", LONG)


def test_a_storm_is_one_message(watch: Watch) -> None:
    received = watch.webhook.received("firing", unit=watch.storm.unit)
    assert {alert["labels"]["alertname"] for _, alert in received} == {STORM}
    assert [message.receiver for message, _ in received] == ["/pager"]


def test_an_alert_links_to_its_section_of_the_runbook(watch: Watch) -> None:
    until(lambda: watch.webhook.received("firing"), "something fires")
    _, alert = watch.webhook.received("firing")[0]
    page, _, section = alert["annotations"]["runbook_url"].partition("#")
    text = watch.prometheus.fetch(f"{watch.prometheus.url}/consoles/{page.rpartition('/')[2]}").decode()
    assert section in {line.removeprefix("## ").lower() for line in text.splitlines() if line.startswith("## ")}


def test_three_minutes_of_quiet_and_of_make_raise_nothing(watch: Watch) -> None:
    loudest = f'max_over_time(unit:probed_process_starts:rate1m{{unit="{watch.make}"}}[1h])'
    until(lambda: watch.prometheus.value(loudest) > 100, "make does as much as a storm", LONG)
    scrapes = 'count_over_time(up{job="probed"}[1h])'
    until(lambda: watch.prometheus.value(scrapes) >= QUIET_SCRAPES, "three minutes are over", 2 * QUIET_SCRAPES)
    assert watch.ever("firing") == {(STORM, watch.storm.unit), (STORM, ""), (EXHAUSTED, watch.leak.unit)}
