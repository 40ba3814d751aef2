# SPDX-License-Identifier: Apache-2.0
"""Programs in a chain run; dictionaries of entries stand for arrays of programs."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

import pytest

from probed.ipc.loader_process import HookHandle, ProbeHandle
from probed.ipc.manifest import ChainSlot, FdName, LoadedProbe
from probed.linux import bpf
from probed.supervisor import hooks
from probed.supervisor.hooks import Hooks
from probed.supervisor.systemd import fdstore
from probed.supervisor.systemd.fdstore import Store

ARRAY, LINK, PROGRAM = 100, 101, 102
EXIT = HookHandle("sys_exit", ARRAY, (LINK,), PROGRAM)
Arrays = dict[int, dict[int, int]]


def hook(attach_point: str, fds: Sequence[int]) -> HookHandle:
    """Return a hook with array, program and links."""
    return HookHandle(attach_point, fds[0], tuple(fds[2:]), fds[1])


def held(*places: ChainSlot, first: int = 1000) -> ProbeHandle:
    """Return a probe with programs of fds and ids 1000, 1001, and so on."""
    fds = {FdName("program", place.program): first + number for number, place in enumerate(places)}
    return ProbeHandle(LoadedProbe("a", "1", None, 0, (), (), tuple(fds), places), fds)


def followed(array: Mapping[int, int]) -> list[int]:
    """Return the programs of an array in the order of their jumps. Raises AssertionError if a jump passes one over."""
    slots = sorted(bpf.taken_slots(ARRAY))
    assert all(array[entry] == array[min(slot for slot in slots if slot >= entry)] for entry in array)
    assert sorted(array) == list(range(max(slots, default=-1) + 1))
    return [array[slot] for slot in slots]


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """The programs in each array's entries."""
    slots: Arrays = {ARRAY: {}}
    monkeypatch.setattr(bpf, "put_program", lambda array, slot, program: slots[array].update({slot: program}))
    monkeypatch.setattr(bpf, "take_program", lambda array, slot: slots[array].pop(slot, None))
    monkeypatch.setattr(bpf, "program_id", lambda array, slot: slots[array].get(slot, 0))
    monkeypatch.setattr(bpf, "object_info", lambda fd, _: (0, fd))
    monkeypatch.setattr(hooks, "identity", lambda fd: f"prog_id:{fd}")
    return slots


class Kept(Store):
    """Stands for systemd: keeps some hooks and probes, and notes the probes that are let go."""

    def __init__(self, hooks: Sequence[HookHandle] = (), probes: Sequence[ProbeHandle] = ()) -> None:
        super().__init__(None)
        self.hooks, self.probes = list(hooks), list(probes)
        self.gone: list[ProbeHandle] = []

    def take_over_hooks(self, passed: Mapping[int, str]) -> list[HookHandle]:
        return self.hooks

    def take_over(self, passed: Mapping[int, str]) -> list[ProbeHandle]:
        return [*self.probes]

    def keep(self, held: ProbeHandle, bcc_version: str) -> None:
        self.probes.append(held)

    def forget(self, held: ProbeHandle) -> None:
        self.probes.remove(held)

    def let_go(self, held: ProbeHandle) -> None:
        if held in self.probes:
            self.probes.remove(held)
        self.gone.append(held)


def test_a_probe_runs_from_when_it_is_attached_until_it_is_let_go(arrays: Arrays) -> None:
    store = Kept([EXIT])
    chain, probe = Hooks(store, {}), held(ChainSlot("on_x", "sys_exit", 3), ChainSlot("on_y", "sys_exit", 5))
    chain.attach(probe, "0.26.0")
    assert followed(arrays[ARRAY]) == [1000, 1001]
    assert chain.take_over({}) == store.probes == [probe]
    chain.let_go(probe)
    assert arrays[ARRAY] == {}
    assert store.gone == [probe]


