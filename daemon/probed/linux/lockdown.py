# SPDX-License-Identifier: Apache-2.0
"""Lockdown mode of the kernel, which many machines with secure boot have. The loader and `doctor` ask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

Mode = Literal["none", "integrity", "confidentiality"]


def mode(root: Path = Path("/")) -> Mode | None:
    """Return the kernel's lockdown mode; None where the kernel has or shows none.

    Source: kernel_lockdown(7); Linux security/lockdown/lockdown.c writes ``none [integrity] confidentiality``.
    """
    try:
        text = (root / "sys/kernel/security/lockdown").read_text()
    except OSError:
        return None
    found = re.search(r"\[(none|integrity|confidentiality)\]", text)
    return found[1] if found else None  # type: ignore[return-value]
