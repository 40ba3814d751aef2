# SPDX-License-Identifier: Apache-2.0
"""Histograms that programs count by bucket in kernel maps, over known values: exact buckets and exact sums."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, Daemon, Page, run_to_its_end, site, until

SECONDS = "probed_bucketed_seconds"
BYTES = "probed_bucketed_bytes"
BOUNDS_NS = [1_000 << index for index in range(27)]
BOUNDS_BYTES = [8_192 + 4_096 * index for index in range(7)]

Values = Mapping[int, int]
"""How often each value comes."""

BEFORE: Values = {0: 7, 1: 11, 1_000: 1_009, 1_001: 503, 2_000: 211, 2_001: 101, 8_192: 53, 8_193: 41}
MEANWHILE: Values = {12_288: 997, 12_289: 31, 32_768: 29, 32_769: 23, 1_000_003: 10_007}
AFTER: Values = {1_000 << 26: 13, (1_000 << 26) + 1: 5, 1 << 50: 3, 4_096: 1_013, 1_000: 17}
BESIDE_BOUNDS: Values = {bound + above: 3 for bound in BOUNDS_NS[2:] for above in (-1, 0, 1)}


def observe(program: Path, values: Values) -> None:
    text = "".join(f"{value}\n" * times for value, times in values.items())
    subprocess.run([program], input=text, text=True, check=True)


def assert_observed(page: Page, *parts: Values, comm: str) -> None:
    values = [(value, times) for part in parts for value, times in part.items()]
    assert page.value(f"{SECONDS}_sum", comm=comm) == sum(value * times for value, times in values) * 1e-9
    of_comm = page.by("le", f"{SECONDS}_bucket", comm=comm)
    assert list(of_comm.values()) == at_most(BOUNDS_NS, values)
    assert [round(float(le) * 1e9) for le in of_comm if le != "+Inf"] == BOUNDS_NS
    assert page.value(f"{BYTES}_sum") == sum(value * times for value, times in values)
    of_all = page.by("le", f"{BYTES}_bucket")
    assert list(of_all.values()) == at_most(BOUNDS_BYTES, values)
    assert [float(le) for le in of_all if le != "+Inf"] == BOUNDS_BYTES
    assert page.lost("bucketed") == 0


def at_most(bounds: list[int], values: list[tuple[int, int]]) -> list[int]:
    """Return how many values are at most each bound, and how many there are."""
    counts = [sum(times for value, times in values if value <= bound) for bound in bounds]
    return [*counts, sum(times for _, times in values)]


def kill_exporter(daemon: Daemon, meanwhile: Callable[[], None]) -> None:
    before = daemon.exporter
    daemon.kill_exporter()
    meanwhile()
    until(lambda: daemon.exporter not in (0, before) and daemon.is_ready(), "another exporter serves")


def built(folder: Path, loader: str) -> Path:
    """Return a folder with the probe; for the loader core with an object."""
    shutil.copytree(PROBES / "include", folder / "include")
    shutil.copytree(OWN_PROBES / "bucketed", folder / "bucketed")
    if loader == "core":
        status, text = run_to_its_end("build", str(folder))
        if "apt install" in text:
            pytest.skip(f"no objects: {text.strip()}")
        assert status == 0, text
    return folder


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_buckets_and_sums_are_exact_across_a_killed_exporter(
    start: Start, install: Install, tmp_path: Path, loader: str
) -> None:
    daemon = start(site({"bucketed": None}, [built(tmp_path / "probes", loader)], loader=loader))
    program = install("observes")
    assert daemon.scrape()[f"{BYTES}_sum", frozenset()] == 0
    observe(program, BEFORE)
    assert_observed(daemon.scrape(), BEFORE, comm=program.name)
    kill_exporter(daemon, lambda: observe(program, MEANWHILE))
    assert_observed(daemon.scrape(), BEFORE, MEANWHILE, comm=program.name)
    observe(program, AFTER)
    observe(program, BESIDE_BOUNDS)
    kill_exporter(daemon, lambda: None)
    assert_observed(daemon.scrape(), BEFORE, MEANWHILE, AFTER, BESIDE_BOUNDS, comm=program.name)


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_the_c_does_not_compile_with_another_rule(tmp_path: Path, loader: str) -> None:
    folder = built(tmp_path / "probes", loader) / "bucketed"
    declaration = folder / "bucketed.yaml"
    rule = "exponential: {first: 8 KiB, factor: 2, count: 7}"
    declaration.write_text(declaration.read_text().replace("linear: {first: 8 KiB, width: 4 KiB, count: 7}", rule))
    status, text = run_to_its_end(*(["build"] if loader == "core" else ["check"]), str(folder))
    assert status == 1
    assert "LINEAR_FIRST_argument_bytes" in text
