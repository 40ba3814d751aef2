# SPDX-License-Identifier: Apache-2.0
"""Over any restart of probed its programs stay attached and its rings keep the events."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from functools import partial

import pytest
import yaml

from support.running_daemon import SHIPPED, until
from support.system.machine import OUT, Machine, Service

EXECS = "probed_process_execs_total"
CALLS = "probed_syscalls_total"
RARE = "sched_rr_get_interval"
"""A system call that no other process makes, counted in a kernel map."""

PORT = 9810


@pytest.fixture
def gate(machine: Machine) -> str:
    """A FIFO that delays a start while a file beside the FIFO exists."""
    path = f"/run/gate-{secrets.token_hex(4)}"
    machine.run("mkfifo", "--mode=644", path)
    return path


@pytest.fixture
def configuration(machine: Machine) -> str:
    """The path of the service's site configuration with all shipped probes."""
    path = f"/etc/probed-{secrets.token_hex(4)}.yaml"
    configure(machine, path)
    return path


def configure(machine: Machine, path: str, **probes: object) -> None:
    wanted = {**SHIPPED, **probes}
    site = {"probe_directories": [str(OUT / "probed/probes")], "probes": {n: p for n, p in wanted.items() if p != "no"}}
    machine.write(path, yaml.safe_dump(site))


@pytest.fixture
def service(machine: Machine, gate: str, configuration: str) -> Iterator[Service]:
    closed = f"test ! -e {gate}.closed || read -r line < {gate}"
    settings = {"ExecStartPre": f"/bin/sh -c '{closed}'", "Environment": f"CONFIG={configuration}"}
    service = Service(machine, PORT, settings).wait_until_ready()
    yield service
    assert service.stop() == ("success", "0")


def close(machine: Machine, gate: str) -> None:
    machine.run("touch", f"{gate}.closed")


def open_again(machine: Machine, gate: str) -> None:
    machine.run("sh", "-ec", f"rm {gate}.closed; echo go > {gate}")


def kill_supervisor(service: Service) -> None:
    service.kill(service.supervisor, signal.SIGKILL)


def terminate_supervisor(service: Service) -> None:
    """Send the signal of a stop that systemd did not order."""
    service.kill(service.supervisor, signal.SIGTERM)


def restart(service: Service) -> None:
    service.machine.run("systemctl", "restart", "--no-block", service.unit)


def wait_for_start(service: Service) -> None:
    until(lambda: service.show("SubState") == "start-pre", "it is about to start")


@pytest.mark.parametrize("end", [restart, kill_supervisor])
def test_events_without_a_running_daemon_wait_in_the_ring(
    machine: Machine, service: Service, gate: str, end: object
) -> None:
    ours, spawner, program = service.bpf_ids(), machine.install("spawn"), machine.install("exits")
    before = service.scrape()
    close(machine, gate)
    assert callable(end)
    end(service)
    wait_for_start(service)
    assert machine.transient(spawner, "1009", program) == "0 1009\n"
    assert machine.transient(machine.install("calls"), RARE, "10007") == ""
    open_again(machine, gate)
    until(lambda: service.show("SubState") == "running", "it runs again")
    after = service.scrape()
    assert after.by("parent", EXECS, comm=program.name) == {spawner.name: 1009}
    assert after.value(CALLS, syscall=RARE) == before.value(CALLS, syscall=RARE) + 10_007
    assert after.emitted("process") == after.accounted("process") >= before.emitted("process") + 3 * 1009
    assert after.lost("process") == before.lost("process")
    assert service.bpf_ids() == ours


def has_another_supervisor(service: Service, dead: int) -> bool:
    return service.supervisor not in (0, dead)


def test_counters_go_on_over_a_restart(machine: Machine, service: Service) -> None:
    spawner, program = machine.install("spawn"), machine.install("exits")
    for times, end in enumerate((None, restart, kill_supervisor, terminate_supervisor), 1):
        if end is not None:
            pid = service.supervisor
            end(service)
            until(partial(has_another_supervisor, service, pid), "there is another supervisor")
            until(lambda: service.show("SubState") == "running", "it runs")
        assert machine.transient(spawner, "1009", program) == "0 1009\n"
        page = service.scrape()
        assert page.by("parent", EXECS, comm=program.name) == {spawner.name: times * 1009}
        assert page.total("probed_process_lifetime_seconds_count", comm=program.name) == times * 1009


