# SPDX-License-Identifier: Apache-2.0
"""BCC cannot open the kernel's list of symbols, but any other file; each test has its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROBED = Path(__file__).parents[4] / "daemon"


def run(code: str) -> str:
    """Run code in a process without the list, and return the output."""
    lines = ["import ctypes, os", "from probed.loader.bcc import hide_kallsyms as ksyms", "ksyms.hide_kallsyms()", code]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env={"PYTHONPATH": str(PROBED)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


def test_a_file_that_an_exec_would_not_close_cannot_be_opened() -> None:
    said = run(
        "libc = ctypes.CDLL(None, use_errno=True)\nprint(libc.open(b'/proc/kallsyms', os.O_RDONLY), ctypes.get_errno())"
    )
    assert said == "-1 13\n"


def test_python_and_what_it_loads_open_their_files() -> None:
    said = run("import sqlite3, tempfile\nwith tempfile.TemporaryFile() as file: print(file.write(b'12345'))")
    assert said == "5\n"


def test_a_compile_reads_no_list_of_symbols() -> None:
    pytest.importorskip("bcc")
    said = run(
        "from pathlib import Path\n"
        "from probed.loader.bcc.compiler import compile_text, import_bcc\n"
        "from probed.loader.btf.reader import Btf\n"
        "btf = Btf.read()\n"
        "import_bcc()\n"
        "read = lambda: int(Path('/proc/self/io').read_text().split()[1])\n"
        "before = read()\n"
        "compile_text('nothing', 'int nothing(void *ctx) { return 0; }\\n', btf, {})\n"
        "print(read() - before)"
    )
    assert int(said) < 1 << 20  # the list is several times that
