# SPDX-License-Identifier: Apache-2.0
"""The canary's process returns its findings, or the error that ended it."""

from __future__ import annotations

import os
import signal
from typing import Any, NoReturn

import pytest

from probed.errors import LoadError
from probed.loader.common import canary
from support.processes import children
from support.running_daemon import until


def watch(monkeypatch: pytest.MonkeyPatch, found: Any) -> canary.Watch:
    monkeypatch.setattr(canary, "wrong_members", found)
    return canary.Watch(lambda: None)  # type: ignore[arg-type,return-value]


def test_what_it_finds_comes_back_as_often_as_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {("task_struct", "tgid"): "it is elsewhere"}
    watching = watch(monkeypatch, lambda *_: wrong)
    assert watching.wrong_members() == wrong
    assert watching.wrong_members() == wrong
    watching.wait()


def test_each_of_two_stays_until_its_own_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second canary inherits the first one's pipe, and shall not keep the first one waiting."""
    before = len(children(os.getpid()))
    first, second = (watch(monkeypatch, lambda *_: {}) for _ in range(2))
    assert (first.wrong_members(), second.wrong_members()) == ({}, {})
    assert len(children(os.getpid())) == before + 2
    first.release()
    first.wait()
    assert len(children(os.getpid())) == before + 1
    second.wait()
    assert len(children(os.getpid())) == before


def test_a_long_answer_that_nobody_asks_for_does_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before, wrong = len(children(os.getpid())), {("task_struct", "tgid"): "x" * (1 << 20)}
    watching = watch(monkeypatch, lambda *_: wrong)
    watching.wait()
    assert len(children(os.getpid())) == before
    assert watching.wrong_members() == wrong


def test_its_error_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise LoadError("canary", "permission", "the kernel does not let it", 1)

    watching = watch(monkeypatch, refuse)
    with pytest.raises(LoadError, match="the kernel does not let it") as caught:
        watching.wrong_members()
    watching.wait()
    assert (caught.value.probe, caught.value.reason, caught.value.errno) == ("canary", "permission", 1)


def test_its_death_is_an_error_and_no_clean_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    watching = watch(monkeypatch, lambda *_: os._exit(3))
    for _ in range(2):
        with pytest.raises(LoadError, match="ended without an answer"):
            watching.wrong_members()


def test_its_crash_has_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        os.write(2, b"LLVM ERROR: out of registers\n")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(LoadError, match=r"killed by SIGKILL\); its last lines:\nLLVM ERROR: out of registers"):
        watch(monkeypatch, crash).wrong_members()


def test_a_killed_loader_takes_its_canary_along(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    loader = os.fork()
    if loader == 0:
        os.close(reader)
        watch(monkeypatch, lambda *_: signal.pause())  # the canary holds the pipe's other end
        signal.pause()
    os.close(writer)
    until(lambda: children(loader), "there is a canary")
    os.kill(loader, signal.SIGKILL)
    os.waitpid(loader, 0)
    assert os.read(reader, 1) == b""
    os.close(reader)
