# SPDX-License-Identifier: Apache-2.0
"""Runs `promtool test rules` with the shipped rule files over the counters of a machine's history.

A history is a sequence of phases, each with a number of minutes and a rate of events. `test_rules` has the alerts.
Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[3]
RULES: Final = ROOT / "deploy" / "prometheus" / "rules"

SCRAPES: Final = 4
"""A minute."""

NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Phase:
    """Minutes with a rate of events; without `per_second` the series is absent."""

    minutes: float
    per_second: float | None
    reset: bool = False


def lasting(minutes: float, per_second: float) -> Phase:
    """Return minutes of a steady rate."""
    return Phase(minutes, per_second)


def absent(minutes: float) -> Phase:
    """Return minutes without the series, as when its target is down."""
    return Phase(minutes, None)


def restarted(minutes: float, per_second: float) -> Phase:
    """Return minutes of a steady rate after a counter's reset to 0."""
    return Phase(minutes, per_second, reset=True)


def counter(phases: Iterable[Phase]) -> str:
    """Return a counter's values as promtool writes them."""
    total, words = 0.0, []
    for phase in phases:
        scrapes = round(phase.minutes * SCRAPES)
        if phase.per_second is None:
            words.append(f"_x{scrapes}")
            continue
        step = phase.per_second * 60 / SCRAPES
        begin = 0 if phase.reset else total
        words.append(
            f"{begin + step:g}+{step:g}x{scrapes - 1}" if begin + step < 1e6 else _precise(begin, step, scrapes)
        )
        total = begin + step * scrapes
    return " ".join(words)


def _precise(begin: float, step: float, scrapes: int) -> str:
    return f"{begin + step:.3f}+{step:.3f}x{scrapes - 1}"


@dataclass(frozen=True, slots=True)
class Machine:
    """The series of one target, by their text."""

    instance: str = "web1:9788"
    series: dict[str, str] = field(default_factory=dict)

    def has(self, name: str, *phases: Phase, **labels: str) -> Machine:
        """Add a counter."""
        self.gauge(name, counter(phases), **labels)
        return self

    def gauge(self, name: str, values: str, /, **labels: str) -> Machine:
        """Add a series of these values."""
        all_labels = {"instance": self.instance, "job": "probed"} | labels
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in all_labels.items())
        self.series[f"{name}{{{inside}}}"] = values
        return self

    def processes(
        self,
        unit: str,
        comm: str,
        parent: str,
        *phases: Phase,
        short: float = 1.0,
        end: str = "ok",
        beside: Mapping[str, str] = NONE,
    ) -> Machine:
        """Add execs and as many ends of programs; `short` is the share that ends within a second.

        `beside` are further labels of the unit.
        """
        self.has("probed_process_execs_total", *phases, unit=unit, comm=comm, parent=parent, **beside)
        ends = {"unit": unit, "comm": comm, "exit": end, **beside}
        self.has("probed_process_lifetime_seconds_count", *phases, **ends)
        self.has("probed_process_lifetime_seconds_bucket", *_scaled(phases, short), **ends, le="1.0")
        return self

    def forks(self, unit: str, *phases: Phase, beside: Mapping[str, str] = NONE) -> Machine:
        """Add the forks of the unit."""
        return self.has("probed_process_forks_total", *phases, unit=unit, **beside)

    def containers(
        self,
        comm: str,
        parent: str,
        *,
        minutes: float,
        per_second: float,
        alive: float = 2,
        total: float = 60,
        namespace: str = "",
    ) -> Machine:
        """Add one container after another, each `alive` for some seconds, in which a parent starts a program.

        With a namespace each container is a pod of its own there.

        The first scrape after a container's start shows its series at 0, the second with all its events; the series
        stay idle until the end of `total` minutes.
        """
        for number in range(round(minutes * 60 / alive)):
            scrape = int(number * alive * SCRAPES / 60) + 1
            rising = Phase(1 / SCRAPES, per_second * alive * SCRAPES / 60)
            phases = (
                absent(scrape / SCRAPES),
                lasting(1 / SCRAPES, 0),
                rising,
                lasting(total - (scrape + 2) / SCRAPES, 0),
            )
            unit, beside = f"docker:{number:012x}", dict[str, str]()
            if namespace:
                unit, beside = "cri", {"namespace": namespace, "pod": f"job-{number:05x}", "container": "main"}
            self.storm(unit, comm, parent, *phases, beside=beside)
        return self

    def storm(self, unit: str, comm: str, parent: str, *phases: Phase, beside: Mapping[str, str] = NONE) -> Machine:
        """Add a parent that forks and execs one short-lived program over and over."""
        return self.forks(unit, *phases, beside=beside).processes(unit, comm, parent, *phases, beside=beside)


def _scaled(phases: Iterable[Phase], factor: float) -> list[Phase]:
    return [
        Phase(one.minutes, None if one.per_second is None else one.per_second * factor, one.reset) for one in phases
    ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


Check = Mapping[str, Any]


def fired(at: float, *alerts: Mapping[str, str], state: str = "firing") -> Check:
    """Expect exactly these alerts in this state at a minute, by name and the given labels."""
    labels = ", ".join(sorted({"alertname", *(label for alert in alerts for label in alert)}))
    return {
        "expr": f'count by ({labels}) (ALERTS{{alertstate="{state}"}})',
        "eval_time": _minutes(at),
        "exp_samples": [{"labels": _selector(alert), "value": 1} for alert in alerts],
    }


def never(until: float) -> Check:
    """Expect no firing alert up to a minute."""
    expression = f'count by (alertname, unit, comm) (count_over_time(ALERTS{{alertstate="firing"}}[{_minutes(until)}]))'
    return {"expr": expression, "eval_time": _minutes(until), "exp_samples": []}


def _minutes(count: float) -> str:
    return f"{round(count * 60)}s"


def _selector(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items()) + "}"


def verify(
    folder: Path,
    machines: Iterable[Machine],
    checks: Iterable[Check] = (),
    alerts: Iterable[Check] = (),
    interval: str = "15s",
) -> None:
    """Run promtool over these machines with values an interval apart.

    Raises AssertionError with promtool's findings.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not there: `make test` unpacks it (Debian package prometheus)")
    series = [{"series": name, "values": values} for one in machines for name, values in one.series.items()]
    case = {
        "interval": interval,
        "input_series": series,
        "promql_expr_test": list(checks),
        "alert_rule_test": list(alerts),
    }
    document = {"rule_files": [str(RULES / "probed-*.yml")], "evaluation_interval": "30s", "tests": [case]}
    file = folder / "case.yml"
    file.write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
