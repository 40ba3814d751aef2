# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from probed.linux.threads import PID_MAX_LIMIT, max_threads


def test_the_limit_is_the_kernels(tmp_path: Path) -> None:
    file = tmp_path / "proc/sys/kernel/threads-max"
    file.parent.mkdir(parents=True)
    file.write_text("191577\n")
    assert max_threads(tmp_path) == 191_577


def test_a_hidden_limit_is_the_largest_possible_one(tmp_path: Path) -> None:
    assert max_threads(tmp_path) == PID_MAX_LIMIT
