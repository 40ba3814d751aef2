# SPDX-License-Identifier: Apache-2.0
"""Errors of probed: each has fact, place, cause and remedy as fields, and makes the text in `__str__`.

Three borders catch them: `__main__`, the loader around one probe, and the exporter around one collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Reason = Literal[
    "declaration",
    "compile",
    "verifier",
    "permission",
    "no_btf",
    "layout",
    "attach_point",
    "lockdown",
    "memlock",
    "map_create",
    "timeout",
    "internal",
]
"""Reasons of a probe that is not up: a closed set, the values of the label `reason`.

Each has its own remedy. `declaration`: the YAML disagrees with the C; `compile`: the C is wrong, or there is no
compiler; `no_btf`: the kernel has no type information; `layout`: the type information is not the kernel's; `internal`:
a mistake of probed.
"""

REASONS: tuple[Reason, ...] = get_args(Reason)


class ProbedError(Exception):
    """Any error that probed itself finds; the text is fact, place, cause, remedy."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in one file.

    `path` is the file as the user named it, `line` counts from 1 (0: the file as a whole), `key` is the dotted
    path of YAML keys (empty: the whole document), `text` is fact, cause and remedy.
    """

    path: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class DeclarationError(ProbedError):
    """Mistakes in declarations or the site configuration: all, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class ConfigurationError(ProbedError):
    """The loader refused the site configuration or a declaration; the text has every problem."""


class HostError(ProbedError):
    """The machine stops the daemon, not a probe: no privilege, no BTF, no BCC, port taken.

    `reason` is the reason of every probe that could not be loaded.
    """

    def __init__(self, text: str, reason: Reason = "internal") -> None:
        super().__init__(text)
        self.reason: Reason = reason


class LoadError(ProbedError):
    """One probe could not be loaded; the others run."""

    def __init__(self, probe: str, reason: Reason, text: str, errno: int = 0) -> None:
        super().__init__(probe, reason, text, errno)
        self.probe = probe
        self.reason: Reason = reason
        self.text = text
        self.errno = errno

    def __str__(self) -> str:
        return f"probe '{self.probe}': {self.text}"
