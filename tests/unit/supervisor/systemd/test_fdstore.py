# SPDX-License-Identifier: Apache-2.0
"""The fd store keeps probes, and takes back only complete ones; a list of messages stands for systemd."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from probed.ipc import manifest
from probed.ipc.loader_process import ProbeHandle
from probed.ipc.manifest import FdName, LoadedProbe, ResolvedMetric
from probed.linux.fdinfo import identity
from probed.schema import structure
from probed.supervisor.systemd.fdstore import LISTENER, Store, StoredProbe

NAMES = (FdName("stats"), FdName("ring"), FdName("program", "on_x"))


class Systemd:
    """Keeps copies of fds by name, as systemd does."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, int]] = []

    def __call__(self, status: str, *, fds: Sequence[int] = ()) -> None:
        lines = dict(line.split("=", 1) for line in status.splitlines())
        if lines.get("FDSTORE") == "1":
            assert lines["FDPOLL"] == "0"
            self.kept += [(lines["FDNAME"], os.dup(fd)) for fd in fds]
        if lines.get("FDSTOREREMOVE") == "1":
            for name, fd in self.kept:
                if name == lines["FDNAME"]:
                    os.close(fd)
            self.kept = [(name, fd) for name, fd in self.kept if name != lines["FDNAME"]]

    def passed(self) -> dict[int, str]:
        """Return the fds that a new process gets."""
        return {os.dup(fd): name for name, fd in self.kept}

    def names(self) -> set[str]:
        return {name for name, _ in self.kept}


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    systemd = Systemd()
    yield systemd
    for _, fd in systemd.kept:
        os.close(fd)


def held(name: str, fingerprint: str = "1") -> ProbeHandle:
    of = ResolvedMetric(f"probed_{name}_total", "counter", "Help.", ("m",), {}, (), None, 1.0, ())
    loaded = LoadedProbe(name, fingerprint, None, 0, (), (of,), NAMES, start_time=1_700_000_003.25)
    return ProbeHandle(loaded, {each: os.memfd_create(str(each)) for each in NAMES})


def is_open(fd: int) -> bool:
    with suppress(OSError):
        os.fstat(fd)
        return True
    return False


def taken_over(systemd: Systemd, passed: dict[int, str] | None = None) -> dict[str, ProbeHandle]:
    return {each.loaded.name: each for each in Store(systemd).take_over(passed or systemd.passed())}


def test_a_probe_comes_back_as_it_was(systemd: Systemd) -> None:
    before, store = held("a"), Store(systemd)
    store.keep(before, "0.26.0")
    again = Store(systemd)
    (after,) = again.take_over(systemd.passed())
    assert (after.loaded, again.bcc_version) == (before.loaded, "0.26.0")
    assert {name: identity(fd) for name, fd in after.fds.items()} == {
        name: identity(fd) for name, fd in before.fds.items()
    }
    before.close()
    after.close()


def test_the_order_in_which_fds_come_back_does_not_matter(systemd: Systemd) -> None:
    before = held("a")
    Store(systemd).keep(before, "")
    systemd.kept.reverse()
    after = taken_over(systemd)["a"]
    assert [identity(after.fds[name]) for name in NAMES] == [identity(before.fds[name]) for name in NAMES]
    before.close()
    after.close()


def test_two_versions_of_a_probe_lie_side_by_side(systemd: Systemd) -> None:
    old, new = held("a", "1"), held("a", "2")
    store = Store(systemd)
    store.keep(old, "")
    store.keep(new, "")
    both = store.take_over(systemd.passed())
    assert {each.loaded.fingerprint for each in both} == {"1", "2"}
    store.let_go(old)
    (rest,) = store.take_over(systemd.passed())
    assert rest.loaded.fingerprint == "2"
    for each in (new, rest, *both):
        each.close()


def test_what_is_let_go_is_closed_here_and_there(systemd: Systemd) -> None:
    one, store = held("a"), Store(systemd)
    store.keep(one, "")
    store.let_go(one)
    assert systemd.kept == []
    assert not any(map(is_open, one.fds.values()))


