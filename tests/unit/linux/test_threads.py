# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from probed.linux.threads import BYTES_A_THREAD, max_threads


def test_the_limit_is_the_kernels(tmp_path: Path) -> None:
    file = tmp_path / "proc/sys/kernel/threads-max"
    file.parent.mkdir(parents=True)
    file.write_text("191577\n")
    assert max_threads(tmp_path) == 191_577


def test_a_hidden_limit_is_the_kernels_default(tmp_path: Path) -> None:
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    assert max_threads(tmp_path) == (int(memory.split()[1]) << 10) // BYTES_A_THREAD
