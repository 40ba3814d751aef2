# SPDX-License-Identifier: Apache-2.0
"""``make pictures``: draw the dashboards for their README from the answers to their queries.

A real Prometheus watches a real daemon for some 100 seconds, while a calm machine gets into trouble: workloads of the
tests run under everyday names in control groups named as units. Takes root.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from support.cgroup2 import Cgroups, run_in
from support.monitoring.drawing import Answers, picture
from support.monitoring.grafana_boards import Board, Period, answer, boards, choices, everything, panels, several
from support.monitoring.prometheus_server import Prometheus, prometheus
from support.running_daemon import Daemon, site
from support.workload_programs import compile_workloads

SECONDS: Final = 100
CALM: Final = 60
"""Seconds before the trouble begins."""

RULES: Final = {
    "ProcessStorm": "sum by (instance, unit) (rate(probed_process_forks_total[8s])) > 100",
    "CrashLoop": 'sum by (instance, unit, comm) (rate(probed_process_lifetime_seconds_count{exit="core"}[8s])) > 1',
    "FileDescriptorsExhausted": (
        'sum by (instance, unit, comm) (rate(probed_open_failures_total{errno="EMFILE"}[8s])) > 0'
    ),
    "SyscallStorm": "sum by (instance) (rate(probed_syscalls_total[8s])) > 2e5",
}
"""Replacements for the alerts of deploy/prometheus, which wait longer than the pictures."""

Command = tuple[str, Sequence[str | Path]]
"""A unit and its command."""


def calm(bin: Path) -> list[Command]:
    """Return the commands of an everyday machine in half a second."""
    return [
        ("cron.service", (bin / "run-parts", "2", bin / "date")),
        ("nginx.service", (bin / "nginx", "openat", "ENOENT", "23")),
        ("postgresql.service", (bin / "postgres", "3", bin / "lives", "211")),
        ("php-fpm.service", (bin / "php-fpm", "openat", "ENOENT", "211")),
        ("monitoring.service", (bin / "check_disk", "3", bin / "sensors", "43")),
    ]


def trouble(bin: Path) -> list[Command]:
    """Return the commands of the trouble."""
    return [
        ("media.service", (bin / "thumbnailer", "31", bin / "convert")),
        ("media.service", (bin / "thumbnailer", "13", bin / "identify", "7")),
        ("media.service", (bin / "thumbnailer", "2", bin / "ffprobe", "core", "11")),
        ("media.service", (bin / "thumbnailer", "3", bin / "absent")),
        ("api.service", (bin / "api-worker", "openat", "EMFILE", "307")),
    ]


UNITS: Final = [
    "api.service", "cron.service", "media.service", "monitoring.service", "nginx.service", "php-fpm.service",
    "postgresql.service",
]  # fmt: skip
"""The units in the pictures; other units of the machine are left out."""

NAMES: Final = {
    "spawn": ("run-parts", "postgres", "check_disk", "thumbnailer"),
    "exits": ("date", "convert"),
    "lives": ("sensors", "identify"),
    "exit_kinds": ("ffprobe",),
    "fail_opens": ("nginx", "php-fpm", "api-worker"),
}
"""Everyday names of workloads."""


def repeat(
    commands: list[Command], groups: Mapping[str, Path], folder: Path, pause: float, end: threading.Event
) -> None:
    """Run the commands repeatedly until `end`."""
    while not end.wait(pause):
        for unit, command in commands:
            run_in(groups[unit], *command, cwd=folder)


def watch(folder: Path, server: Prometheus) -> Period:
    """Run the calm, then the trouble; return the period."""
    end = threading.Event()
    started = time.time()
    calm_commands, trouble_commands = calm(folder / "bin"), trouble(folder / "bin")
    with Cgroups() as cgroups:
        groups = {unit: cgroups.make(f"system.slice/{unit}") for unit, _ in (*calm_commands, *trouble_commands)}
        threads = [
            threading.Thread(target=repeat, args=(commands, groups, folder, pause, end))
            for commands, pause in ((calm_commands, 0.5), (trouble_commands, 0.05))
        ]
        threads[0].start()
        time.sleep(CALM)
        threads[1].start()
        time.sleep(SECONDS - CALM)
        now = server.query("time()")[0].value
        end.set()
        for thread in threads:
            thread.join()
    return Period(started + 8, now)


def ask(board: Board, period: Period, server: Prometheus) -> tuple[dict[int, Answers], list[tuple[str, float, float]]]:
    """Return the answers to each panel's queries by its id, and the marks of the annotations."""
    values = everything(board, choices(board, server)) | {"unit": several(UNITS)}
    answers: dict[int, Answers] = {
        panel["id"]: [answer(target, values, period, server) for target in panel["targets"]] for panel in panels(board)
    }
    marks: list[tuple[str, float, float]] = [
        (annotation["iconColor"], min(series.values), max(series.values))
        for annotation in board["annotations"]["list"]
        for series in answer({**annotation, "instant": False}, values, period, server)
    ]
    return answers, marks


def prepare(folder: Path) -> dict[str, Any]:
    """Make the programs and the rules, and return Prometheus's configuration but for its target."""
    (folder / "bin").mkdir()
    compile_workloads(folder / "bin", *NAMES)
    for workload, names in NAMES.items():
        for name in names:
            (folder / "bin" / name).hardlink_to(folder / "bin" / workload)
    rules = [{"alert": name, "expr": condition} for name, condition in RULES.items()]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "storms", "rules": rules}]}))
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["../rules.yml"],
    }


def main(pictures: Path) -> None:
    """Draw all dashboards into a folder."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        configuration = prepare(folder)
        with Daemon(folder, site()) as daemon:
            daemon.wait_until_ready()
            targets = [{"targets": [f"127.0.0.1:{daemon.port}"]}]
            configuration["scrape_configs"] = [{"job_name": "probed", "static_configs": targets}]
            with prometheus(folder / "prometheus", configuration) as server:
                period = watch(folder, server)
                for board in boards():
                    answers, marks = ask(board, period, server)
                    picture(board, answers, marks, pictures / f"{board['uid']}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
