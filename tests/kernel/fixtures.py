# SPDX-License-Identifier: Apache-2.0
"""What the fixtures of conftest.py give, as types for the tests that ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from daemon import Daemon

OWN_PROBES = Path(__file__).parent / "probes"
"""Probes that only tests use."""

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""Runs a command as a user who may do nothing."""

Install = Callable[[str], Path]
"""Takes a workload's name, returns a program of that kind whose comm nobody else has."""


class Start(Protocol):
    """Starts a daemon of the test's own, by default with the shipped probes; it is ready when returned."""

    def __call__(self, configuration: Mapping[str, Any] | None = None, **variables: str) -> Daemon: ...
