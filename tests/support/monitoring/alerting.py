# SPDX-License-Identifier: Apache-2.0
"""Prometheus and Alertmanager with the shipped files and shortened durations, and a recording webhook.

All listen on the loopback of one network namespace (`netns`). The files differ from the shipped ones in the durations,
which `shortened_durations` divides, in the scrape targets, and in the addresses of Alertmanager and the webhook.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from support.monitoring.prometheus_server import Prometheus, answers, need, prometheus, running
from support.monitoring.shortened_durations import shortened
from support.running_daemon import ROOT, free_port, until
from support.system.netns import Loopback

DEPLOY: Final = ROOT / "deploy"

STORM_SCRIPT: Final = """#!/bin/sh
for loop in 1 2 3 4 5 6 7 8 9 10; do
    while :; do {program} 20; done &
done
wait
"""
"""Script that starts the workload `lives` over and over: ten loops, so that a busy machine too makes a storm."""


SEE_ITS_FILES: Final = (
    "unshare", "--mount", "--propagation", "private", "sh", "-ec",
    '[ "$0" = /usr ] || mount -t overlay -o "lowerdir=$0/share:/usr/share" overlay /usr/share; exec "$@"',
)  # fmt: skip
"""Prefix of the command line of an unpacked Debian program that looks for its files in /usr/share.

The path of the unpacked `usr` follows.
"""


@dataclass(frozen=True, slots=True)
class Message:
    """One notification: the receiver's path, and the alerts in it, each with status, labels and annotations."""

    receiver: str
    alerts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A pager that keeps every message in order."""

    url: str
    messages: list[Message] = field(default_factory=list)

    def received(self, status: str, **labels: str) -> list[tuple[Message, dict[str, Any]]]:
        """Return the alerts with this status and at least these labels, each with its message."""
        return [
            (message, alert)
            for message in list(self.messages)
            for alert in message.alerts
            if alert["status"] == status and labels.items() <= alert["labels"].items()
        ]


@contextmanager
def webhook(namespace: Loopback) -> Iterator[Webhook]:
    """Listen for Alertmanager's webhooks."""
    messages: list[Message] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(Message(self.path, json.loads(body)["alerts"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with namespace.make(lambda: ThreadingHTTPServer(("127.0.0.1", 0), Receiver)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Webhook(f"http://127.0.0.1:{server.server_port}", messages)
        server.shutdown()
        thread.join()


@contextmanager
def alertmanager(namespace: Loopback, folder: Path, hook: Webhook) -> Iterator[str]:
    """Run Alertmanager with the shipped configuration and `hook` as its receivers; yield its address."""
    need("prometheus-alertmanager")
    folder.mkdir()
    configuration = shortened(DEPLOY / "alertmanager" / "alertmanager.yml")
    for receiver in configuration["receivers"]:
        for one in receiver.get("webhook_configs", ()):
            one["url"] = f"{hook.url}/{receiver['name']}"
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    program = Path(shutil.which("prometheus-alertmanager") or "")
    command = (
        *SEE_ITS_FILES, str(program.parents[1]), str(program), "--config.file=alertmanager.yml", "--storage.path=data",
        f"--web.listen-address={address}", "--cluster.listen-address=",
    )  # fmt: skip
    with running([*namespace.under, *command], folder, "alertmanager.log") as process:
        until(
            lambda: answers(process, folder / "alertmanager.log", f"http://{address}/-/ready", namespace.fetch),
            "it is ready",
        )
        yield address


@contextmanager
def alerting(namespace: Loopback, folder: Path, target: str) -> Iterator[tuple[Prometheus, Webhook]]:
    """Run Prometheus, Alertmanager and webhook, with one target."""
    with (
        webhook(namespace) as hook,
        alertmanager(namespace, folder / "alertmanager", hook) as address,
        prometheus(
            _files(folder / "prometheus", target), _configuration(address),
            ["--rules.alert.resend-delay=2s", "--web.console.templates=consoles", "--web.console.libraries=consoles"],
            namespace.under, namespace.fetch,
        ) as server,
    ):  # fmt: skip
        yield server.wait_until_scraped(), hook


def _files(folder: Path, target: str) -> Path:
    """Copy the files as deploy/README.md says, and return their folder."""
    for name in ("rules", "targets", "consoles"):
        (folder / name).mkdir(parents=True)
    for rules in (DEPLOY / "prometheus" / "rules").iterdir():
        (folder / "rules" / rules.name).write_text(yaml.safe_dump(shortened(rules), sort_keys=False))
    (folder / "targets" / "probed.yml").write_text(yaml.safe_dump([{"targets": [target]}]))
    shutil.copy(DEPLOY / "runbook.md", folder / "consoles" / "probed-runbook.md")
    return folder


def _configuration(alertmanager: str) -> dict[str, Any]:
    configuration: dict[str, Any] = shortened(DEPLOY / "prometheus" / "prometheus.yml")
    configuration["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    return configuration
