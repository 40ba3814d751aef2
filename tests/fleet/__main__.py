# SPDX-License-Identifier: Apache-2.0
"""`make fleet`: play fleets of growing size to a Prometheus, and write its cost into deploy/fleet.md.

    python -m fleet run [--native] [--hosts 25,50,100,200,400] [--seconds 240] [--interval 5] [--write]
    python -m fleet rules [--hosts 99] [--seconds 240] [--write]
    python -m fleet pages [--write]
    python -m fleet record NAME URL

`record` records a running probed for a minute; `pages` describes the recordings.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from fleet import recorded, report, simulation
from fleet.pages import APART, KINDS, Recording, path
from fleet.simulation import Measured, Plan, Query
from fleet.targets import CLASSIC, MIX, NATIVE, Targets

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "deploy" / "fleet.md"
RULES = ROOT / "deploy" / "prometheus" / "rules"
FLEETS = (1_000, 100_000)


NATIVE_ARGUMENTS = ("--enable-feature=native-histograms",)


def queries(interval: int, *, native: bool = False) -> tuple[Query, ...]:
    """Return the queries, over a window of twelve scrapes: three minutes of the real interval."""
    window = f"[{12 * interval}s]"
    execs = f"rate(probed_process_execs_total{window})"
    if native:
        lifetimes = f"sum by (comm) (rate(probed_process_lifetime_seconds{window}))"
    else:
        lifetimes = f"sum by (comm, le) (rate(probed_process_lifetime_seconds_bucket{window}))"
    return (
        Query("one host: its execs by unit, over the whole time",
              f'sum by (unit) (rate(probed_process_execs_total{{instance="host-00001"}}{window}))', True),
        Query("all hosts: top 10 by execs, now", f"topk(10, sum by (instance) ({execs}))", False),
        Query("all hosts: execs by parent, over the whole time", f"sum by (parent) ({execs})", True),
        Query("all hosts: median lifetime by comm, now",
              f"histogram_quantile(0.5, {lifetimes})", False),
    )  # fmt: skip


def _record(name: str, url: str) -> None:
    for number in (0, 1):
        if number:
            time.sleep(APART)
        with urllib.request.urlopen(url, timeout=10) as answer:
            path(name, number).write_bytes(gzip.compress(answer.read(), 9, mtime=0))


def _run(hosts: Sequence[int], seconds: float, interval: int, *, native: bool) -> str:
    plan = Plan(interval, seconds, (), queries(interval, native=native), NATIVE_ARGUMENTS if native else ())
    measured: list[Measured] = []
    with Targets(MIX, report.REAL_INTERVAL, NATIVE if native else CLASSIC) as fleet:
        for number in hosts:
            measured.append(simulation.run(number, fleet, plan))
            sys.stderr.write(f"{measured[-1]}\n")
    parts = [report.growth(measured), report.queries(measured, plan.queries)]
    if len(measured) > 1:
        parts += [report.per_host(measured), report.extrapolation(measured, interval, FLEETS)]
    return "\n\n".join(parts)


def _rules(hosts: int, seconds: float) -> str:
    plan = Plan(report.REAL_INTERVAL, seconds, tuple(sorted(RULES.glob("*.yml"))), ())
    return report.cut(hosts, recorded.run(hosts, KINDS, plan))


def _say(mark: str, text: str, write: bool) -> None:
    sys.stdout.write(text + "\n")
    if write:
        DOCUMENT.write_text(report.between(DOCUMENT.read_text(), mark, text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fleet", description="Plays a fleet of hosts to a real Prometheus.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--hosts", type=lambda text: [int(each) for each in text.split(",")], default="25,50,100,200,400")
    run.add_argument("--seconds", type=float, default=240)
    run.add_argument("--interval", type=int, default=5)
    run.add_argument("--native", action="store_true", help="protobuf pages with native histograms alone")
    rules = commands.add_parser("rules")
    rules.add_argument("--hosts", type=int, default=99)
    rules.add_argument("--seconds", type=float, default=240)
    for command in (run, rules, commands.add_parser("pages")):
        command.add_argument("--write", action="store_true", help=f"into {DOCUMENT.relative_to(ROOT)}")
    record = commands.add_parser("record")
    record.add_argument("name")
    record.add_argument("url")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    flags = _parser().parse_args(arguments)
    if flags.command == "record":
        _record(flags.name, flags.url)
    elif flags.command == "pages":
        recordings = {name: Recording.load(name) for name in KINDS}
        _say("make fleet: pages", report.pages(recordings), flags.write)
        _say("make fleet: formats", report.in_formats(recordings), flags.write)
    elif flags.command == "rules":
        _say("make fleet: rules", _rules(flags.hosts, flags.seconds), flags.write)
    else:
        mark = "make fleet: native growth" if flags.native else "make fleet: growth"
        _say(mark, _run(flags.hosts, flags.seconds, flags.interval, native=flags.native), flags.write)


if __name__ == "__main__":
    main()
