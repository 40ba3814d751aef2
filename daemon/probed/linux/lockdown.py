# SPDX-License-Identifier: Apache-2.0
"""Whether the kernel is locked down, as it is with secure boot on many machines. The loader and `doctor` ask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

Mode = Literal["none", "integrity", "confidentiality"]


def mode(root: Path = Path("/")) -> Mode | None:
    """Return the kernel's lockdown mode; None where it has none, or hides it.

    Source: kernel_lockdown(7); Linux security/lockdown/lockdown.c writes ``none [integrity] confidentiality``.
    """
    try:
        text = (root / "sys/kernel/security/lockdown").read_text()
    except OSError:
        return None
    found = re.search(r"\[(none|integrity|confidentiality)\]", text)
    return found[1] if found else None  # type: ignore[return-value]
