# SPDX-License-Identifier: Apache-2.0
"""Programs wake the exporter by the fill of the ring, for any number of possible CPUs."""

from __future__ import annotations

import math
import subprocess
import time
from pathlib import Path

from support.kernel_fixtures import Install
from support.possible_cpus import under
from support.running_daemon import Daemon, rise, site

RECORD_BYTES = 8 + 96
"""Header and event of the probe `process` in its ring."""

SPAWNS = 5003


def test_programs_wake_the_exporter_above_a_quarter_of_the_ring_only(tmp_path: Path, install: Install) -> None:
    with Daemon(tmp_path, site({"process": {}}), under=under(tmp_path, 256)) as daemon:
        daemon.wait_until_ready()
        before, begun = daemon.scrape(), time.monotonic()
        subprocess.run([install("spawn"), str(SPAWNS), install("exits")], check=True, stdout=subprocess.DEVNULL)
        after, seconds = daemon.scrape(), time.monotonic() - begun
    emitted = after.emitted("process") - before.emitted("process")
    assert emitted >= 2 * SPAWNS
    assert after.lost("process") == 0
    records = rise(before, after, "probed_ring_records_total", probe="process")
    assert records >= SPAWNS
    quarters = records * RECORD_BYTES / (after.value("probed_ring_bytes", probe="process") / 4)
    drains = after.value("probed_drains_total") - before.value("probed_drains_total")
    # A program may wake the exporter once more while it drains. One drain is the scrape's. A storm also wakes the
    # exporter once a second at most, so that evidence can be taken.
    assert quarters / 2 - 1 <= drains <= 2 * quarters + 1 + math.ceil(seconds)
