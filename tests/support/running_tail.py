# SPDX-License-Identifier: Apache-2.0
"""`probed tail` as a test runs it: attached, then ended by Ctrl-C, with its rows as JSON."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.running_daemon import PATIENCE, ROOT, command, environment

CONFIGURATION = ROOT / "config" / "probed.yaml"


class RunningTail:
    """A tail; after the context, `lines` or `rows`, `errors` (standard error) and `status`."""

    def __init__(self, name: str, *options: str, configuration: Path = CONFIGURATION, loader: str = "bcc") -> None:
        """Prepare a tail of a trace probe in the probe directories of `configuration`."""
        shared = ("--config.file", str(configuration), "--loader", loader, "--format", "json")
        self._command = command("tail", *shared, *options, name)
        self.lines: list[str] = []
        self.errors = ""
        self.status: int | None = None

    def __enter__(self) -> Self:
        """Start the tail, and wait until the trace probe is attached."""
        self._output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self._command, stdout=self._output, stderr=subprocess.PIPE, text=True, env=environment()
        )
        assert self.process.stderr is not None
        self.errors = self.process.stderr.readline()
        assert "is attached" in self.errors, self.errors + self.process.stderr.read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the tail by Ctrl-C, and read its rows; the tail prints those that wait in the ring."""
        self.process.send_signal(signal.SIGINT)
        self.errors += self.process.communicate(timeout=PATIENCE)[1]
        with self._output:
            self._output.seek(0)
            self.lines = self._output.read().splitlines()
        self.status = self.process.returncode

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The objects of a tail in JSON."""
        return [json.loads(line) for line in self.lines]
