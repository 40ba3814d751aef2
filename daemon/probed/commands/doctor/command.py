# SPDX-License-Identifier: Apache-2.0
"""`probed doctor`: what there is to know about this machine and probed on it, on one screen.

Nothing is changed, and no daemon is needed.
"""

from __future__ import annotations

import json

from probed.client import http_config
from probed.commands.doctor import facts, rules
from probed.commands.doctor.report import render
from probed.schema import structure
from probed.terminal import show
from probed.webconfig.listen_address import Address


def run(config_file: str, btf: str, address: Address | None, http_config_file: str | None, as_json: bool) -> int:
    """Print what was found; return 1 when anything is a failure, else 0. `address` is where the daemon listens.

    `http_config_file` says who asks it. Raises DeclarationError for that file alone.
    """
    client = http_config.read(http_config_file)
    report = rules.diagnose(facts.gather(config_file, btf, address, client))
    show(json.dumps(structure.to_data(report), indent=2) if as_json else render(report))
    return 1 if report.status == "failure" else 0
