# SPDX-License-Identifier: Apache-2.0
"""The processes import `dataclasses` without `inspect`, and dataclasses work as ever; each test has its own process."""

from __future__ import annotations

import subprocess
import sys

from support.running_daemon import environment


def run(code: str) -> str:
    """Run code in a process that has imported the package, and return the output."""
    lines = "import probed, sys\nfrom dataclasses import dataclass, fields\n"
    done = subprocess.run(
        [sys.executable, "-c", lines + code], env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_class_without_docstring_imports_no_inspect() -> None:
    code = "@dataclass\nclass A:\n    n: int = 3\n"
    assert (
        run(f"{code}print(A(), A(4).n, [f.name for f in fields(A)], 'inspect' in sys.modules)")
        == "A(n=3) 4 ['n'] False\n"
    )


def test_anything_else_comes_from_the_real_module() -> None:
    assert run("import dataclasses\nprint(dataclasses.inspect.isclass(int), 'inspect' in sys.modules)") == "True True\n"


def test_a_later_import_gets_the_real_module() -> None:
    assert run("import inspect\nprint(inspect.signature(lambda a, b: 0))") == "(a, b)\n"
