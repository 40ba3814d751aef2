# SPDX-License-Identifier: Apache-2.0
"""Finds the users of the processes that listen on a local TCP port.

Any user can take an unprivileged port while the daemon does not run, so a password goes over plain HTTP only to a
socket of root, of probed's user, or of the user of the client.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from probed.linux.privilege import user_name

_LISTEN = "0A"
"""TCP_LISTEN of Linux include/net/tcp_states.h."""

DAEMON_USER = "probed"


def foreign_owner(connected: socket.socket, root: Path = Path("/")) -> str | None:
    """Return the name of a listening user without right to a password.

    None for a port of another machine, and where all listening sockets belong to trusted users.
    """
    host, port = connected.getpeername()[:2]
    if not _is_local(connected.family, host):
        return None
    foreign = set(_listening_users(port, root)) - _trusted_users()
    return user_name(min(foreign)) if foreign else None


def _is_local(family: int, host: str) -> bool:
    """Return whether an address is of this machine: sockets can be bound to no other."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def _trusted_users() -> set[int]:
    trusted = {0, os.geteuid()}
    with suppress(KeyError):  # a machine without the package has no such user
        trusted.add(pwd.getpwnam(DAEMON_USER).pw_uid)
    return trusted


def _listening_users(port: int, root: Path) -> Iterator[int]:
    """Yield the user of each listening socket with this port. Source: proc_pid_net(5), tcp and tcp6."""
    for name in ("tcp", "tcp6"):
        try:
            rows = (root / "proc/self/net" / name).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for _, local, _, state, _, _, _, uid, *_ in map(str.split, rows):
            if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
                yield int(uid)
