# SPDX-License-Identifier: Apache-2.0
"""Messages that no process of ours would send."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from probed.ipc.channel import Channel


def send_raw(channel: Channel[Any, Any], kind: object, data: object, fds: Sequence[int] = ()) -> None:
    """Send a message of any kind with any data."""
    send_packet(channel, json.dumps({"kind": kind, "data": data}).encode(), fds)


def send_packet(channel: Channel[Any, Any], body: bytes, fds: Sequence[int] = ()) -> None:
    """Send any bytes."""
    with socket.socket(fileno=os.dup(channel.fileno())) as end:
        socket.send_fds(end, [body], list(fds))
