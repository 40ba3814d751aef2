# SPDX-License-Identifier: Apache-2.0
"""An intruder in the exporter gains nothing: no signal, connection or descriptor leaves, and no damage stays.

The daemon runs as the packaged unit does, with one user for supervisor and exporter.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.faulty_daemon import EXECS, spawn
from support.hostile_daemon import HostileDaemon
from support.processes import open_files, status_of
from support.running_daemon import PATIENCE, site
from support.workload_programs import Install


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileDaemon]:
    """A daemon with the shipped probes, and an intruder in its exporter."""
    with HostileDaemon(tmp_path_factory.mktemp("hostile"), site()) as daemon:
        yield daemon.wait_until_ready()


@pytest.fixture
def target() -> Iterator[socket.socket]:
    """A service that the intruder would like to reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def counts_exactly(daemon: HostileDaemon, install: Install) -> None:
    program = install("exits")
    spawn(install("spawn"), 101, program)
    page = daemon.scrape()
    assert page.total(EXECS, comm=program.name) == 101
    assert page.emitted("process") == page.accounted("process")
    assert page.total("probed_probe_up") == 4


def test_supervisor_and_exporter_have_one_user_as_in_the_unit(hostile: HostileDaemon) -> None:
    assert status_of(hostile.supervisor)["Uid"] == status_of(hostile.exporter)["Uid"]
    assert int(status_of(hostile.exporter)["CapPrm"], 16) == 0


@pytest.mark.parametrize(
    "attack",
    [
        "owner", "owner_alone", "owner_ex", "asynchronous", "owner_by_ioctl", "group_by_ioctl", "terminal_group",
        "kill", "kill_by_pidfd", "queue",
    ],
)  # fmt: skip
def test_no_signal_reaches_the_supervisor(hostile: HostileDaemon, attack: str) -> None:
    assert hostile.attack(attack, str(hostile.supervisor)) == "ENOSYS"
    assert hostile.process.poll() is None


@pytest.mark.parametrize(
    ("attack", "error"),
    [
        ("trace", "ENOSYS"), ("read_memory", "EACCES"), ("execute", "ENOSYS"), ("write_file", "ENOSYS"),
        ("executable_memory", "ENOSYS"),
    ],
)  # fmt: skip
def test_no_memory_file_or_program_is_in_reach(hostile: HostileDaemon, attack: str, error: str) -> None:
    assert hostile.attack(attack, str(hostile.supervisor)) == error


@pytest.mark.parametrize("attack", ["fast_open", "fast_open_by_sendmsg", "connect", "open_socket"])
def test_no_connection_leaves(hostile: HostileDaemon, target: socket.socket, attack: str) -> None:
    assert hostile.attack(attack, str(target.getsockname()[1])) == "ENOSYS"
    with pytest.raises(BlockingIOError):
        target.accept()


@pytest.mark.parametrize("attack", ["stop_listening", "shorten_queue", "linger", "descriptors"])
def test_shared_sockets_stay_as_they_are(hostile: HostileDaemon, attack: str) -> None:
    exporter = hostile.exporter
    assert hostile.attack(attack) == "ENOSYS"
    assert hostile.is_ready()
    assert hostile.exporter == exporter


@pytest.mark.parametrize("attack", ["nested", "failed", "flood", "large_number"])
def test_an_exporter_that_misuses_the_channel_is_replaced(
    hostile: HostileDaemon, install: Install, attack: str
) -> None:
    log = hostile.replaced_by_attack(attack)
    assert log.count("the exporter sent no valid message") == 1
    assert "Traceback" not in log
    counts_exactly(hostile, install)


@pytest.mark.parametrize("word", [2**64 - 1, 2**63, 2**53 + 1, 5, 1])
def test_spoiled_counts_begin_anew(hostile: HostileDaemon, install: Install, word: int) -> None:
    log = hostile.replaced_by_attack("spoil_state", str(word))
    assert "probe 'process': an earlier exporter left spoiled counts" in log
    assert "Traceback" not in log
    counts_exactly(hostile, install)


def test_memory_behind_the_counts_is_given_back(hostile: HostileDaemon, install: Install) -> None:
    hostile.replaced_by_attack("enlarge_state")
    sizes = [fd.stat().st_size for fd in _states(hostile.supervisor)]
    assert sizes
    assert max(sizes) < 1 << 40
    counts_exactly(hostile, install)


def _states(supervisor: int) -> list[Path]:
    files = open_files(supervisor)
    return [Path(f"/proc/{supervisor}/fd/{fd}") for fd, name in files.items() if name.startswith("/memfd:probed-state")]


@pytest.mark.parametrize("offset", [8, 2**63, -(2**40)])
def test_a_spoiled_consumer_position_does_not_fill_the_ring_for_ever(
    hostile: HostileDaemon, install: Install, offset: int
) -> None:
    log = hostile.replaced_by_attack("spoil_consumer", str(offset))
    assert "probe 'process': an earlier exporter left spoiled counts" in log
    assert "Traceback" not in log
    counts_exactly(hostile, install)


def test_a_consumer_position_within_a_record_does_not_hold_up_the_ring(
    hostile: HostileDaemon, install: Install
) -> None:
    """The last commit has the right position, unless events came since."""
    log = hostile.replaced_by_attack("spoil_consumer", "-8")
    assert "Traceback" not in log
    counts_exactly(hostile, install)


def test_an_exporter_that_talks_on_at_stop_is_killed(tmp_path: Path) -> None:
    with HostileDaemon(tmp_path, site({"process": None})) as daemon:
        daemon.wait_until_ready().attack("talk_on")
        daemon.process.terminate()
        assert daemon.process.wait(PATIENCE) == 1
        assert "the exporter had to be killed after" in daemon.log()
