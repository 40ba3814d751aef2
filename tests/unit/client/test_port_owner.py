# SPDX-License-Identifier: Apache-2.0
"""Users of listening sockets, from tables of /proc/net as the kernel writes them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from probed.client import port_owner
from probed.client.port_owner import foreign_owner

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   {n}: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5d}        0 12345 1 0 100\n"


class Connected(socket.socket):
    """A connection from `source` to port 9788 of `target`."""

    target, source = "127.0.0.1", "127.0.0.1"

    def getpeername(self) -> tuple[str, int]:
        return self.target, 9788

    def getsockname(self) -> tuple[str, int]:
        return self.source, 40000


def table(root: Path, name: str, *rows: tuple[str, str, int]) -> None:
    folder = root / "proc/self/net"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [ROW.format(n=n, local=local, state=state, uid=uid) for n, (local, state, uid) in enumerate(rows)]
    (folder / name).write_text(HEAD + "".join(lines))


@pytest.mark.parametrize(
    ("local", "state", "uid", "foreign"),
    [
        ("0100007F:263C", "0A", 0, False),
        ("0100007F:263C", "0A", os.geteuid(), False),
        ("0100007F:263C", "0A", 1234567, True),
        ("00000000:263C", "0A", 1234567, True),
        ("0100007F:263C", "01", 1234567, False),
        ("0100007F:263D", "0A", 1234567, False),
    ],
)
def test_a_listening_socket_of_another_user_is_foreign(
    tmp_path: Path, local: str, state: str, uid: int, foreign: bool
) -> None:
    for name in ("tcp", "tcp6"):
        root = tmp_path / name
        table(root, name, ("0100007F:0016", "0A", 7654321), (local, state, uid))
        with Connected() as connected:
            assert foreign_owner(connected, root) == ("1234567" if foreign else None)


def test_the_user_of_the_daemon_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_owner, "DAEMON_USER", "nobody")
    table(tmp_path, "tcp", ("0100007F:263C", "0A", 65534))
    with Connected() as connected:
        assert foreign_owner(connected, tmp_path) is None


def test_another_machine_is_not_asked_for_its_users(tmp_path: Path) -> None:
    table(tmp_path, "tcp", ("0100007F:263C", "0A", 1234567))
    with Connected() as connected:
        connected.target, connected.source = "192.0.2.1", "192.0.2.2"
        assert foreign_owner(connected, tmp_path) is None


def test_any_address_of_this_machine_is_asked_for_its_users(tmp_path: Path) -> None:
    table(tmp_path, "tcp", ("0200007F:263C", "0A", 1234567))
    with Connected() as connected:
        connected.target, connected.source = "127.0.0.2", "127.0.0.1"
        assert foreign_owner(connected, tmp_path) == "1234567"


def test_a_real_socket_of_ours_is_trusted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as made:
        assert foreign_owner(made) is None
