# SPDX-License-Identifier: Apache-2.0
"""The tables of decoders in documents, made from `config.decoders`.

``python -m probed.commands.decoder_docs probes/README.md packaging/man/probed-probe.5`` writes them, between the lines
that begin and end with the markers. `make schema` runs it; a test says when a table is stale.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from probed.config.decoders import DECODERS

BEGIN: Final = "decoders: made by make schema"
END: Final = "end of the decoders"

WIDTH: Final = 120
"""Most characters in a line of a man page's source."""


def markdown() -> Iterator[str]:
    """Yield the lines of the table for a README."""
    yield "| decoder | input | label text |"
    yield "|---|---|---|"
    for name, decoder in DECODERS.items():
        argument = f" with `{decoder.argument}`" if decoder.argument else ""
        yield f"| `{name}`{argument} | {decoder.field} | {decoder.makes} |"


def man() -> Iterator[str]:
    """Yield the lines of the list for a man page, in roff. Source: man(7)."""
    for name, decoder in DECODERS.items():
        yield ".TP"
        yield f".B {name}"
        argument = f" With `{decoder.argument}`." if decoder.argument else ""
        text = f"{decoder.field[0].upper()}{decoder.field[1:]}: {decoder.makes}.{argument}"
        yield from textwrap.wrap(_roff(text), WIDTH, break_long_words=False, break_on_hyphens=False)


def _roff(text: str) -> str:
    escaped = text.replace("\\", r"\(rs").replace("-", r"\-")
    return re.sub("`([^`]*)`", r"\\fB\1\\fR", escaped)


def renewed(text: str, lines: Iterator[str]) -> str:
    """Return a document with these lines between its two markers."""
    before, begin, rest = re.split(f"^(.*{BEGIN}.*\n)", text, maxsplit=1, flags=re.MULTILINE)
    _, end, after = re.split(f"^(.*{END}.*\n)", rest, maxsplit=1, flags=re.MULTILINE)
    return "".join([before, begin, *(f"{line}\n" for line in lines), end, after])


def main(arguments: Sequence[str]) -> int:
    """Renew the tables in the files that the arguments name: Markdown, else a man page."""
    for name in arguments:
        path = Path(name)
        path.write_text(renewed(path.read_text(), markdown() if path.suffix == ".md" else man()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
