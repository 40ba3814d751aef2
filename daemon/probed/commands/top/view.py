# SPDX-License-Identifier: Apache-2.0
"""The choices of the user of `probed top`, and the keys that change them. Pure.

`screen` passes each key by name: a character, or a name of curses such as ``KEY_UP``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import Final

from probed.commands.top.tables import TABLES
from probed.frozen import frozen

_INTERRUPT: Final = "\x03"  # Ctrl-C
ENTER: Final = ("\n", "\r", "KEY_ENTER")
ESCAPE: Final = "\x1b"
_BACKSPACE: Final = ("KEY_BACKSPACE", "\x7f", "\b")
_CLEAR: Final = "\x15"  # Ctrl-U

KEYS: Final = (
    ("q", "quit"),
    ("s", "sort the chosen table by the next column"),
    ("r", "reverse the order"),
    ("/ or u", "show units that match a glob; a text without * ? [ matches anywhere in the name; empty for all"),
    ("p or space", "pause, and continue"),
    ("Tab, left, right, 1 to 6", "choose a table"),
    ("Enter or z", "show the chosen table alone, and all tables again"),
    ("up, down, PgUp, PgDn", "scroll the chosen table"),
    ("h or ?", "show the keys, and the tables again"),
)
"""Keys and their effect, for the help."""


@frozen
class Order:
    """Column by which a table is sorted; numbers begin with the highest unless `reverse`."""

    column: int
    reverse: bool = False


def _first_orders() -> tuple[Order, ...]:
    return tuple(Order(table.first_number) for table in TABLES)


@frozen
class View:
    """The choices: the chosen table, alone or not, the order of each table, the filter, and the open dialogue.

    `prompt` is the text of the filter while the user types, None otherwise. `skipped` rows are above the screen.
    """

    table: int = 0
    alone: bool = False
    orders: tuple[Order, ...] = field(default_factory=_first_orders)
    skipped: int = 0
    unit: str = ""
    prompt: str | None = None
    paused: bool = False
    help: bool = False
    ended: bool = False

    @property
    def order(self) -> Order:
        """Order of the chosen table."""
        return self.orders[self.table]


Effect = Callable[[View], View]


def press(view: View, key: str) -> View:
    """Return the view after a key; keys without a meaning change nothing."""
    if view.prompt is not None:
        return _type(view, view.prompt, key)
    effect = _EFFECTS.get(key)
    return effect(view) if effect else view


def bounded(view: View, rows: int) -> View:
    """Return the view with at least one of the chosen table's `rows` on the screen."""
    return replace(view, skipped=max(min(view.skipped, rows - 1), 0))


def _end(view: View) -> View:
    return replace(view, ended=True)


def _help(view: View) -> View:
    return replace(view, help=not view.help)


def _close_help(view: View) -> View:
    return replace(view, help=False)


def _pause(view: View) -> View:
    return replace(view, paused=not view.paused)


def _ask_unit(view: View) -> View:
    return replace(view, prompt="", help=False)


def _alone(view: View) -> View:
    return replace(view, alone=not view.alone, help=False)


def _scroll(rows: int) -> Effect:
    return lambda view: replace(view, skipped=max(0, view.skipped + rows))


def _step(tables: int) -> Effect:
    return lambda view: replace(view, table=(view.table + tables) % len(TABLES), skipped=0)


def _choose(table: int) -> Effect:
    return lambda view: replace(view, table=table, skipped=0)


def _next_column(view: View) -> View:
    return _reorder(view, Order((view.order.column + 1) % len(TABLES[view.table].columns)))


def _turn_around(view: View) -> View:
    return _reorder(view, Order(view.order.column, not view.order.reverse))


def _reorder(view: View, order: Order) -> View:
    orders = (*view.orders[: view.table], order, *view.orders[view.table + 1 :])
    return replace(view, orders=orders, skipped=0)


def _type(view: View, typed: str, key: str) -> View:
    """Edit the text of the filter."""
    if key in ENTER:
        return replace(view, unit=anywhere(typed), prompt=None, skipped=0)
    if key in (ESCAPE, _INTERRUPT):
        return replace(view, prompt=None)
    if key in _BACKSPACE:
        return replace(view, prompt=typed[:-1])
    if key == _CLEAR:
        return replace(view, prompt="")
    return replace(view, prompt=typed + key) if len(key) == 1 and key.isprintable() else view


def anywhere(typed: str) -> str:
    """Return the glob for a typed text: without wildcards the text matches anywhere in a name."""
    text = typed.strip()
    return f"*{text}*" if text and not any(wildcard in text for wildcard in "*?[") else text


_EFFECTS: Final[dict[str, Effect]] = {
    **dict.fromkeys(("q", "Q", _INTERRUPT), _end),
    **dict.fromkeys(("h", "?"), _help),
    **dict.fromkeys(("p", " "), _pause),
    **dict.fromkeys(("/", "u"), _ask_unit),
    **dict.fromkeys(("z", *ENTER), _alone),
    **dict.fromkeys(("KEY_DOWN", "j"), _scroll(1)),
    **dict.fromkeys(("KEY_UP", "k"), _scroll(-1)),
    **dict.fromkeys(("\t", "KEY_RIGHT"), _step(1)),
    **dict.fromkeys(("KEY_BTAB", "KEY_LEFT"), _step(-1)),
    **{str(n + 1): _choose(n) for n in range(len(TABLES))},
    "KEY_NPAGE": _scroll(10),
    "KEY_PPAGE": _scroll(-10),
    ESCAPE: _close_help,
    "s": _next_column,
    "r": _turn_around,
}
