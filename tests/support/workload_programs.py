# SPDX-License-Identifier: Apache-2.0
"""Compiles the workloads, and gives each program a fresh name, and so a fresh comm."""

from __future__ import annotations

import platform
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

SOURCES: Final = Path(__file__).parents[1] / "workloads"
COMM: Final = 15
"""Characters of a comm. Source: TASK_COMM_LEN of Linux include/linux/sched.h, which counts the NUL."""

Install = Callable[[str], Path]
"""Takes a workload's name, returns a program with a fresh comm: the fixture `install`."""


def fresh_letters() -> str:
    """Return eight random letters for a name: fold rules recognise hex digits and numbers, but not these."""
    return "".join(secrets.choice("ghjkmnpqrstuvwxyz") for _ in range(8))


def compile_workloads(folder: Path, *names: str, machine: str = platform.machine()) -> None:
    """Compile these workloads, or all, into a folder for a machine; skips the test without a compiler."""
    own = machine == platform.machine()
    compiler = "cc" if own else f"{machine}-linux-gnu-gcc"
    if not shutil.which(compiler):
        package = "gcc and libc6-dev" if own else "gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"
        pytest.skip(f"workloads are C: install {package}")
    for source in SOURCES.glob("*.c"):
        if not names or source.stem in names:
            library = ["-nostdlib"] if source.stem == "exits" and machine == "x86_64" else ["-pthread"]
            flags = ["-static", "-O2", "-Wall", "-Werror", *library]
            subprocess.run([compiler, *flags, "-o", folder / source.stem, source], check=True)


def install(folder: Path, workload: str) -> Path:
    """Give a compiled workload another, fresh name, and so a fresh comm; return its path."""
    suffix = f"-{fresh_letters()}"
    program = folder / (workload[: COMM - len(suffix)] + suffix)
    program.hardlink_to(folder / workload)
    return program
