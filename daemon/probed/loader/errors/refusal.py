# SPDX-License-Identifier: Apache-2.0
"""Turns the kernel's refusals of maps and programs into LoadErrors with cause and remedy.

`bcc.compiler` and `core.core_module` share it: a refusal reads the same, whichever way the probe came.
"""

from __future__ import annotations

import errno

from probed.errors import LoadError
from probed.loader.errors import eperm
from probed.loader.errors.eperm import EpermFacts


def program_refused(probe: str, name: str, log: str, number: int) -> LoadError:
    """Return the error for a program that the kernel refused with errno `number` and the verifier's `log`."""
    if number == errno.EPERM and "processed" not in log:
        reason, cause = eperm.explain_eperm("program", EpermFacts.gather())
        text = f"the kernel does not let this process load program '{name}' (EPERM): {cause}"
        return LoadError(probe, reason, text, errno.EPERM)
    text = f"the kernel's verifier refuses program '{name}': {verdict(log)}"
    locked = eperm.hidden_by_lockdown(log, EpermFacts.gather())
    return LoadError(probe, "lockdown" if locked else "verifier", f"{text}; {locked}" if locked else text)


def map_refused(probe: str, name: str, cause: str) -> LoadError:
    """Return the error for a map that the kernel did not create; `cause` is the text of errno."""
    if "not permitted" in cause:
        reason, why = eperm.explain_eperm("map", EpermFacts.gather())
        return LoadError(probe, reason, f"cannot create map '{name}': {cause}; {why}", errno.EPERM)
    return LoadError(probe, "map_create", f"cannot create map '{name}': {cause}; is there memory for its size?")


def verdict(log: str) -> str:
    """Return the verifier's last sentence with the source line; the rest of the log is for kernel developers."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    ending = [n for n, line in enumerate(lines) if line.startswith("processed ")]
    lines = lines[: ending[0]] if ending else lines
    place = next((line.lstrip("; @") for line in reversed(lines) if line.startswith(";")), "")
    said = lines[-1] if lines else "it gave no reason"
    return f"{said} (at {place})" if place else said


def last_lines(text: str) -> str:
    """Return the end of a longer text."""
    return "\n".join(text.strip().splitlines()[-10:])
