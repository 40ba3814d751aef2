# SPDX-License-Identifier: Apache-2.0
"""Runs a program in a terminal of a given size: tmux without a client."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.processes import children
from support.running_daemon import until

_EXITED = "exit status "


class TmuxTerminal:
    """The terminal; after the program's end the screen has the line ``exit status N``."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]

    def start(self, command: Sequence[str], width: int, height: int, environment: dict[str, str]) -> None:
        """Run a command in a new terminal."""
        script = f"{shlex.join(command)}; echo {_EXITED}$?; exec sleep 3600"
        size = ["-x", str(width), "-y", str(height)]
        variables = {**os.environ, "LC_ALL": "C.UTF-8", **environment}
        self._run("new-session", "-d", *size, script, environment={**variables, "TERM": "xterm-256color"})

    def press(self, *keys: str) -> None:
        """Send keys, by tmux' names for keys."""
        self._run("send-keys", *keys)

    def write(self, text: str) -> None:
        """Type a text."""
        self._run("send-keys", "-l", text)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> list[str]:
        """Return the lines of the screen."""
        return self._run("capture-pane", "-p").split("\n")[:-1]

    def shows(self, *texts: str) -> list[str]:
        """Wait until the screen has all texts; return its lines. Raises AssertionError with the screen."""
        seen: list[str] = []

        def there() -> bool:
            seen[:] = self.screen()
            return all(text in "\n".join(seen) for text in texts)

        try:
            until(there, f"{texts} on the screen")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *seen])) from None
        return seen

    def ended(self) -> int:
        """Wait for the end of the program, and return the exit status."""
        lines = self.shows(_EXITED)
        return int(next(line for line in lines if line.startswith(_EXITED)).removeprefix(_EXITED))

    def processes(self) -> list[int]:
        """Return the ids of the processes that the terminal runs, below the shell."""
        shell = self._run("list-panes", "-F", "#{pane_pid}").strip()
        return children(int(shell))

    def close(self) -> None:
        """End everything in the terminal."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, text=True, env=environment, encoding="utf-8"
        )
        return done.stdout


@contextmanager
def terminal(folder: Path, command: Sequence[str], size: tuple[int, int], **environment: str) -> Iterator[TmuxTerminal]:
    """Run a command in a terminal of `size` (columns, lines) until the block ends."""
    made = TmuxTerminal(folder)
    made.start(command, *size, environment)
    try:
        yield made
    finally:
        made.close()
