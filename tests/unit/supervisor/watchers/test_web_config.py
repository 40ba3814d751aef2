# SPDX-License-Identifier: Apache-2.0
"""The web configuration in the supervisor: read by a real loader, watched, handed on, and never looked into."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from probed.errors import ConfigurationError
from probed.supervisor.watchers import web_config
from probed.supervisor.watchers.web_config import WebConfigWatcher
from support.certificates import Authority
from support.running_daemon import until

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
USERS = f"basic_auth_users: {{alice: {HASH}}}\n"
TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"


class Watched:
    """A configuration, and the settings that the watcher passed on."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.told: list[bytes] = []
        path.write_text(text)
        self.web = WebConfigWatcher(str(path), lambda fd: self.told.append(os.pread(fd, 1 << 16, 0)))

    def turn(self) -> bool:
        """Act as the supervisor's loop; return whether the status has changed."""
        if self.web.reading:
            ready = select.select([self.web], [], [], 0.05)[0]
            return self.web.on_answer() if ready else self.web.on_clock(time.monotonic())
        time.sleep(0.01)
        return self.web.on_clock(time.monotonic())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_config, "PERIOD", 0.02)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "web.yaml", USERS)
    yield made
    made.web.close()


def test_a_wrong_file_at_the_start_is_an_error_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Watched(tmp_path / "web.yaml", "basic_auth_users: {alice: secret}\n")
    assert str(caught.value).startswith(f"{tmp_path}/web.yaml:1: basic_auth_users.alice: ")


def test_what_was_read_is_there_for_every_exporter(watched: Watched) -> None:
    assert HASH.encode() in os.pread(watched.web.fd, 1 << 16, 0)
    assert (watched.web.summary.tls, watched.web.summary.users, watched.web.status().successful) == (False, 1, True)


def test_a_changed_file_is_read_again_and_told(watched: Watched) -> None:
    watched.path.write_text(USERS.replace("alice", "bob"))
    until(watched.turn, "it was read again")
    assert (b"bob" in watched.told[0], len(watched.told)) == (True, 1)
    assert os.pread(watched.web.fd, 1 << 16, 0) == watched.told[0]


def test_a_broken_file_leaves_the_old_in_force_until_it_is_mended(watched: Watched) -> None:
    before = os.pread(watched.web.fd, 1 << 16, 0)
    watched.path.write_text("basic_auth_users: 7\n")
    until(watched.turn, "it was read again")
    assert (watched.web.status().successful, watched.told) == (False, [])
    assert os.pread(watched.web.fd, 1 << 16, 0) == before
    watched.path.write_text(USERS)
    until(watched.turn, "it was read once more")
    assert (watched.web.status().successful, watched.told) == (True, [before])


def test_a_file_that_goes_away_is_told_and_taken_when_it_comes_back(watched: Watched) -> None:
    watched.path.unlink()
    until(watched.turn, "it was missed")
    assert "No such file" in watched.web.fault
    watched.path.write_text(USERS)
    until(watched.turn, "it was read once more")
    assert watched.web.fault == ""


def test_a_file_that_stays_as_it_is_is_not_read_again(watched: Watched) -> None:
    assert not any(watched.turn() or watched.web.reading for _ in range(20))


def test_a_certificate_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.sign("server", "DNS:localhost")
    watched = Watched(tmp_path / "web.yaml", TLS)
    newer = authority.sign("newer", "DNS:localhost")
    newer.certificate.rename(tmp_path / "server.pem")
    newer.key.rename(tmp_path / "server.key")
    until(watched.turn, "it was read again")
    assert watched.web.fault == ""
    assert len(watched.told) == 1
    watched.web.close()


def test_tls_is_not_switched_off_while_it_runs(tmp_path: Path) -> None:
    Authority(tmp_path).sign("server", "DNS:localhost")
    watched = Watched(tmp_path / "web.yaml", TLS)
    watched.path.write_text(USERS)
    until(watched.turn, "it was read again")
    assert "TLS cannot be switched on or off" in watched.web.fault
    assert (watched.web.summary.tls, watched.told) == (True, [])
    watched.web.close()
