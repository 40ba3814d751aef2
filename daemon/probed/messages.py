# SPDX-License-Identifier: Apache-2.0
"""The MESSAGE_ID of the log lines that a machine may wait for: `journalctl MESSAGE_ID=…`. Pure.

Once given they stay. packaging/README.md lists them for who writes alerts. Source: systemd.journal-fields(7).
"""

from __future__ import annotations

from typing import Final

STARTED: Final = "4a219fd17a474472ba5f30e0a3114051"
RELOADED: Final = "c4f6535cc69b4de0ba59b16fa971bc7f"
RELOAD_REFUSED: Final = "e804c4c7771843d5a1537c36b5e1dbae"
PROBE_FAILED: Final = "bf3c626e691e455796e3f2b16f0f1af7"
EVENTS_LOST: Final = "b6cfb4c660d64b969e17ab57f46e94fe"