@pytest.mark.parametrize("missing", range(len(NAMES) + 1))
def test_a_probe_that_lacks_an_fd_is_refused_and_nothing_of_it_stays(
    systemd: Systemd, missing: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole, half = held("whole"), held("half")
    store = Store(systemd)
    store.keep(whole, "")
    store.keep(half, "")
    passed = systemd.passed()
    fds = [fd for fd, name in passed.items() if name.startswith("probe.half")]
    os.close(fds[missing])
    del passed[fds[missing]]
    got = taken_over(systemd, passed)
    assert list(got) == ["whole"]
    assert not any(map(is_open, fds))
    assert not any(name.startswith("probe.half") for name in systemd.names())
    assert "from systemd's fd store" in caplog.text
    for each in (whole, half, *got.values()):
        each.close()


def test_a_foreign_fd_beside_a_probe_s_spoils_it(systemd: Systemd) -> None:
    one = held("a")
    Store(systemd).keep(one, "")
    foreign = os.memfd_create("foreign")
    systemd.kept.append((next(iter(systemd.names())), foreign))
    assert taken_over(systemd) == {}
    assert systemd.kept == []
    one.close()


def test_what_probed_did_not_leave_there_is_closed(systemd: Systemd, caplog: pytest.LogCaptureFixture) -> None:
    systemd.kept.append(("surprise", os.memfd_create("foreign")))
    passed = systemd.passed()
    assert taken_over(systemd, passed) == {}
    assert not any(map(is_open, passed))
    assert systemd.kept == []
    assert "dropping 'surprise' from systemd's fd store: probed did not leave it there" in caplog.text


def sheet(content: bytes, seals: int) -> int:
    fd = os.memfd_create("probed-manifest", os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def resting(one: ProbeHandle, version: int) -> StoredProbe:
    return StoredProbe(version, "", one.loaded, tuple(identity(fd) for fd in one.fds.values()))


@pytest.mark.parametrize(
    ("version", "seals", "why"),
    [
        (manifest.VERSION, ALL_SEALS & ~fcntl.F_SEAL_WRITE, "0 descriptions are with it"),
        (manifest.VERSION - 1, ALL_SEALS, "this probed has"),
    ],
    ids=["not sealed", "another version"],
)
def test_a_description_that_cannot_be_trusted_is_refused(
    systemd: Systemd, version: int, seals: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = held("a")
    content = json.dumps(structure.to_data(resting(one, version))).encode()
    systemd("FDSTORE=1\nFDNAME=probe.a.1\nFDPOLL=0", fds=[*one.fds.values(), sheet(content, seals)])
    assert taken_over(systemd) == {}
    assert systemd.kept == []
    assert why in caplog.text
    one.close()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"version": %d, "loaded": 1}' % manifest.VERSION])
def test_a_description_that_cannot_be_read_is_refused(
    systemd: Systemd, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    systemd("FDSTORE=1\nFDNAME=probe.a.1\nFDPOLL=0", fds=[sheet(content, ALL_SEALS)])
    assert taken_over(systemd) == {}
    assert "cannot be read" in caplog.text


def test_a_description_that_names_an_fd_twice_is_refused(systemd: Systemd) -> None:
    one = held("a")
    rest = resting(one, manifest.VERSION)
    twice = replace(rest, identities=(rest.identities[0],) * 3)
    content = json.dumps(structure.to_data(twice)).encode()
    systemd("FDSTORE=1\nFDNAME=probe.a.1\nFDPOLL=0", fds=[one.fds[FdName("stats")], sheet(content, ALL_SEALS)])
    assert taken_over(systemd) == {}
    one.close()


def test_listening_sockets_have_a_name_of_their_own(systemd: Systemd) -> None:
    store = Store(systemd)
    fd = os.memfd_create("socket")
    store.keep_listeners([fd])
    assert systemd.names() == {LISTENER}
    store.forget_listeners()
    assert systemd.names() == set()
    os.close(fd)


def test_the_start_time_stays_as_long_as_systemd_keeps_it(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (1_700_000_011.5, 1_700_000_013.0, 1_700_000_017.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        store, passed = Store(systemd), systemd.passed()
        assert store.take_over_start(passed) == 1_700_000_011.5
        assert store.take_over(passed) == []
        assert not any(map(is_open, passed))
    assert [name for name, _ in systemd.kept] == ["start"]


def test_a_start_time_that_cannot_be_read_is_replaced(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    systemd("FDSTORE=1\nFDNAME=start\nFDPOLL=0", fds=[sheet(b"yesterday", ALL_SEALS)])
    monkeypatch.setattr(time, "time", lambda: 1_700_000_013.0)
    assert Store(systemd).take_over_start(systemd.passed()) == 1_700_000_013.0
    assert "dropping the start time from systemd's fd store" in caplog.text
    monkeypatch.setattr(time, "time", lambda: 1_700_000_017.0)
    assert Store(systemd).take_over_start(systemd.passed()) == 1_700_000_013.0


def test_without_systemd_nothing_is_kept() -> None:
    one, store = held("a"), Store(None)
    store.keep(one, "")
    store.keep_listeners([])
    store.let_go(one)
    assert not store.keeps
    assert not any(map(is_open, one.fds.values()))