def test_ten_restarts_under_load_lose_nothing(machine: Machine, service: Service, configuration: str) -> None:
    configure(machine, configuration, process={"ring": {"bytes": "16 MiB"}})
    service.restart()
    ours, before = service.bpf_ids(), service.scrape()
    calls, spawner, program = machine.install("calls"), machine.install("spawn"), machine.install("exits")
    done = f"/run/{secrets.token_hex(4)}"
    script = f"for i in $(seq 101); do {calls} {RARE} 1009; {spawner} 101 {program}; done; touch {done}"
    machine.run("systemd-run", "--quiet", "--collect", "sh", "-ec", script)
    for _ in range(10):
        service.restart()
    until((machine.root / done.lstrip("/")).exists, "the work is done")
    after = service.scrape()
    assert after.value(CALLS, syscall=RARE) == before.value(CALLS, syscall=RARE) + 101 * 1009
    assert after.by("parent", EXECS, comm=program.name) == {spawner.name: 101 * 101}
    assert after.total("probed_process_lifetime_seconds_count", comm=program.name) == 101 * 101
    assert after.emitted("process") == after.accounted("process") >= before.emitted("process") + 3 * 101 * 101
    assert {probe: after.lost(probe) for probe in SHIPPED} == {probe: before.lost(probe) for probe in SHIPPED}
    assert service.bpf_ids() == ours


def test_a_scrape_during_a_restart_waits_and_is_whole(machine: Machine, service: Service) -> None:
    done, up = f"/run/{secrets.token_hex(4)}", "'^probed_probe_up{probe=.process.} 1.0$'"
    url = f"http://127.0.0.1:{PORT}/metrics"
    script = f"while test ! -e {done}; do curl -sSf --max-time 20 {url} > {done}.page; grep -q {up} {done}.page; done"
    scraper = f"scraper-{secrets.token_hex(4)}"
    machine.run("systemd-run", "--quiet", f"--unit={scraper}", "--property=RemainAfterExit=yes", "sh", "-ec", script)
    for _ in range(3):
        service.restart()
    machine.run("touch", done)
    until(lambda: machine.show(scraper, "SubState") != "running", "the scraper has ended")
    log = machine.ask("journalctl", "--unit", scraper, "--output=cat")
    assert (machine.show(scraper, "SubState"), machine.show(scraper, "Result")) == ("exited", "success"), log


def test_only_changed_probes_are_loaded_anew(machine: Machine, service: Service, configuration: str) -> None:
    before = service.bpf_ids()
    configure(machine, configuration, open_failures={"ring": {"bytes": "8 MiB"}}, syscalls="no")
    service.restart()
    page, after = service.scrape(), service.bpf_ids()
    assert page.value("probed_ring_bytes", probe="open_failures") == 8 << 20
    assert {probe for probe in SHIPPED if page.value("probed_probe_up", probe=probe)} == set(SHIPPED) - {"syscalls"}
    assert page.total(CALLS) == 0
    assert after & before
    assert after - before
    assert before - after
    configure(machine, configuration)
    service.restart()
    assert after & before <= service.bpf_ids()


def test_a_configuration_with_a_mistake_does_not_detach_anything_at_a_reload(
    machine: Machine, service: Service, configuration: str
) -> None:
    before = service.bpf_ids()
    machine.write(configuration, "probes: [")
    machine.run("systemctl", "reload", service.unit)
    refused = "probed_config_last_reload_successful"
    until(lambda: service.scrape().value(refused) == 0, "the reload is refused")
    until(lambda: service.show("StatusText").startswith("4 probes up"), "it says how it is")
    configure(machine, configuration)
    machine.run("systemctl", "reload", service.unit)
    until(lambda: service.scrape().value(refused) == 1, "the reload is done")
    assert service.bpf_ids() == before


def test_a_restart_in_the_middle_of_a_restart_ends_well(machine: Machine, service: Service) -> None:
    ours = service.bpf_ids()
    for _ in range(5):
        pid = service.supervisor
        restart(service)
        until(partial(has_another_supervisor, service, pid), "another one starts")
        kill_supervisor(service)
        until(lambda: service.show("SubState") == "running", "it runs again")
    assert service.bpf_ids() == ours
