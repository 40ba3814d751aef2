# SPDX-License-Identifier: Apache-2.0
"""Draws a session on the terminal and reads keys, with curses. Decision 0035 has the reasons for curses."""

from __future__ import annotations

import curses
import locale
import os
import select
import signal
import sys
from contextlib import suppress
from types import FrameType

from probed.commands.top.layout import Line, Style, Terminal
from probed.commands.top.session import Session
from probed.errors import HostError

KEY_SECONDS = 0.1
"""Longest wait for a key between two looks at the poller and at the size of the terminal."""
ESCAPE_MILLISECONDS = 50
"""Time in which the rest of a key's escape sequence follows; curses waits a second for the key Esc by default."""
DEAD = 10
"""Times that a readable terminal gives no key, one after another, before the terminal counts as gone."""


def run(session: Session) -> None:
    """Show a session until the user ends it. Raises HostError without a usable terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise HostError("standard input and output are no terminal; use --once")
    with suppress(locale.Error):  # this machine lacks the locale of the environment: curses then writes ASCII
        locale.setlocale(locale.LC_ALL, "")
    for fixed in ("COLUMNS", "LINES"):  # with these, curses follows no change of the terminal's size
        os.environ.pop(fixed, None)
    try:
        curses.setupterm()
    except curses.error as error:
        raise HostError(f"curses cannot use this terminal ({error}); set TERM, or use --once") from error
    if not curses.tigetstr("cup"):
        raise HostError("this terminal cannot place the cursor; set TERM, or use --once")
    signal.signal(signal.SIGTERM, _end)
    curses.set_escdelay(ESCAPE_MILLISECONDS)
    with suppress(KeyboardInterrupt):
        curses.wrapper(lambda window: _Screen(window, session).run())


def _end(number: int, _: FrameType | None) -> None:
    """Let curses restore the terminal before the end by a signal."""
    sys.exit(128 + number)


class _Screen:
    """The loop of the command: takes pages and keys, draws."""

    def __init__(self, window: curses.window, session: Session) -> None:
        self._window, self._session = window, session
        self._dead = 0
        self._styles = _styles()
        window.nodelay(True)
        with suppress(curses.error):  # this terminal cannot hide the cursor
            curses.curs_set(0)

    def run(self) -> None:
        """Draw until the user ends the command, or the terminal is gone."""
        changed = True
        while not self._session.view.ended and self._dead < DEAD:
            changed = self._session.poll() or changed
            if changed:
                self._draw()
            changed = self._take_keys()

    def _take_keys(self) -> bool:
        """Wait for keys and obey them; return whether there was one."""
        readable, _, _ = select.select([sys.stdin], [], [], KEY_SECONDS)
        key = self._key()
        self._dead = self._dead + 1 if readable and not key else 0
        found = bool(key)
        while key:
            self._session.press(key)
            key = self._key()
        return found

    def _key(self) -> str:
        """Return the next key by name, "" without one; a new size of the terminal is the key KEY_RESIZE."""
        try:
            key = self._window.get_wch()
        except curses.error:
            return ""
        return key if isinstance(key, str) else curses.keyname(key).decode()

    def _draw(self) -> None:
        height, width = self._window.getmaxyx()
        self._window.erase()
        terminal = Terminal(width, height, self._window.encoding)
        for y, line in enumerate(self._session.lines(terminal)):
            self._draw_line(y, line)
        self._window.refresh()

    def _draw_line(self, y: int, line: Line) -> None:
        # curses fails after the last cell of the screen, and, when the terminal has shrunk, until KEY_RESIZE.
        with suppress(curses.error):
            self._window.move(y, 0)
            for text, style in line:
                self._window.addstr(text, self._styles[style])


def _styles() -> dict[Style, int]:
    """Return the attributes of curses for each style; colours where the terminal has them."""
    yellow = red = cyan = 0
    if curses.has_colors():
        curses.use_default_colors()
        for pair, colour in enumerate((curses.COLOR_YELLOW, curses.COLOR_RED, curses.COLOR_CYAN), 1):
            curses.init_pair(pair, colour, -1)
        yellow, red, cyan = (curses.color_pair(pair) for pair in (1, 2, 3))
    return {
        "plain": curses.A_NORMAL,
        "bold": curses.A_BOLD,
        "faint": curses.A_DIM,
        "head": curses.A_REVERSE,
        "chosen": curses.A_REVERSE | cyan,
        "sorted": curses.A_BOLD | yellow,
        "warning": curses.A_BOLD | red,
    }
