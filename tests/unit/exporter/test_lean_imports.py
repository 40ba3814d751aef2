# SPDX-License-Identifier: Apache-2.0
"""The exporter runs without the modules left out, with the installed versions of packages or any other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import prometheus_client
import pytest

import probed
from probed.exporter import lean_imports
from probed.ipc import manifest
from probed.ipc.channel import Channel
from probed.ipc.exporter_messages import FROM_EXPORTER, FromExporter, Start, ToExporter
from probed.webconfig.options import WebOptions

DAEMON = Path(probed.__file__).parents[1]

IMPORTED = """
from importlib import import_module
from probed.exporter.lean_imports import left_out
with left_out():
    serving = import_module("probed.exporter.main")
"""


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", IMPORTED + code]
    environment = {"PYTHONPATH": str(DAEMON)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_exporter_imports_none_of_it() -> None:
    there = run("import sys; print(*sys.modules)").split()
    assert "numpy" in there
    assert not {*lean_imports.PARTS, *lean_imports.PACKAGES} & set(there)
    assert not {"html", "http.server", "urllib.request", "ssl", "hashlib", "difflib"} & set(there)


def test_probed_uses_no_name_of_a_left_out_module() -> None:
    """In numpy some names are None then; a version of numpy with more of them needs a look."""
    text = run("import numpy; print(*(name for name in numpy.__all__ if getattr(numpy, name) is None))")
    assert set(text.split()) <= {"chararray", "newaxis"}
    used = re.compile(r"\bnp\.(chararray|histogram\w*|linalg|random|fft|ma|polynomial)\b")
    assert [path for path in (DAEMON / "probed").rglob("*.py") if used.search(path.read_text())] == []


def test_process_metrics_come_all_the_same() -> None:
    names = run("print(*(family.name for family in serving.Process(1.0).families()))").split()
    assert "process_resident_memory_bytes" in names


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("numpy.random", "RandomState"), ("numpy.ma", "masked_array"), ("numpy.linalg", "norm"),
        ("prometheus_client", "CollectorRegistry"),
    ],
)  # fmt: skip
def test_who_asks_for_it_later_gets_the_real_one(name: str, asked: str) -> None:
    assert run(f"print(import_module({name!r}).{asked}.__name__)")


def test_what_is_imported_already_stays() -> None:
    with lean_imports.left_out():
        assert sys.modules["prometheus_client"] is prometheus_client
    assert sys.modules["prometheus_client"] is prometheus_client
    assert np.random.RandomState.__name__ == "RandomState"


def test_a_package_that_does_not_bear_it_is_taken_whole(tmp_path: Path) -> None:
    real = Path(prometheus_client.__file__).parent
    mine = tmp_path / "prometheus_client"
    mine.mkdir()
    (mine / "__init__.py").write_text(f"NEEDED = 1\n__path__.append({str(real)!r})\n")
    source = (real / "process_collector.py").read_text()
    (mine / "process_collector.py").write_text(f"from prometheus_client import NEEDED\n{source}")
    supervisor, end = Channel[ToExporter, FromExporter].pair(FROM_EXPORTER)
    start = Start(manifest.VERSION + 1, WebOptions(), None, "info", "logfmt", 1.0)
    with end:
        supervisor.send(start)
        done = subprocess.run(
            [sys.executable, "-m", "probed.exporter", str(end.fileno())],
            env=os.environ | {"PYTHONPATH": f"{tmp_path}:{DAEMON}"},
            pass_fds=[end.fileno()], capture_output=True, text=True, check=False,
        )  # fmt: skip
    supervisor.close()
    assert "cannot import name 'NEEDED'" in done.stderr
    assert "it takes them whole" in done.stderr
    assert "supervisor and exporter are of different versions" in done.stderr
