# SPDX-License-Identifier: Apache-2.0
"""The JSON schemas in config/schema: for editors of the YAML files and for readers of `doctor --json`.

``python -m probed.commands.json_schemas config/schema`` writes the files. The developer runs the command after a change
of the dataclasses; a test fails while a file is stale. The daemon does not use the schemas.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from probed.commands.doctor.report import Report
from probed.config.declaration.probe import Probe
from probed.config.site import Site
from probed.schema.json_schema import schema


def schemas() -> dict[str, str]:
    """Make the text of every schema file, by file name."""
    made = {
        "probe.schema.json": schema(Probe, "A probe declaration of probed"),
        "doctor.schema.json": schema(Report, "What 'probed doctor --json' prints"),
        "site.schema.json": schema(Site, "The site configuration of probed"),
    }
    return {name: json.dumps(data, indent=2, ensure_ascii=False) + "\n" for name, data in made.items()}


def main(arguments: Sequence[str]) -> int:
    """Write the schema files into the directory in the one argument."""
    (directory,) = arguments
    for name, text in schemas().items():
        Path(directory, name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
