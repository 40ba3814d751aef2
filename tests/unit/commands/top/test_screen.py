# SPDX-License-Identifier: Apache-2.0
"""`probed top` in a real terminal: tmux in two sizes, resized, with a daemon that goes away and comes back."""

from __future__ import annotations

import os
import select
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.processes import children
from support.running_daemon import ROOT, until
from support.top.canned_daemon import CannedDaemon
from support.top.pages import page, series
from support.top.storm import storm
from support.top.terminal import TmuxTerminal, terminal

SMALL, LARGE = (80, 24), (200, 60)


def growing() -> Callable[[], str]:
    """Return the pages of a storm that began 100 s ago."""
    begun = time.monotonic()
    return lambda: storm(100.0 + time.monotonic() - begun)


@contextmanager
def top(
    folder: Path, size: tuple[int, int], daemon: CannedDaemon, *options: str, **environment: str
) -> Iterator[TmuxTerminal]:
    command = [sys.executable, "-m", "probed", "top", "--config.file", str(ROOT / "config/probed.yaml")]
    more = ["--web.listen-address", daemon.address, "--interval", "100ms", *options]
    with terminal(folder, [*command, *more], size, **environment) as made:
        yield made


def fills(shown: TmuxTerminal, height: int) -> None:
    """Wait until the last line has the keys.

    A look at the screen may come in the middle of a change.
    """

    def full() -> bool:
        lines = shown.screen()
        return len(lines) == height and "q quit" in lines[-1]

    until(full, f"the screen fills {height} lines")


def test_both_sizes_and_a_change_between_them(tmp_path: Path) -> None:
    with CannedDaemon(growing()) as daemon, top(tmp_path, SMALL, daemon) as shown:
        shown.shows("media.service", "transcoder", "EMFILE", "futex", "map_full")
        fills(shown, 24)
        assert "OPENS/S" not in "".join(shown.screen())
        shown.resize(*LARGE)
        shown.shows("OPENS/S", "healthcheck", "epoll_wait")
        fills(shown, 60)
        shown.resize(30, 5)
        shown.shows("probed top  127.0.0.1")
        shown.resize(*SMALL)
        shown.shows("media.service", "transcoder")
        fills(shown, 24)
        shown.press("q")
        assert shown.ended() == 0
        assert "media.service" not in "".join(shown.screen())


def test_the_size_is_the_terminal_s_whatever_the_environment_says(tmp_path: Path) -> None:
    with CannedDaemon(growing()) as daemon, top(tmp_path, LARGE, daemon, COLUMNS="80", LINES="24") as shown:
        shown.shows("OPENS/S", "healthcheck", "epoll_wait")
        fills(shown, 60)


def test_keys_sort_filter_pause_and_help(tmp_path: Path) -> None:
    with CannedDaemon(growing()) as daemon, top(tmp_path, SMALL, daemon) as shown:
        shown.shows("media.service")
        shown.press("s")
        shown.shows("by <1 S (s, r)")
        shown.press("BTab")
        shown.press("Enter")
        shown.shows("by LOST/S", "row 1 of 1")
        shown.press("Enter", "1")
        shown.write("/ci.")
        shown.shows("units that match: ci._")
        shown.press("Enter")
        until(lambda: "media.service" not in "".join(shown.screen()), "the filter hides the other units")
        shown.shows("units *ci.*", "ci.service", "futex")
        shown.press("p")
        shown.shows("PAUSED")
        shown.press("h")
        shown.shows("show units that match a glob")
        shown.press("C-c")
        assert shown.ended() == 0


def test_a_daemon_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    with CannedDaemon(growing()) as daemon, top(tmp_path, LARGE, daemon) as shown:
        shown.shows("media.service")
        daemon.stop()
        gone = shown.shows("no page for", "no daemon answers at")
        assert "media.service" in "".join(gone)
        daemon.page = lambda: "<html>another program took the port</html>\n"
        daemon.start()
        shown.shows("line 1 of the metrics page is no sample")
        daemon.page = growing()
        until(lambda: "no page for" not in "".join(shown.screen()), "the daemon is back")
        shown.shows("media.service", "nothing lost now")


def test_1000_series_fill_a_large_terminal(tmp_path: Path) -> None:
    begun = time.monotonic()

    def many() -> str:
        seconds, name = time.monotonic() - begun, "probed_process_execs_total"
        labels = [{"unit": f"試験@{n}.service", "comm": f"\x1b[{n}m試", "parent": "sh"} for n in range(1_000)]
        return page({series(name, **each): n * seconds for n, each in enumerate(labels)})

    with CannedDaemon(many) as daemon, top(tmp_path, LARGE, daemon) as shown:
        shown.shows("試験@999.service", "試験@973.service", "\\x1b[999m試")
        shown.press("Enter")
        shown.shows("試験@950.service", "row 1 of 1000")
        shown.press(*["NPage"] * 100)
        shown.shows("row 1000 of 1000")


@pytest.mark.parametrize("name", ["C", "no_SUCH.UTF-8"])
def test_a_locale_without_unicode_shows_escapes(tmp_path: Path, name: str) -> None:
    named = series("probed_process_execs_total", unit="試.service", comm="x", parent="y")
    with (
        CannedDaemon(lambda: page({named: time.time()})) as daemon,
        top(tmp_path, SMALL, daemon, LC_ALL=name) as shown,
    ):
        shown.shows("\\u8a66.serv")


def test_sigterm_restores_the_terminal(tmp_path: Path) -> None:
    with CannedDaemon(growing()) as daemon, top(tmp_path, SMALL, daemon) as shown:
        shown.shows("media.service")
        (pid,) = shown.processes()
        os.kill(pid, signal.SIGTERM)
        assert shown.ended() == 128 + signal.SIGTERM
        assert "media.service" not in "".join(shown.screen())


@pytest.mark.parametrize(
    ("name", "said"),
    [("no-such", "curses cannot use this terminal"), ("dumb", "this terminal cannot place the cursor")],
)
def test_a_terminal_that_cannot_be_filled_is_an_error_with_the_remedy(tmp_path: Path, name: str, said: str) -> None:
    with CannedDaemon(growing()) as daemon:
        command = ["env", f"TERM={name}", sys.executable, "-m", "probed", "top"]
        more = ["--config.file", str(ROOT / "config/probed.yaml"), "--web.listen-address", daemon.address]
        with terminal(tmp_path, [*command, *more], LARGE) as shown:
            shown.shows(said, "set TERM, or use --once")
            assert shown.ended() == 1


def test_the_command_ends_with_its_terminal(tmp_path: Path) -> None:
    """A process that ignores SIGHUP must not stay and poll the dead terminal."""
    with CannedDaemon(growing()) as daemon:
        command = [sys.executable, "-m", "probed", "top", "--web.listen-address", daemon.address]
        script = shlex.join([*command, "--config.file", str(ROOT / "config/probed.yaml")])
        with terminal(tmp_path, ["sh", "-c", f"trap '' HUP; {script}; exit"], SMALL) as shown:
            shown.shows("media.service")
            (shell,) = shown.processes()
            (pid,) = children(shell)
            running = os.pidfd_open(pid)
        try:
            assert select.select([running], [], [], 20)[0], "the process stays without a terminal"
        finally:
            os.close(running)
