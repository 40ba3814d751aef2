# SPDX-License-Identifier: Apache-2.0
"""Notifications to systemd and their times; a list stands for systemd."""

import time
from collections.abc import Sequence

import pytest

from probed.errors import REASONS
from probed.ipc.exporter_messages import ProbeStatus, Pulse
from probed.supervisor.systemd import notify
from probed.supervisor.systemd.fdstore import Send
from probed.supervisor.systemd.notify import WATCHDOG, Notifier, sender, status_line, watchdog_seconds

QUIET = Pulse(informed=True, series=14, lost=0)


def recorder(said: list[str]) -> Send:
    """Return a function that appends to `said` instead of sending to systemd."""

    def send(status: str, *, fds: Sequence[int] = ()) -> None:
        said.append(status)

    return send


def status(name: str, up: bool = True, reason: str = "") -> ProbeStatus:
    return ProbeStatus(name, "", up, reason, "", dict.fromkeys(REASONS, 0))


@pytest.mark.parametrize(
    ("probes", "line"),
    [
        ([status(name) for name in "abc"], "3 probes up, 14 series, 0 lost"),
        ([status("a")], "1 probe up, 14 series, 0 lost"),
        ([], "no probe is wanted, 14 series, 0 lost"),
        (
            [status("a"), status("b", False, "verifier"), status("c", False)],
            "1 of 3 probes up (b: verifier, c: loading), 14 series, 0 lost",
        ),
    ],
)
def test_the_status_line_says_what_an_operator_asks_first(probes: list[ProbeStatus], line: str) -> None:
    assert status_line(probes, QUIET) == line


def test_the_status_line_counts_the_probes_that_the_exporter_left_out() -> None:
    assert status_line([], Pulse(informed=True, series=1, lost=0, left_out=2)) == (
        "no probe is wanted, 2 left out by the exporter, 1 series, 0 lost"
    )


def test_it_is_ready_once_and_only_when_it_is_settled() -> None:
    said: list[str] = []
    notices = Notifier(recorder(said))
    notices.heartbeat("a", settled=False)
    notices.heartbeat("b", settled=True)
    notices.heartbeat("b", settled=True)
    notices.heartbeat("c", settled=True)
    alive = "WATCHDOG=1"
    assert said == [alive, alive, "READY=1\nSTATUS=b", alive, alive, "STATUS=c"]


def test_a_reload_says_when_it_began_and_ends_in_being_ready() -> None:
    said: list[str] = []
    notices = Notifier(recorder(said))
    notices.heartbeat("a", settled=True)
    notices.reloading()
    notices.heartbeat("b", settled=False)
    notices.heartbeat("c", settled=True)
    reloading = dict(line.split("=") for line in said[2].splitlines())
    assert (reloading["RELOADING"], reloading["MONOTONIC_USEC"].isdigit()) == ("1", True)
    assert said[3:] == ["WATCHDOG=1", "WATCHDOG=1", "READY=1\nSTATUS=c"]


def test_a_reload_in_a_time_namespace_has_the_hosts_time(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(notify, "clock_offset", {"monotonic": -86_400 * 10**9}.get)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: 7_001)
    Notifier(recorder(said)).reloading()
    assert f"MONOTONIC_USEC={86_400 * 10**6 + 7}\n" in said[0]


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert sender() is None
    Notifier(None).stopping()


@pytest.mark.parametrize(("usec", "seconds"), [(None, WATCHDOG), ("0", WATCHDOG), ("9000000", 9.0)])
def test_the_watchdog_is_systemd_s_or_ours(monkeypatch: pytest.MonkeyPatch, usec: str | None, seconds: float) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if usec is not None:
        monkeypatch.setenv("WATCHDOG_USEC", usec)
    assert watchdog_seconds() == seconds


def test_a_notify_socket_that_is_not_there_costs_a_log_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("systemd.daemon")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    send = sender()
    assert send is not None
    Notifier(send).heartbeat("1 probe up", settled=True)
    assert "systemd gets no notification at NOTIFY_SOCKET=/nonexistent/notify: No such file" in caplog.text
