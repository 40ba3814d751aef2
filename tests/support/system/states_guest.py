# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: a daemon, while the guest goes through states that a test's own machine must avoid.

`test_kernel_states` copies the file and the tree into the guest. The program asserts nothing and writes a record to
/out/seen.json. Its argument is the loader.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import termios
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from support.running_daemon import Daemon, Page, site

OUT = Path("/out")
BIN = Path("/var/tmp/bin")
UNPRIVILEGED = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
LOCKDOWN = Path("/sys/kernel/security/lockdown")
PM_TEST = Path("/sys/power/pm_test")
POWER = Path("/sys/power/state")
FOLDER_OF_HOST = Path("/sys/bus/virtio/drivers/9pnet_virtio")
CPU = Path("/sys/devices/system/cpu/cpu1/online")
LIFETIME = "probed_process_lifetime_seconds"
PATIENCE = 120.0
DAY = 86_400


def wait(condition: Callable[[], object], what: str) -> None:
    """Poll until a condition holds; an emulated machine is slow."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"still not: {what}")
        time.sleep(0.1)


def asleep() -> float:
    """Return the seconds of suspend since boot."""
    awake = time.monotonic()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - awake


def unread(pipe: int) -> int:
    """Return the number of bytes waiting in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@contextmanager
def without_the_folder_of_the_host() -> Iterator[None]:
    """Unmount /out within the context: its driver hangs during suspend."""
    (device,) = (entry.name for entry in FOLDER_OF_HOST.iterdir() if entry.name.startswith("virtio"))
    subprocess.run(["umount", OUT], check=True)
    (FOLDER_OF_HOST / "unbind").write_text(device)
    try:
        yield
    finally:
        (FOLDER_OF_HOST / "bind").write_text(device)
        subprocess.run(["mount", OUT], check=True)


class States:
    """The daemon and the counted programs."""

    def __init__(self, daemon: Daemon, loader: str) -> None:
        self._daemon, self._loader = daemon, loader
        self._buckets = itertools.count(2)
        self.seen: dict[str, Any] = {}

    def spawn(self, times: int, program: str = "spawned") -> float:
        """Run a program `times` times; return its count since the last load."""
        subprocess.run([BIN / "spawn", str(times), BIN / program], check=True, stdout=subprocess.DEVNULL)
        return self.page().total("probed_process_execs_total", comm=program)

    def page(self) -> Page:
        """Scrape, and assert that the sum closes."""
        page = self._daemon.scrape()
        if page.emitted("process") != page.accounted("process") or page.lost("process"):
            raise RuntimeError(f"the sum does not close: {page}")
        return page

    def reload(self) -> Page:
        """Reload the probe with other buckets; return the page afterwards."""
        buckets = {"metrics": {LIFETIME: {"buckets": [1, next(self._buckets)]}}}
        self._daemon.configure(site({"process": buckets}, loader=self._loader))
        before = len(self._daemon.log())
        self._daemon.process.send_signal(signal.SIGHUP)
        wait(lambda: " probes up" in self._daemon.log()[before:].split("reloading:")[-1], "the reload is over")
        time.sleep(1)  # until the exporter has the new status
        return self.page()

    def another_exporter(self) -> None:
        """Kill the exporter and wait for the next."""
        dead = self._daemon.exporter
        os.kill(dead, signal.SIGKILL)
        wait(lambda: self._daemon.exporter not in (0, dead) and self._daemon.is_ready(), "another exporter")

    def go_through(self) -> None:
        """Enter one state after another; some cannot be left, so the order matters."""
        self._processors()
        self._clocks()
        self._sleep()
        for value in ("2", "1"):
            UNPRIVILEGED.write_text(value)
            self.another_exporter()
            self.seen[f"unprivileged {value}"] = self.spawn(7)
        self.reload()
        self.seen["loaded with unprivileged 1"] = self.spawn(11)
        LOCKDOWN.write_text("integrity")
        self.reload()
        self.seen["loaded with integrity"] = self.spawn(13)
        LOCKDOWN.write_text("confidentiality")
        page = self.reload()
        self.seen["failures"] = page.by("reason", "probed_probe_load_failures_total", probe="process")
        self.seen["up"] = page.value("probed_probe_up", probe="process")
        self.seen["running with confidentiality"] = self.spawn(17)
        self.seen["states"] = [path.read_text().strip() for path in (UNPRIVILEGED, LOCKDOWN)]

    def _processors(self) -> None:
        self.seen["two processors"] = self.spawn(23)
        CPU.write_text("0")
        self.seen["online"] = Path("/sys/devices/system/cpu/online").read_text().strip()
        self.seen["one processor"] = self.spawn(29)
        CPU.write_text("1")
        self.seen["two again"] = self.spawn(31)

    def _live(self, program: str, meanwhile: Callable[[], object]) -> dict[str, float]:
        """Run a program during `meanwhile`; return its lifetime and the bounds of the lifetime."""
        start = time.clock_gettime(time.CLOCK_BOOTTIME)
        living = subprocess.Popen([BIN / program, "until-eof"], stdin=subprocess.PIPE, bufsize=0)
        assert living.stdin is not None
        pipe = living.stdin.fileno()
        os.write(pipe, b"x")
        wait(lambda: not unread(pipe), "it reads: Popen returns before the exec is over")
        inside = time.clock_gettime(time.CLOCK_BOOTTIME)
        awake = time.monotonic()
        meanwhile()
        least = time.clock_gettime(time.CLOCK_BOOTTIME) - inside
        awake = time.monotonic() - awake
        living.communicate()
        most = time.clock_gettime(time.CLOCK_BOOTTIME) - start
        lived = self.page().total(f"{LIFETIME}_sum", comm=program)
        return {"lived": lived, "least": least, "most": most, "awake": awake}

    def _clocks(self) -> None:
        now = time.time()
        for name, offset in (("forth", DAY), ("back", -2 * DAY)):
            self.seen[name] = self._live(name, partial(time.clock_settime, time.CLOCK_REALTIME, now + offset))
        time.clock_settime(time.CLOCK_REALTIME, now)

    def _sleep(self) -> None:
        """Freeze all processes, then suspend to memory; the kernel wakes up after five seconds.

        Source: Linux Documentation/power/basic-pm-debugging.rst; the guest skips only the last step, into the firmware.
        """
        exporter = self._daemon.exporter
        self.seen["before sleep"] = self.spawn(37)
        with without_the_folder_of_the_host():
            for name, level in (("frozen", "freezer"), ("asleep", "core")):
                PM_TEST.write_text(level)
                before = asleep()
                self.seen[name] = self._live(name, lambda: POWER.write_text("mem"))
                self.seen[name]["slept"] = asleep() - before
        self.seen["after sleep"] = self.spawn(41)
        self.seen["same exporter"] = self._daemon.exporter == exporter


def main(loader: str) -> None:
    """Enter all states, and write the record and the end."""
    folder = Path("/run/probed-states")
    folder.mkdir()
    UNPRIVILEGED.write_text("0")
    with Daemon(folder, site({"process": None}, loader=loader)) as daemon:
        states = States(daemon, loader)
        try:
            wait(daemon.is_ready, "it is ready")
            states.seen["unprivileged 0"] = states.spawn(5)
            states.go_through()
            states.seen["end"] = ""
        except Exception:
            states.seen["end"] = traceback.format_exc()
        states.seen["log"] = daemon.log()
    (OUT / "seen.json").write_text(json.dumps(states.seen))


if __name__ == "__main__":
    main(sys.argv[1])