def test_the_programs_of_all_probes_follow_each_other_by_slot(arrays: Arrays) -> None:
    chain = Hooks(Kept([EXIT]), {})
    first, last, middle = (held(ChainSlot("on_x", "sys_exit", slot), first=fd) for slot, fd in ((2, 1), (9, 3), (4, 2)))
    for probe, order in ((last, [3]), (first, [1, 3]), (middle, [1, 2, 3])):
        chain.attach(probe, "")
        assert followed(arrays[ARRAY]) == order
    assert bpf.taken_slots(ARRAY) == {2, 4, 9}
    for probe, order in ((first, [2, 3]), (last, [2]), (middle, [])):
        chain.let_go(probe)
        assert followed(arrays[ARRAY]) == order


def test_each_change_leaves_a_chain_with_all_other_programs(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that runs meanwhile jumps to the entry after its slot."""
    chain = Hooks(Kept([EXIT]), {})
    first, middle, last = (held(ChainSlot("on_x", "sys_exit", slot), first=fd) for slot, fd in ((1, 1), (4, 2), (7, 3)))
    chain.attach(first, "")
    chain.attach(last, "")
    slot_of = {1: 1, 2: 4, 3: 7}
    seen: list[list[int]] = []
    put = bpf.put_program

    def run_then_put(array: int, slot: int, program: int) -> None:
        entry, ran = 0, list[int]()
        while arrays[array].get(entry):
            ran.append(arrays[array][entry])
            entry = slot_of[ran[-1]] + 1
        seen.append(ran)
        put(array, slot, program)

    monkeypatch.setattr(bpf, "put_program", run_then_put)
    chain.attach(middle, "")
    chain.let_go(middle)
    assert seen == [[1, 3]] * 3 + [[1, 2, 3]] * 3


def test_a_chain_that_was_left_half_done_is_completed(arrays: Arrays) -> None:
    """An earlier supervisor was killed, or was of a version that put a program into its own slot alone."""
    probe = held(ChainSlot("on_x", "sys_exit", 3), ChainSlot("on_y", "sys_exit", 5))
    arrays[ARRAY] = {3: 1000, 5: 1001, 7: 999}
    assert Hooks(Kept([EXIT], [probe]), {}).take_over({}) == [probe]
    assert followed(arrays[ARRAY]) == [1000, 1001]


def test_a_version_with_the_same_maps_takes_the_slots_and_the_place_in_the_store(arrays: Arrays) -> None:
    store, places = Kept([EXIT]), (ChainSlot("on_x", "sys_exit", 3), ChainSlot("on_y", "sys_exit", 5))
    chain, running, renewed = Hooks(store, {}), held(*places), held(*places, first=2000)
    chain.attach(running, "0.26.0")
    chain.attach(renewed, "", running)
    chain.let_go(running)
    assert followed(arrays[ARRAY]) == [2000, 2001]
    assert (store.probes, store.gone) == ([renewed], [running])


def test_the_running_version_goes_on_where_the_other_cannot_be_attached(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, places = Kept([EXIT]), (ChainSlot("on_x", "sys_exit", 3), ChainSlot("on_y", "sys_exit", 5))
    chain, running, renewed = Hooks(store, {}), held(*places), held(*places, first=2000)
    chain.attach(running, "0.26.0")

    def put(array: int, slot: int, program: int) -> None:
        if program == 2001:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        arrays[array][slot] = program

    monkeypatch.setattr(bpf, "put_program", put)
    with pytest.raises(OSError, match="allocate memory"):
        chain.attach(renewed, "", running)
    assert followed(arrays[ARRAY]) == [1000, 1001]
    assert (store.probes, store.gone) == ([running], [renewed])


def test_a_probe_that_cannot_be_attached_is_let_go(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))

    monkeypatch.setattr(bpf, "put_program", refuse)
    store, probe = Kept([EXIT]), held(ChainSlot("on_x", "sys_exit", 3))
    with pytest.raises(OSError, match="too long"):
        Hooks(store, {}).attach(probe, "")
    assert (store.probes, store.gone) == ([], [probe])


def test_a_slot_with_another_program_is_not_the_probe_s(arrays: Arrays) -> None:
    probe = held(ChainSlot("on_x", "sys_exit", 3))
    arrays[ARRAY][3] = 999
    store = Kept([EXIT], [probe])
    assert Hooks(store, {}).take_over({}) == []
    assert store.gone == [probe]


def test_a_probe_does_not_run_without_its_hook_and_letting_it_go_is_no_error(arrays: Arrays) -> None:
    probe = held(ChainSlot("on_x", "sys_exit", 3))
    store = Kept([], [probe])
    assert Hooks(store, {}).take_over({}) == []
    assert store.gone == [probe]


def test_a_hook_goes_with_the_last_probe_behind_it(arrays: Arrays) -> None:
    fds = [os.memfd_create("hook") for _ in range(6)]
    chain = Hooks(Kept([hook("sys_exit", fds[:3])]), {})
    chain.add(hook("sys_enter", fds[3:]))
    assert chain.arrays() == {"sys_exit": fds[0], "sys_enter": fds[3]}
    chain.keep_only([held(ChainSlot("on_x", "sys_exit", 3))])
    assert chain.arrays() == {"sys_exit": fds[0]}
    chain.end()
    assert chain.arrays() == {}
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_probe_can_be_let_go_after_its_hook(arrays: Arrays) -> None:
    fds = [os.memfd_create("hook") for _ in range(3)]
    arrays[fds[0]] = {}
    store, probe = Kept([hook("sys_exit", fds)]), held(ChainSlot("on_x", "sys_exit", 3))
    chain = Hooks(store, {})
    chain.attach(probe, "")
    chain.end()
    chain.let_go(probe)
    assert store.gone == [probe]


def test_a_switch_goes_with_the_hook_in_a_kprobe(arrays: Arrays) -> None:
    fds = [os.memfd_create("hook") for _ in range(6)]
    chain = Hooks(Kept([hook("sys_exit.switch", fds[:3]), hook("sys_exit", fds[3:])]), {})
    chain.keep_only([held(ChainSlot("on_x", "sys_exit", 3))])
    assert chain.arrays() == {"sys_exit.switch": fds[0], "sys_exit": fds[3]}
    chain.keep_only([])
    assert chain.arrays() == {}


def test_a_hook_rests_with_systemd_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, list[int]]] = []
    store = Store(lambda status, *, fds=(): said.append((status.splitlines()[-2], list(fds))))
    store.keep_hook(EXIT)
    assert said == [("FDNAME=hook.sys_exit", [LINK, ARRAY, PROGRAM])]
    monkeypatch.setattr(fdstore, "identity", {ARRAY: "map_id:1", LINK: "link_id:2", PROGRAM: "prog_id:3"}.__getitem__)
    passed = dict.fromkeys((ARRAY, LINK, PROGRAM), "hook.sys_exit") | {7: "probe.a"}
    assert store.take_over_hooks(passed) == [EXIT]


def test_a_hook_with_a_link_for_each_cpu_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[int]] = []
    hooks_of_cpus = HookHandle("perf_event/cpu-clock@99Hz", ARRAY, (LINK, 201, 202), PROGRAM)
    Store(lambda _, *, fds=(): said.append(list(fds))).keep_hook(hooks_of_cpus)
    assert said == [[LINK, 201, 202, ARRAY, PROGRAM]]
    links = {LINK: "link_id:2", 201: "link_id:4", 202: "link_id:5"}
    monkeypatch.setattr(fdstore, "identity", ({ARRAY: "map_id:1", PROGRAM: "prog_id:3"} | links).__getitem__)
    passed = dict.fromkeys(said[0], f"hook.{hooks_of_cpus.attach_point}")
    assert Store(None).take_over_hooks(passed) == [hooks_of_cpus]


def test_half_a_hook_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    half = os.memfd_create("half")
    assert Store(None).take_over_hooks({half: "hook.sys_exit"}) == []
    assert "dropping 'hook.sys_exit' from systemd's fd store" in caplog.text
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(half)
