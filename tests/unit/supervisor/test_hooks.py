# SPDX-License-Identifier: Apache-2.0
"""Who is in a chain runs: hooks over arrays of programs that are dictionaries of slots."""

from __future__ import annotations

import os

import pytest

from probed.ipc.loader_process import Held, Hook
from probed.ipc.manifest import LoadedProbe, Place
from probed.linux import bpf
from probed.supervisor import hooks
from probed.supervisor.hooks import Hooks
from probed.supervisor.systemd import fdstore
from probed.supervisor.systemd.fdstore import Store

ARRAY, LINK, PROGRAM = 100, 101, 102
EXIT = Hook("sys_exit", ARRAY, LINK, PROGRAM)
Arrays = dict[int, dict[int, int]]


def held(*places: Place) -> Held:
    """A probe whose programs' fds are 1000, 1001, and so on; their ids are the same."""
    fds = {f"program:{place.program}": 1000 + number for number, place in enumerate(places)}
    return Held(LoadedProbe("a", "1", None, 0, (), (), tuple(fds), places), fds)


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """The programs in each array's slots."""
    slots: Arrays = {ARRAY: {}}
    monkeypatch.setattr(bpf, "put_program", lambda array, slot, program: slots[array].update({slot: program}))
    monkeypatch.setattr(bpf, "take_program", lambda array, slot: slots[array].pop(slot, None))
    monkeypatch.setattr(bpf, "program_id", lambda array, slot: slots[array].get(slot, 0))
    monkeypatch.setattr(hooks, "identity", lambda fd: f"prog_id:{fd}")
    return slots


def test_a_probe_runs_from_when_it_is_attached_until_it_is_detached(arrays: Arrays) -> None:
    chain, probe = Hooks([EXIT]), held(Place("on_x", "sys_exit", 3), Place("on_y", "sys_exit", 5))
    assert not chain.have(probe)
    chain.attach(probe)
    assert chain.have(probe)
    assert arrays[ARRAY] == {3: 1000, 5: 1001}
    chain.detach(probe)
    assert arrays[ARRAY] == {}


def test_a_slot_with_another_program_is_not_the_probe_s(arrays: Arrays) -> None:
    chain, probe = Hooks([EXIT]), held(Place("on_x", "sys_exit", 3))
    arrays[ARRAY][3] = 999
    assert not chain.have(probe)


def test_a_probe_does_not_run_without_its_hook_and_letting_it_go_is_no_error(arrays: Arrays) -> None:
    chain, probe = Hooks(), held(Place("on_x", "sys_exit", 3))
    assert not chain.have(probe)
    chain.detach(probe)


def test_a_hook_goes_with_the_last_probe_behind_it(arrays: Arrays) -> None:
    fds = [os.memfd_create("hook") for _ in range(6)]
    chain = Hooks([Hook("sys_exit", *fds[:3])])
    chain.add(Hook("sys_enter", *fds[3:]))
    assert chain.arrays() == {"sys_exit": fds[0], "sys_enter": fds[3]}
    (gone,) = chain.close_unused([held(Place("on_x", "sys_exit", 3))])
    assert gone.tracepoint == "sys_enter"
    assert chain.arrays() == {"sys_exit": fds[0]}
    assert [gone.tracepoint for gone in chain.close_unused([])] == ["sys_exit"]
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_hook_rests_with_systemd_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, list[int]]] = []
    store = Store(lambda status, *, fds=(): said.append((status.splitlines()[-2], list(fds))))
    store.keep_hook(EXIT)
    assert said == [("FDNAME=hook.sys_exit", [LINK, ARRAY, PROGRAM])]
    monkeypatch.setattr(fdstore, "identity", {ARRAY: "map_id:1", LINK: "link_id:2", PROGRAM: "prog_id:3"}.__getitem__)
    passed = dict.fromkeys((ARRAY, LINK, PROGRAM), "hook.sys_exit") | {7: "probe.a"}
    assert store.take_over_hooks(passed) == [EXIT]


def test_half_a_hook_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    half = os.memfd_create("half")
    assert Store(None).take_over_hooks({half: "hook.sys_exit"}) == []
    assert "'hook.sys_exit', which systemd kept, is let go" in caplog.text
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(half)
