# SPDX-License-Identifier: Apache-2.0
"""What kernel tests ask for: the types of the fixtures, where their own probes are, and who may do nothing."""

from __future__ import annotations

from pathlib import Path

from support.running_daemon import Start
from support.workload_programs import Install

__all__ = ["NOBODY", "OWN_PROBES", "Install", "Start"]

OWN_PROBES = Path(__file__).parents[1] / "kernel" / "probes"
"""Probes that only tests use."""

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""Runs a command as a user who may do nothing."""
