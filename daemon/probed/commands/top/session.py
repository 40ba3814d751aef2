# SPDX-License-Identifier: Apache-2.0
"""State of a running `probed top`: the last two pages, the user's view, and the connection to the daemon.

`screen` passes keys on and draws the lines. A daemon that goes away leaves the last figures on the screen.
"""

from __future__ import annotations

import time

from probed.commands.top.activity import Activity, activity
from probed.commands.top.layout import Line, PollStatus, Terminal, render
from probed.commands.top.poller import Poller
from probed.commands.top.readings import Reading
from probed.commands.top.view import View, bounded, press
from probed.errors import HostError


class Session:
    """Compares each page with the page before; while paused, keeps the compared pages."""

    def __init__(self, poller: Poller, address: str, interval: float, unit: str) -> None:
        self.view = View(unit=unit)
        self._poller = poller
        self._address, self._interval = address, interval
        self._pages: tuple[Reading, ...] = ()
        self._shown: tuple[Reading, ...] = ()
        self._activity: Activity | None = None
        self._fault = ""

    def poll(self) -> bool:
        """Take the next page where one has come; return whether the screen changes."""
        try:
            page = self._poller.poll()
        except HostError as error:
            self._fault = str(error)
            return True
        if page is not None:
            self.take(page)
        return page is not None

    def take(self, page: Reading) -> None:
        """Compare a page with the page before."""
        self._pages, self._fault = (*self._pages[-1:], page), ""
        self._compare()

    def press(self, key: str) -> None:
        """Obey a key."""
        before, self.view = self.view, press(self.view, key)
        if self.view.unit != before.unit or before.paused > self.view.paused:
            self._compare()
        if self._activity:
            self.view = bounded(self.view, len(self._activity.tables[self.view.table].rows))

    def _compare(self) -> None:
        if not self.view.paused:
            self._shown = self._pages
        if len(self._shown) == 2:
            self._activity = activity(*self._shown, self.view.unit)

    def lines(self, terminal: Terminal) -> list[Line]:
        """Return the lines of the screen."""
        silent = time.monotonic() - self._pages[-1].moment if self._pages else 0.0
        clock = time.strftime("%H:%M:%S")
        return render(
            self._activity, self.view, PollStatus(self._address, self._interval, clock, self._fault, silent), terminal
        )
