# SPDX-License-Identifier: Apache-2.0
"""Asking a running daemon for one of its pages, as `doctor` and `list --live` do."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from probed.address import Address

SECONDS = 5.0

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to find who listens on all interfaces."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP status and the page; status 0 where something answered that was not HTTP, `text` saying what."""

    status: int
    text: str


def ask(address: Address, path: str) -> Answer | None:
    """Ask for a page; None when nobody listens there."""
    connection = http.client.HTTPConnection(_LOOPBACK.get(address.host, address.host), address.port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace"))
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
