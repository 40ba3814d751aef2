# SPDX-License-Identifier: Apache-2.0
"""``python -m boards FOLDER``: write every dashboard into a folder as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from boards import further_probes, itself, open_failures, process_storms, system_calls
from boards.frame import build


def files() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each dashboard's file."""
    boards = [module.board() for module in (process_storms, open_failures, system_calls, further_probes, itself)]
    for board in boards:
        made = build(board, [other for other in boards if other is not board])
        yield f"{board.uid}.json", json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main(folder: Path) -> None:
    """Write all dashboards. Files of removed dashboards stay: a test finds them."""
    for name, text in files():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
