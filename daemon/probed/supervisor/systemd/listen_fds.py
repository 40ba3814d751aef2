# SPDX-License-Identifier: Apache-2.0
"""The fds that systemd passes at the start: sockets of a .socket unit, and the content of the fd store.

Source: sd_listen_fds_with_names(3).
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import field

from probed.errors import HostError
from probed.frozen import frozen
from probed.supervisor.systemd.fdstore import LISTENER


@frozen
class InheritedFds:
    """Fds that this process owns: `kept` sockets of an earlier probed, `activated` ones of a .socket unit, `others`."""

    kept: list[socket.socket] = field(default_factory=list)
    activated: list[socket.socket] = field(default_factory=list)
    others: dict[int, str] = field(default_factory=dict)


def receive() -> InheritedFds:
    """Take the fds that systemd passed, if any. Raises HostError without python3-systemd."""
    if "LISTEN_FDS" not in os.environ:
        return InheritedFds()
    try:
        from systemd import daemon
    except ImportError as error:
        raise HostError("systemd passes fds, which needs python3-systemd: install it") from error
    return sort(daemon.listen_fds_with_names())


def sort(fds: Mapping[int, str]) -> InheritedFds:
    """Sort fds by kind and name."""
    passed = InheritedFds()
    for fd, name in fds.items():
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            passed.others[fd] = name
        elif name == LISTENER:
            passed.kept.append(socket.socket(fileno=fd))
        else:
            passed.activated.append(socket.socket(fileno=fd))
    return passed
