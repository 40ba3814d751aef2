# SPDX-License-Identifier: Apache-2.0
"""Runs the measurements one after another, prints tables, writes JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench import drain, hooks, idle, library, machine, memory, parsing, peer, rate, scale, scraping, starting, targets
from bench.figures import Figure, table
from bench.setup import Setup

MEASUREMENTS: Final[dict[str, Callable[[Setup], list[Figure]]]] = {
    "hooks": hooks.measure,
    "drain": drain.measure,
    "rate": rate.measure,
    "idle": idle.measure,
    "memory": memory.measure,
    "starting": starting.measure,
    "scraping": scraping.measure,
    "parsing": parsing.measure,
    "scale": scale.measure,
    "library": library.measure,
}

PEER: Final = "peer"
"""Measurement of a bench with --peer."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurements of the command line."""
    options = _options(arguments)
    if os.geteuid() != 0:
        sys.exit("the bench loads BPF programs: run it as root")
    others = machine.attachments()
    if others:
        print(f"{others} BPF programs of others are attached: what traced calls cost will be wrong", file=sys.stderr)
    figures = _measure(options.only or list(MEASUREMENTS), options.short, options.peer)
    everything = [figure for found in figures.values() for figure in found]
    print("\nTargets\n" + targets.table(everything))
    facts = {**machine.facts(), "attachments_of_others": others, "short": options.short}
    found = {name: [dataclasses.asdict(each) for each in these] for name, these in figures.items()}
    options.json.write_text(json.dumps({"machine": facts, "figures": found}, indent=1) + "\n")
    print(f"\n{options.json} has all of it")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="show in a minute that it works; its figures are worthless"
    )
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="this measurement only; may be repeated")
    parser.add_argument("--peer", type=Path, help="measure another exporter too, in turn: see tests/bench/peer.py")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="the file to write (%(default)s)")
    return parser.parse_args(arguments)


def _measure(names: Sequence[str], short: bool, peer_file: Path | None) -> dict[str, list[Figure]]:
    figures = {}
    measurements = MEASUREMENTS
    if peer_file is not None:
        measurements = {**MEASUREMENTS, PEER: peer.measure}
        names = [*names, PEER]
    with tempfile.TemporaryDirectory(prefix="probed-bench-") as folder:
        Path(folder).chmod(0o755)  # workloads also run as an unprivileged user
        setup = Setup(Path(folder), short, peer.read(peer_file) if peer_file else None)
        setup.compile()
        for name in names:
            start = time.monotonic()
            figures[name] = measurements[name](setup)
            print(f"\n{name} ({time.monotonic() - start:.0f} s)\n{table(figures[name])}", flush=True)
    return figures


if __name__ == "__main__":
    main()
