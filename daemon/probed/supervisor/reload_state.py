# SPDX-License-Identifier: Apache-2.0
"""State of reloads: the last result, whether a reload is under way, and whether a client waits.

The supervisor's loop reports every step; this module loads nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from probed.log import MessageId
from probed.supervisor.systemd.notify import Notifier

LOG = logging.getLogger("supervisor")


class Reloads:
    """The start counts as a reload that succeeded."""

    def __init__(self, notices: Notifier, tell: Callable[[str], None]) -> None:
        """`tell` gets the faults of a reload by HTTP, "" without a fault."""
        self._notices = notices
        self._tell = tell
        self._asked = False
        self._faults: list[str] = []
        self.under_way = False
        self.successful, self.success_time = True, time.time()

    def ask(self) -> None:
        """Note that a client asked for a reload by HTTP, and waits for the result."""
        self._asked = True

    def begin(self) -> None:
        """Begin a reload: forget the faults of the last one."""
        self.under_way = True
        self._faults = []
        self._notices.reloading()

    def accept(self) -> None:
        """Note that the files can be used; probes may still fail."""
        self.successful, self.success_time = True, time.time()

    def refuse(self, text: str) -> None:
        """Note and log that the files cannot be used."""
        self.fail(text)
        self.under_way = False
        extra = {"MESSAGE_ID": MessageId.RELOAD_REFUSED}
        LOG.error("reload refused, the daemon runs on unchanged:\n%s", text, extra=extra)

    def fail(self, text: str) -> None:
        """Note a fault of this reload."""
        self.successful = False
        self._faults.append(text)

    def end(self) -> None:
        """Note that the loader is done."""
        self.under_way = False

    def answer(self, more: Sequence[str]) -> None:
        """Tell a waiting client all faults, with those in `more`."""
        if self._asked:
            self._asked = False
            self._tell("\n".join([*self._faults, *more]))
