# SPDX-License-Identifier: Apache-2.0
"""The tables of decoders in documents, made from `config.decoders`.

``python -m probed.commands.decoder_docs probes/README.md packaging/man/probed-probe.5`` writes them, between the lines
that begin and end with the markers. `make schema` runs it; a test says when a table is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from probed.commands.generated_text import renewed, roff_lines
from probed.config.decoders import DECODERS

SUBJECT: Final = "decoders"


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
        yield from roff_lines(text)


def main(arguments: Sequence[str]) -> int:
    """Renew the tables in the files that the arguments name: Markdown, else a man page."""
    for name in arguments:
        path = Path(name)
        path.write_text(renewed(path.read_text(), SUBJECT, markdown() if path.suffix == ".md" else man()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
