# SPDX-License-Identifier: Apache-2.0
"""The options of `probed run` in the man page, made from the parser.

``python -m probed.commands.option_docs packaging/man/probed.8`` writes them, between two markers. `make schema` runs
the command; a test says when the page is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from probed.__main__ import command_parser
from probed.commands.generated_text import renewed, roff, roff_lines

SUBJECT: Final = "options of run"

COMMON: Final = {"--help", "--config.file", "--kernel.btf"}
"""Options of several commands, which the page describes by itself."""


def man() -> Iterator[str]:
    """Yield the lines of the list, in roff. Source: man(7)."""
    for action in _commands()["run"]._actions:
        name = action.option_strings[-1]
        if name in COMMON:
            continue
        yield ".TP"
        yield f'.BI {roff(name)} " {action.metavar}"' if action.metavar else f".B {roff(name)}"
        yield from roff_lines((action.help or "") % {"choices": ", ".join(map(str, action.choices or ()))})


def _commands() -> dict[str, argparse.ArgumentParser]:
    actions = command_parser()._actions
    return next(dict(action.choices) for action in actions if isinstance(action, argparse._SubParsersAction))


def main(arguments: Sequence[str]) -> int:
    """Renew the list in the man page that the one argument names."""
    (page,) = map(Path, arguments)
    page.write_text(renewed(page.read_text(), SUBJECT, man()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
