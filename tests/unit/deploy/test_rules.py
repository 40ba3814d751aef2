# SPDX-License-Identifier: Apache-2.0
"""The shipped rules in virtual time: alerts fire, resolve, and stay quiet for normal work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from probed.log import MessageId
from support.monitoring.promtool import Machine, Phase, absent, fired, lasting, never, restarted, verify

SHORT = "ShortLivedProcessStorm"


def up(minutes: float = 180) -> Machine:
    """Return a machine with a healthy daemon."""
    values = f"1x{round(minutes * 4)}"
    machine = Machine().gauge("up", values)
    for probe in ("cgroups", "process", "open_failures", "syscalls"):
        machine.gauge("probed_probe_up", values, probe=probe)
    return machine.gauge("probed_config_last_reload_successful", values)


def idle(machine: Machine, hours: int = 3) -> Machine:
    """An ordinary idle machine: 11 processes a second, 18 at times, of cron, sessions and health checks."""
    spikes = [lasting(8, 11), lasting(2, 18)] * (6 * hours)
    machine.forks("cron.service", *spikes)
    machine.processes("cron.service", "sh", "cron", *[lasting(8, 5), lasting(2, 9)] * (6 * hours))
    return machine.processes("cron.service", "run-parts", "sh", *[lasting(8, 6), lasting(2, 9)] * (6 * hours))


def compiled(machine: Machine, unit: str, *rates: tuple[float, float]) -> Machine:
    """`make` with shells, compilers and small tools: so many minutes of so many files a second.

    Shares as counted of a real one: sh 1 (of make), gcc 1 and rm 1 (of sh), cc1 1 and as 1 (of gcc).
    """
    phases = [lasting(*rate) for rate in rates]
    pairs = [("sh", "make"), ("gcc", "sh"), ("rm", "sh"), ("cc1", "gcc"), ("as", "gcc")]
    for comm, parent in pairs:
        machine.processes(unit, comm, parent, *phases, short=0.97)
    return machine.forks(unit, *(lasting(minutes, len(pairs) * files) for minutes, files in rates))


# Alerts that fire and resolve.


def test_a_storm_is_pending_fires_and_resolves(tmp_path: Path) -> None:
    storm = (lasting(10, 0), lasting(30, 300), lasting(20, 0))
    machine = idle(up()).storm("billing.service", "date", "billing.sh", *storm)
    short, slow = ({"alertname": name, "unit": "billing.service"} for name in (SHORT, "ProcessStorm"))
    checks = [
        fired(10), fired(15, short, slow, state="pending"), fired(20), fired(21.5, short), fired(32, short, slow),
        fired(39.5, short, slow), fired(45), fired(60),
    ]  # fmt: skip
    verify(tmp_path, [machine], checks)


def test_a_storm_names_unit_comm_and_parent(tmp_path: Path) -> None:
    unit = r"a\x2db.service"
    machine = (
        up().storm(unit, "date", "billing.sh", lasting(40, 300)).storm(unit, "true", "billing.sh", lasting(40, 20))
    )
    machine.forks(unit, lasting(40, 320))
    expected = {
        "exp_labels": {"severity": "critical", "instance": "web1:9788", "job": "probed", "unit": unit},
        "exp_annotations": {
            "summary": rf"{unit} on web1:9788 spawns 320 short-lived processes a second",
            "description": (
                "Most are 'date', started by 'billing.sh': 300 a second. "
                rf"In the unit {unit}, 320 processes a second end within a second of their start. "
                rf"On the host: journalctl MESSAGE_ID={MessageId.EVIDENCE} 'UNIT={unit}'"
            ),
            "runbook_url": "/consoles/probed-runbook.md#shortlivedprocessstorm",
        },
    }
    verify(tmp_path, [machine], alerts=[{"eval_time": "15m", "alertname": SHORT, "exp_alerts": [expected]}])


def test_a_storm_in_a_pod_names_namespace_pod_container_and_parent(tmp_path: Path) -> None:
    pod = {"namespace": "shop", "pod": "billing-0", "container": "app"}
    other = pod | {"container": "sidecar"}
    machine = up().storm("cri", "date", "billing.sh", lasting(40, 300), beside=pod)
    machine.storm("cri", "true", "other.sh", lasting(40, 20), beside=other)
    expected = {
        "exp_labels": {"severity": "critical", "instance": "web1:9788", "job": "probed", "unit": "cri"} | pod,
        "exp_annotations": {
            "summary": "pod shop/billing-0/app on web1:9788 spawns 300 short-lived processes a second",
            "description": (
                "Most are 'date', started by 'billing.sh': 300 a second. "
                "In the pod shop/billing-0/app, 300 processes a second end within a second of their start."
            ),
            "runbook_url": "/consoles/probed-runbook.md#shortlivedprocessstorm",
        },
    }
    verify(tmp_path, [machine], alerts=[{"eval_time": "15m", "alertname": SHORT, "exp_alerts": [expected]}])


def test_a_storm_in_a_pod_whose_container_has_no_name_yet_names_the_pod(tmp_path: Path) -> None:
    machine = up().storm(
        "cri", "date", "billing.sh", lasting(40, 300), beside={"namespace": "shop", "pod": "billing-0"}
    )
    expected = {
        "exp_labels": {
            "severity": "warning", "instance": "web1:9788", "job": "probed", "unit": "cri", "namespace": "shop",
            "pod": "billing-0",
        },
        "exp_annotations": {
            "summary": "pod shop/billing-0 on web1:9788 starts 300 processes a second",
            "description": (
                "Most are 'date', started by 'billing.sh': 300 a second. "
                "The pod shop/billing-0 usually starts far fewer."
            ),
            "runbook_url": "/consoles/probed-runbook.md#processstorm",
        },
    }  # fmt: skip
    verify(tmp_path, [machine], alerts=[{"eval_time": "30m", "alertname": "ProcessStorm", "exp_alerts": [expected]}])


@pytest.mark.slow
def test_a_storm_in_one_pod_after_another_names_namespace_and_parent(tmp_path: Path) -> None:
    machine = up(50).containers("date", "run.sh", minutes=20, per_second=307, total=50, namespace="ci")
    expected = {
        "exp_labels": {
            "severity": "critical", "instance": "web1:9788", "job": "probed", "parent": "run.sh", "namespace": "ci"
        },
        "exp_annotations": {
            "summary": (
                "'run.sh' in ever new units of the namespace ci on web1:9788 spawns 307 short-lived processes a second"
            ),
            "description": (
                "Most are 'date'. In containers or units that live for less than five minutes each, 307 processes a "
                "second, started by 'run.sh', end within a second of their start. On the host: journalctl "
                f"MESSAGE_ID={MessageId.EVIDENCE} 'PARENT=run.sh'"
            ),
            "runbook_url": "/consoles/probed-runbook.md#shortlivedprocessstorm",
        },
    }  # fmt: skip
    verify(tmp_path, [machine], alerts=[{"eval_time": "15m", "alertname": SHORT, "exp_alerts": [expected]}])


def test_storms_in_two_pods_are_two_alerts(tmp_path: Path) -> None:
    machine = up()
    for pod in ("a-0", "a-1"):
        names = {"namespace": "shop", "pod": pod, "container": "app"}
        machine.storm("cri", "date", "billing.sh", lasting(40, 300), beside=names)
    storms = [{"alertname": SHORT, "pod": pod, "unit": "cri"} for pod in ("a-0", "a-1")]
    verify(tmp_path, [machine], [fired(15, *storms)])


@pytest.mark.parametrize(
    ("alert", "metric", "errno", "per_second"),
    [
        ("ForkFailures", "probed_process_fork_failures_total", "EAGAIN", 0.1),
        ("ExecFailures", "probed_process_exec_failures_total", "ENOENT", 1),
        ("FileDescriptorsExhausted", "probed_open_failures_total", "EMFILE", 3),
        ("OpenFailureStorm", "probed_open_failures_total", "ENOENT", 5000),
    ],
)
def test_other_alerts_name_the_pod_too(tmp_path: Path, alert: str, metric: str, errno: str, per_second: float) -> None:
    labels = {"unit": "cri", "namespace": "shop", "pod": "web-0", "container": "app", "comm": "worker"}
    machine = up().has(metric, lasting(60, per_second), errno=errno, **labels)
    verify(tmp_path, [machine], [fired(40, {"alertname": alert} | labels)])


@pytest.mark.slow
def test_a_storm_in_one_container_after_another_fires_names_the_parent_and_resolves(tmp_path: Path) -> None:
    machine = up(50).containers("date", "entrypoint.sh", minutes=20, per_second=307, total=50)
    expected = {
        "exp_labels": {"severity": "critical", "instance": "web1:9788", "job": "probed", "parent": "entrypoint.sh"},
        "exp_annotations": {
            "summary": "'entrypoint.sh' in ever new units on web1:9788 spawns 307 short-lived processes a second",
            "description": (
                "Most are 'date'. In containers or units that live for less than five minutes each, 307 processes a "
                "second, started by 'entrypoint.sh', end within a second of their start. On the host: journalctl "
                f"MESSAGE_ID={MessageId.EVIDENCE} 'PARENT=entrypoint.sh'"
            ),
            "runbook_url": "/consoles/probed-runbook.md#shortlivedprocessstorm",
        },
    }
    alerts = [{"eval_time": "15m", "alertname": SHORT, "exp_alerts": [expected]}]
    storm = {"alertname": SHORT, "parent": "entrypoint.sh"}
    verify(tmp_path, [machine], [fired(9), fired(15, storm), fired(20, storm), fired(25)], alerts)


def test_a_storm_of_forks_without_exec_fires(tmp_path: Path) -> None:
    machine = up().forks("php-fpm.service", lasting(40, 300))
    verify(tmp_path, [machine], [fired(15), fired(30, {"alertname": "ProcessStorm", "unit": "php-fpm.service"})])


def test_a_storm_of_names_that_come_once_fires_for_its_unit(tmp_path: Path) -> None:
    machine = up().forks("evil.service", lasting(40, 400))
    machine.processes("other", "other", "other", lasting(40, 400), end="other")
    storms = ({"alertname": "ProcessStorm", "unit": unit} for unit in ("evil.service", "other"))
    verify(tmp_path, [machine], [fired(30, *storms)])


def test_a_storm_of_long_lived_processes_is_no_short_lived_one(tmp_path: Path) -> None:
    machine = up().forks("x.service", lasting(40, 300))
    machine.processes("x.service", "worker", "x", lasting(40, 300), short=0.5)
    verify(tmp_path, [machine], [fired(30, {"alertname": "ProcessStorm", "unit": "x.service"})])


def test_forks_that_keep_failing_fire_name_the_parent_and_resolve(tmp_path: Path) -> None:
    names = {"unit": "app.service", "comm": "worker"}
    failures = (lasting(5, 0), lasting(30, 0.1), lasting(25, 0))
    machine = up().has("probed_process_fork_failures_total", *failures, errno="EAGAIN", **names)
    machine.processes("app.service", "worker", "app.sh", lasting(60, 0.01))
    expected = {
        "exp_labels": {"severity": "warning", "instance": "web1:9788", "job": "probed"} | names,
        "exp_annotations": {
            "summary": "worker of app.service on web1:9788 cannot create processes",
            "description": (
                "'worker' in the unit app.service failed 30 times in five minutes to create a process or a thread: "
                "EAGAIN. Its parent is 'app.sh'."
            ),
            "runbook_url": "/consoles/probed-runbook.md#forkfailures",
        },
    }
    alerts = [{"eval_time": "20m", "alertname": "ForkFailures", "exp_alerts": [expected]}]
    alert = {"alertname": "ForkFailures", **names}
    verify(tmp_path, [machine], [fired(14), fired(20, alert), fired(45)], alerts)


@pytest.mark.parametrize(("end", "rate"), [("core", 0.05), ("signal", 0.2)])
def test_a_crash_loop_fires_and_resolves(tmp_path: Path, end: str, rate: float) -> None:
    machine = up().processes(
        "db.service", "postgres", "systemd", lasting(5, 0), lasting(30, rate), lasting(25, 0), end=end
    )
    alert = {"alertname": "CrashLoop", "unit": "db.service", "comm": "postgres"}
    verify(tmp_path, [machine], [fired(9), fired(25, alert), fired(50)])


def test_a_program_that_is_not_found_over_and_over_fires_and_resolves(tmp_path: Path) -> None:
    labels = {"unit": "app.service", "comm": "worker", "errno": "ENOENT"}
    machine = up().has("probed_process_exec_failures_total", lasting(5, 0), lasting(30, 1), lasting(25, 0), **labels)
    alert = {"alertname": "ExecFailures", "unit": "app.service", "comm": "worker"}
    verify(tmp_path, [machine], [fired(15), fired(30, alert), fired(50)])


@pytest.mark.parametrize("errno", ["EMFILE", "ENFILE"])
def test_a_single_failure_for_want_of_descriptors_fires_and_resolves(tmp_path: Path, errno: str) -> None:
    labels = {"unit": "nginx.service", "comm": "nginx", "errno": errno}
    machine = up().gauge("probed_open_failures_total", "_x39 0 1x200", **labels)
    alert = {"alertname": "FileDescriptorsExhausted", "unit": "nginx.service", "comm": "nginx"}
    verify(tmp_path, [machine], [fired(9.5), fired(11, alert), fired(17)])


def test_more_failures_for_want_of_descriptors_fire_again(tmp_path: Path) -> None:
    labels = {"unit": "nginx.service", "comm": "nginx", "errno": "EMFILE"}
    machine = up().gauge("probed_open_failures_total", "3x80 4x200", **labels)
    alert = {"alertname": "FileDescriptorsExhausted", "unit": "nginx.service", "comm": "nginx"}
    verify(tmp_path, [machine], [fired(15), fired(21, alert), fired(30)])


def test_an_accept_without_descriptors_fires(tmp_path: Path) -> None:
    labels = {"syscall": "accept4", "errno": "EMFILE"}
    machine = up().has(
        "probed_syscall_failures_total", absent(9.75), lasting(0.25, 0), lasting(5, 3), lasting(20, 0), **labels
    )
    alert = {"alertname": "FileDescriptorsExhausted", "syscall": "accept4"}
    verify(tmp_path, [machine], [fired(9), fired(12, alert), fired(30)])


def test_one_kill_for_lack_of_memory_fires_and_resolves(tmp_path: Path) -> None:
    labels = {"unit": "app.service", "comm": "app", "cause": "backup.service"}
    machine = up().gauge("probed_oom_kills_total", "_x39 0 1x200", **labels)
    alert = {"alertname": "OomKills", "unit": "app.service", "comm": "app", "cause": "backup.service"}
    verify(tmp_path, [machine], [fired(9.5), fired(11, alert), fired(17)])


def test_a_unit_that_uses_up_its_cpu_quota_fires_and_resolves(tmp_path: Path) -> None:
    periods = (lasting(60, 10),)
    throttled = (lasting(5, 0), lasting(30, 3), lasting(25, 2))
    machine = up().has("probed_cpu_throttling_periods_total", *periods, unit="app.service")
    machine = machine.has("probed_cpu_throttling_throttled_periods_total", *throttled, unit="app.service")
    alert = {"alertname": "CpuThrottling", "unit": "app.service"}
    verify(tmp_path, [machine], [fired(20), fired(30, alert), fired(45)])


def test_a_program_that_fails_to_open_over_and_over_fires_and_resolves(tmp_path: Path) -> None:
    labels = {"unit": "app.service", "comm": "app", "errno": "ENOENT"}
    machine = up().has("probed_open_failures_total", lasting(5, 0), lasting(40, 5000), lasting(20, 0), **labels)
    alert = {"alertname": "OpenFailureStorm", "unit": "app.service", "comm": "app"}
    verify(tmp_path, [machine], [fired(15), fired(30, alert), fired(60)])


@pytest.mark.slow
def test_a_system_call_run_away_fires_and_resolves(tmp_path: Path) -> None:
    day = 24 * 60
    rates = (lasting(day + 60, 50_000), lasting(40, 3e6), lasting(30, 50_000))
    machine = Machine().gauge("up", f"1x{4 * (day + 130)}").has("probed_syscalls_total", *rates, syscall="futex")
    alert = {"alertname": "SyscallStorm", "syscall": "futex"}
    verify(tmp_path, [machine], [fired(day + 70), fired(day + 90, alert), fired(day + 120)])


@pytest.mark.slow
def test_a_storm_fires_on_the_day_after_one(tmp_path: Path) -> None:
    first, second = 60, 60
    phases = (lasting(first, 300), lasting(14 * 60, 0), lasting(second, 300))
    machine = up(20 * 60).storm("billing.service", "date", "billing.sh", *phases)
    verify(tmp_path, [machine], [fired(first + 14 * 60 + 13, {"alertname": SHORT, "unit": "billing.service"})])


# Quiet histories.


@pytest.mark.slow
def test_an_idle_machine_is_quiet(tmp_path: Path) -> None:
    verify(tmp_path, [idle(up(12 * 60), 12)], [never(12 * 60)])


def test_a_boot_is_quiet(tmp_path: Path) -> None:
    machine = Machine().gauge("up", "_x8 1x200")
    for unit in ("systemd-udevd.service", "init.scope", "cloud-init.service"):
        machine.forks(unit, absent(2), lasting(3, 400), lasting(50, 1))
        machine.processes(unit, "udev-worker", "systemd-udevd", absent(2), lasting(3, 400), lasting(50, 1))
    labels = {"unit": "init.scope", "comm": "systemd", "errno": "ENOENT"}
    machine.has("probed_open_failures_total", absent(2), lasting(3, 9000), lasting(50, 1), **labels)
    verify(tmp_path, [machine], [never(50)])


def test_a_compile_of_two_hours_is_quiet(tmp_path: Path) -> None:
    machine = compiled(idle(up()), "ci.service", (10, 0), (120, 400), (30, 0))
    labels = {"unit": "ci.service", "comm": "cc1", "errno": "ENOENT"}
    machine.has("probed_open_failures_total", lasting(10, 0), lasting(120, 400 * 40), lasting(30, 0), **labels)
    failing = {"unit": "ci.service", "comm": "make", "errno": "ENOENT"}
    machine.has("probed_process_exec_failures_total", lasting(10, 0), lasting(120, 400 * 4), lasting(30, 0), **failing)
    verify(tmp_path, [machine], [never(160)])


def test_one_burst_of_failed_forks_is_quiet(tmp_path: Path) -> None:
    failures = (lasting(5, 0), lasting(2, 50), lasting(25, 0))
    labels = {"unit": "app.service", "comm": "worker", "errno": "EAGAIN"}
    machine = up().has("probed_process_fork_failures_total", *failures, **labels)
    verify(tmp_path, [machine], [never(32)])


@pytest.mark.slow
def test_health_checks_of_many_old_containers_are_quiet(tmp_path: Path) -> None:
    machine = up()
    for number in range(53):
        machine.storm(f"docker:{number:012x}", "curl", "sh", lasting(60, 3))
    verify(tmp_path, [machine], [never(60)])


@pytest.mark.slow
def test_jobs_in_new_containers_that_compile_are_quiet(tmp_path: Path) -> None:
    machine = up(40)
    for comm, parent in [("sh", "make"), ("gcc", "sh"), ("rm", "sh"), ("cc1", "gcc"), ("as", "gcc")]:
        machine.containers(comm, parent, minutes=20, per_second=101, alive=15, total=40)
    verify(tmp_path, [machine], [never(40)])


def test_a_configure_of_nine_minutes_is_quiet(tmp_path: Path) -> None:
    machine = idle(up()).storm("ci.service", "sed", "configure", lasting(10, 0), lasting(9, 500), lasting(30, 0))
    verify(tmp_path, [machine], [never(48)])


def test_a_package_upgrade_is_quiet(tmp_path: Path) -> None:
    machine = idle(up())
    for comm, parent in (
        ("dpkg", "apt-get"),
        ("dpkg-deb", "dpkg"),
        ("tar", "dpkg-deb"),
        ("rm", "dpkg"),
        ("sh", "dpkg"),
    ):
        machine.processes("apt-daily-upgrade.service", comm, parent, lasting(10, 0), lasting(20, 15), lasting(30, 0))
    machine.forks("apt-daily-upgrade.service", lasting(10, 0), lasting(20, 75), lasting(30, 0))
    verify(tmp_path, [machine], [never(60)])


def test_cron_at_the_full_hour_is_quiet(tmp_path: Path) -> None:
    hour = (lasting(2, 600), lasting(58, 1))
    machine = up().storm("cron.service", "run-parts", "cron", *hour, *hour, *hour)
    verify(tmp_path, [machine], [never(180)])


def test_log_rotation_is_quiet(tmp_path: Path) -> None:
    night = (lasting(30, 0), lasting(4, 200), lasting(60, 0))
    machine = idle(up()).storm("logrotate.service", "gzip", "logrotate", *night)
    ends = (lasting(30, 0), lasting(0.25, 500), lasting(60, 0))
    machine.processes("php-fpm.service", "php-fpm", "php-fpm", *ends, end="signal")
    verify(tmp_path, [machine], [never(90)])


@pytest.mark.slow
def test_a_backup_that_is_a_units_usual_work_is_quiet(tmp_path: Path) -> None:
    usual = (lasting(6 * 60, 250), lasting(13 * 60, 0), lasting(60, 300))
    machine = up(21 * 60).storm("backup.service", "gzip", "find", *usual)
    begin = 19 * 60
    checks = [fired(begin), *(fired(begin + minutes) for minutes in (12, 30, 55))]
    verify(tmp_path, [machine], checks)


@pytest.mark.parametrize("again", [restarted, lasting], ids=["from 0", "going on"])
@pytest.mark.parametrize("down", [0.5, 4])
def test_a_restart_of_the_daemon_is_quiet(tmp_path: Path, again: Callable[[float, float], Phase], down: float) -> None:
    phases = (lasting(30, 12), absent(down), again(60, 12))
    up_values = f"1x119 0x{round(down * 4) - 1} 1x300"
    machine = Machine().gauge("up", up_values).storm("app.service", "date", "app", *phases)
    emfile = {"unit": "app.service", "comm": "app", "errno": "EMFILE"}
    count = "0x" if again is restarted else "7x"
    machine.gauge("probed_open_failures_total", f"7x119 _x{round(down * 4)} {count}240", **emfile)
    verify(tmp_path, [machine], [fired(15), fired(30), fired(32), fired(36), fired(40), never(80)])


def test_a_daemon_scraped_for_the_first_time_is_quiet(tmp_path: Path) -> None:
    machine = Machine().gauge("up", "_x40 1x200")
    emfile = {"unit": "app.service", "comm": "app", "errno": "EMFILE"}
    machine.gauge("probed_open_failures_total", "_x40 900000x200", **emfile)
    machine.gauge("probed_process_forks_total", "_x40 900000000+15x200", unit="app.service")
    verify(tmp_path, [Machine("old:9788").gauge("up", "1x240"), machine], [never(60)])


def test_a_search_along_path_is_quiet(tmp_path: Path) -> None:
    machine = up().processes("app.service", "ls", "env", lasting(60, 5))
    failing = {"unit": "app.service", "comm": "env", "errno": "ENOENT"}
    machine.has("probed_process_exec_failures_total", lasting(60, 35), **failing)
    verify(tmp_path, [machine], [never(60)])


def test_a_stop_of_a_thousand_workers_is_no_crash_loop(tmp_path: Path) -> None:
    phases = (lasting(10, 0), lasting(0.5, 33), lasting(30, 0))
    verify(tmp_path, [up().processes("app.service", "worker", "app", *phases, end="signal")], [never(40)])


# Alerts about probed.


def test_a_daemon_that_cannot_be_scraped_fires_and_resolves(tmp_path: Path) -> None:
    machine = Machine().gauge("up", "1x40 0x40 1x40")
    verify(tmp_path, [machine], [fired(12), fired(18, {"alertname": "ProbedDown", "instance": "web1:9788"}), fired(25)])


def test_a_list_without_targets_fires(tmp_path: Path) -> None:
    machine = Machine().gauge("other_job", "1x80")
    verify(tmp_path, [machine], [fired(10, {"alertname": "ProbedDown", "job": "probed"})])


def test_a_probe_that_is_not_up_fires_and_resolves(tmp_path: Path) -> None:
    machine = Machine().gauge("up", "1x240").gauge("probed_probe_up", "1x40 0x100 1x100", probe="syscalls")
    verify(tmp_path, [machine], [fired(20), fired(30, {"alertname": "ProbeDown", "probe": "syscalls"}), fired(40)])


def test_lost_events_fire_and_resolve(tmp_path: Path) -> None:
    machine = up().has("probed_events_emitted_total", lasting(90, 1000), probe="process")
    lost = {"probe": "process", "reason": "ring_full"}
    machine.has("probed_events_lost_total", lasting(10, 0), lasting(30, 10), lasting(50, 0), **lost)
    verify(
        tmp_path, [machine], [fired(20), fired(35, {"alertname": "ProbedEventsLost", "probe": "process"}), fired(60)]
    )


def test_runs_that_the_kernel_skips_fire_and_resolve(tmp_path: Path) -> None:
    labels = {"probe": "syscalls", "program": "on_sys_exit"}
    machine = up().has("probed_probe_missed_runs_total", lasting(10, 0), lasting(40, 7), lasting(50, 0), **labels)
    verify(tmp_path, [machine], [fired(20), fired(40, {"alertname": "ProbedMissedRuns", **labels}), fired(65)])


def test_a_few_runs_that_the_kernel_skips_are_quiet(tmp_path: Path) -> None:
    labels = {"probe": "syscalls", "program": "on_sys_exit"}
    machine = up().has("probed_probe_missed_runs_total", lasting(10, 0), lasting(0.5, 11), lasting(50, 0.1), **labels)
    verify(tmp_path, [machine], [never(60)])


def test_events_that_are_not_accounted_for_fire_and_resolve(tmp_path: Path) -> None:
    machine = up().gauge("probed_events_unaccounted", "0x40 3x40 0x40", probe="process")
    alert = {"alertname": "ProbedEventsUnaccounted", "probe": "process"}
    verify(tmp_path, [machine], [fired(12), fired(18, alert), fired(22)])


def test_lost_notes_fire_and_resolve(tmp_path: Path) -> None:
    machine = up().has("probed_notes_lost_total", lasting(10, 0), lasting(30, 1), lasting(40, 0), probe="process")
    alert = {"alertname": "ProbedNotesLost", "probe": "process"}
    verify(tmp_path, [machine], [fired(12), fired(30, alert), fired(60)])


def test_a_ring_that_is_nearly_full_fires_and_resolves(tmp_path: Path) -> None:
    machine = up().gauge("probed_ring_bytes", "4096x240", probe="process")
    machine.gauge("probed_ring_fill_max_bytes", "640x40 3499x120 640x80", probe="process")
    alert = {"alertname": "ProbedRingNearlyFull", "probe": "process"}
    verify(tmp_path, [machine], [fired(20), fired(32, alert), fired(45)])


def test_a_budget_that_stays_used_up_fires_and_resolves(tmp_path: Path) -> None:
    metric = {"metric": "probed_process_execs_total"}
    machine = up().has("probed_series_overflowed_total", lasting(10, 0), lasting(90, 20), lasting(60, 0), **metric)
    alert = {"alertname": "ProbedSeriesOverflow", **metric}
    verify(tmp_path, [machine], [fired(60), fired(95, alert), fired(120)])


def test_a_configuration_that_cannot_be_read_fires_and_resolves(tmp_path: Path) -> None:
    machine = Machine().gauge("up", "1x120").gauge("probed_config_last_reload_successful", "1x20 0x40 1x60")
    verify(tmp_path, [machine], [fired(8), fired(12, {"alertname": "ProbedReloadFailed"}), fired(20)])
