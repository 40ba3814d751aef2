# SPDX-License-Identifier: Apache-2.0
"""`probed doctor`: a report about the machine, the configuration and the running daemon, on one screen.

The command changes nothing, and needs no daemon.
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
    """Print the report; return 1 for a failure, else 0. `address` is the daemon's listen address.

    `http_config_file` has TLS and authentication of the client. Raises DeclarationError for this file alone.
    """
    client = http_config.read(http_config_file)
    report = rules.diagnose(facts.gather(config_file, btf, address, client))
    show(json.dumps(structure.to_data(report), indent=2) if as_json else render(report))
    return 1 if report.status == "failure" else 0
