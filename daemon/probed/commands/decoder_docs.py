# SPDX-License-Identifier: Apache-2.0
"""The tables of decoders in documents, made from `config.declaration.decoders`.

``python -m probed.commands.decoder_docs probes/README.md packaging/man/probed-probe.5`` writes them, between the lines
that begin and end with the markers. `make schema` runs it; a test says when a table is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from probed.commands.generated_text import renewed, roff_lines
from probed.config.declaration.columns import OF_COLUMNS
from probed.config.declaration.decoders import DECODERS, Decoder

TABLES: Final[Mapping[str, Mapping[str, Decoder]]] = {
    "decoders": {str(name): decoder for name, decoder in DECODERS.items()},
    "column decoders": OF_COLUMNS,
}
"""The tables by the subject that their markers name."""


def markdown(decoders: Mapping[str, Decoder]) -> Iterator[str]:
    """Yield the lines of a table for a README."""
    yield "| decoder | input | text |"
    yield "|---|---|---|"
    for name, decoder in decoders.items():
        argument = f" with `{decoder.argument}`" if decoder.argument else ""
        yield f"| `{name}`{argument} | {decoder.field} | {decoder.makes} |"


def man(decoders: Mapping[str, Decoder]) -> Iterator[str]:
    """Yield the lines of a list for a man page, in roff. Source: man(7)."""
    for name, decoder in decoders.items():
        yield ".TP"
        yield f".B {name}"
        argument = f" With `{decoder.argument}`." if decoder.argument else ""
        text = f"{decoder.field[0].upper()}{decoder.field[1:]}: {decoder.makes}.{argument}"
        yield from roff_lines(text)


def with_tables(text: str, *, is_markdown: bool) -> str:
    """Return a document with both tables renewed."""
    for subject, decoders in TABLES.items():
        text = renewed(text, subject, markdown(decoders) if is_markdown else man(decoders))
    return text


def main(arguments: Sequence[str]) -> int:
    """Renew the tables in the files that the arguments name: Markdown, else a man page."""
    for name in arguments:
        path = Path(name)
        path.write_text(with_tables(path.read_text(), is_markdown=path.suffix == ".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
