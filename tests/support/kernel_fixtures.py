# SPDX-License-Identifier: Apache-2.0
"""Names that kernel tests share: types of fixtures, the folder of test probes, and an unprivileged user."""

from __future__ import annotations

from pathlib import Path

from support.running_daemon import Start
from support.workload_programs import Install

__all__ = ["EXAMPLES", "NOBODY", "OWN_PROBES", "Install", "Start"]

OWN_PROBES = Path(__file__).parents[1] / "kernel" / "probes"
"""Probes for tests only."""

EXAMPLES = Path(__file__).parents[1] / "kernel" / "examples"
"""Examples of ebpf_exporter as probes."""

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""Runs a command as an unprivileged user."""
