# SPDX-License-Identifier: Apache-2.0
"""Reloads: how the last one went, whether one is under way, and whether somebody waits to hear how it ends.

`daemon` tells it what happens. It loads nothing, and knows of the web configuration only what it is told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from probed.log import MessageId
from probed.supervisor.systemd.notify import Notices

LOG = logging.getLogger("supervisor")


class Reloads:
    """The start counts as a reload that succeeded."""

    def __init__(self, notices: Notices, tell: Callable[[str], None]) -> None:
        """`tell` takes what was wrong with a reload that was asked for by HTTP, "" for nothing."""
        self._notices = notices
        self._tell = tell
        self._asked = False
        self._faults: list[str] = []
        self.under_way = False
        self.successful, self.success_time = True, time.time()

    def ask(self) -> None:
        """Remember that somebody asked by HTTP, who will want to know."""
        self._asked = True

    def begin(self) -> None:
        """Forget how the last one went: the files are about to be read."""
        self.under_way = True
        self._faults = []
        self._notices.reloading()

    def accept(self) -> None:
        """Note that the files can be used; how each probe fares is another matter."""
        self.successful, self.success_time = True, time.time()

    def refuse(self, text: str) -> None:
        """Note that the files cannot be used, and say so."""
        self.fail(text)
        self.under_way = False
        extra = {"MESSAGE_ID": MessageId.RELOAD_REFUSED}
        LOG.error("reload refused, everything runs on as before:\n%s", text, extra=extra)

    def fail(self, text: str) -> None:
        """Note what did not come up, or not as it should."""
        self.successful = False
        self._faults.append(text)

    def end(self) -> None:
        """Note that nothing is left to be loaded."""
        self.under_way = False

    def answer(self, more: Sequence[str]) -> None:
        """Tell how it ended, if somebody asked; `more` is what is wrong besides."""
        if self._asked:
            self._asked = False
            self._tell("\n".join([*self._faults, *more]))
