# SPDX-License-Identifier: Apache-2.0
"""Perf events are opened on every CPU or on none, and a refusal has its remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import get_args

import pytest

from probed.ipc.attach_points import PerfEventName
from probed.loader.common import perf_events
from probed.loader.common.perf_events import EVENTS, MOST_CPUS, explain, opened, paranoid


def machine(folder: Path, online: str) -> Path:
    (folder / "sys/devices/system/cpu").mkdir(parents=True)
    (folder / "sys/devices/system/cpu/online").write_text(f"{online}\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with three CPUs."""
    return machine(tmp_path, "0,5-6")


def is_open(fd: int) -> bool:
    return Path(f"/proc/self/fd/{fd}").exists()


def test_every_event_has_its_number() -> None:
    assert set(EVENTS) == set(get_args(PerfEventName))
    assert len(set(EVENTS.values())) == len(EVENTS)


def test_an_event_is_open_on_each_cpu_for_the_time_of_the_context(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    asked = []

    def give(target: str, cpu: int) -> int:
        asked.append((target, cpu))
        return os.memfd_create("event")

    monkeypatch.setattr(perf_events, "_open", give)
    with opened("cpu-clock@99Hz", root) as fds:
        assert asked == [("cpu-clock@99Hz", cpu) for cpu in (0, 5, 6)]
        assert [is_open(fd) for fd in fds] == [True] * 3
    assert [is_open(fd) for fd in fds] == [False] * 3


def test_after_a_refusal_no_event_stays_open(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    given: list[int] = []

    def give(_: str, cpu: int) -> int:
        if cpu == 6:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        given.append(os.memfd_create("event"))
        return given[-1]

    monkeypatch.setattr(perf_events, "_open", give)
    with pytest.raises(FileNotFoundError), opened("cycles@99Hz", root):
        pass
    assert [is_open(fd) for fd in given] == [False] * 2


def test_more_cpus_than_one_message_has_room_for_are_an_error(tmp_path: Path) -> None:
    many = machine(tmp_path, f"0-{MOST_CPUS}")
    with pytest.raises(OSError, match="too long") as refused, opened("cpu-clock@7", many):
        pass
    assert explain(refused.value.errno or 0, "2") == f"a hook has one link for each CPU, and at most {MOST_CPUS}"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "CAP_SYS_ADMIN where kernel.perf_event_paranoid (now 3) is above 2"),
        (errno.EPERM, "the drop-in perf-events.conf"),
        (errno.ENOENT, "this machine does not count the event"),
        (errno.EOPNOTSUPP, "many virtual machines"),
        (errno.EINVAL, "Linux 5.15"),
    ],
)
def test_a_refusal_has_its_remedy(number: int, said: str) -> None:
    assert said in explain(number, "3")


def test_a_unit_that_hides_the_sysctl_has_the_remedy_all_the_same(tmp_path: Path) -> None:
    """As systemd's ProcSubset=pid does."""
    assert paranoid(tmp_path) == ""
    assert "where kernel.perf_event_paranoid is above 2" in explain(errno.EPERM, paranoid(tmp_path))
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/perf_event_paranoid").write_text("3\n")
    assert "kernel.perf_event_paranoid (now 3) is above 2" in explain(errno.EPERM, paranoid(tmp_path))
