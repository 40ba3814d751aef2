# SPDX-License-Identifier: Apache-2.0
"""Draws screens of `probed top` as SVG, from pages of a storm: ``make pictures``.

The screens are the lines that the command writes to a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from probed.commands.top.activity import activity
from probed.commands.top.layout import Line, PollStatus, Style, Terminal, render
from probed.commands.top.readings import PageParser
from probed.commands.top.view import View
from support.top.pages import START
from support.top.storm import storm

SIZES: Final = ((80, 24), (200, 60))
"""Columns and lines of the pictures."""

_CELL: Final = (8.4, 18)
_FONT: Final = 14
_BASELINE: Final = 13
_MARGIN: Final = 8
_PAPER: Final = "#111217"
_COLOURS: Final[dict[Style, tuple[str, str]]] = {
    "plain": ("#d5d6de", ""),
    "bold": ("#ffffff", ""),
    "faint": ("#8e909c", ""),
    "head": ("#111217", "#d5d6de"),
    "chosen": ("#111217", "#5bc8d8"),
    "sorted": ("#f2cc0c", ""),
    "warning": ("#ff6b6b", ""),
}
"""Colours of text and background."""


def screen(width: int, height: int) -> list[Line]:
    """Return the screen that compares two pages of a storm, half a second apart."""
    parser = PageParser()
    before, after = (parser.parse(storm(seconds), START + seconds, seconds) for seconds in (100.0, 100.5))
    status = PollStatus("127.0.0.1:9788", 0.5, "03:11:52")
    return render(activity(before, after), View(), status, Terminal(width, height))


def draw(lines: Sequence[Line], width: int, height: int) -> str:
    """Return a picture of a screen."""
    across, down = width * _CELL[0] + 2 * _MARGIN, height * _CELL[1] + 2 * _MARGIN
    body = "\n".join(part for number, line in enumerate(lines) for part in _parts(line, number))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across:.0f}" height="{down:.0f}" '
        f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{_FONT}" '
        'shape-rendering="crispEdges">\n'
        f'<rect width="100%" height="100%" rx="6" fill="{_PAPER}"/>\n{body}\n</svg>\n'
    )


def _parts(line: Line, number: int) -> Iterator[str]:
    x, y = float(_MARGIN), _MARGIN + number * _CELL[1]
    for text, style in line:
        colour, background = _COLOURS[style]
        wide = len(text) * _CELL[0]
        if background:
            yield f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{_CELL[1]}" fill="{background}"/>'
        if text.strip():
            yield (
                f'<text x="{x:.1f}" y="{y + _BASELINE}" textLength="{wide:.1f}" fill="{colour}" xml:space="preserve">'
                f"{escape(text)}</text>"
            )
        x += wide


def main(folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in SIZES:
        picture = draw(screen(width, height), width, height)
        (folder / f"top-{width}x{height}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
