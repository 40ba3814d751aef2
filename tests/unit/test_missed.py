# SPDX-License-Identifier: Apache-2.0
"""What the kernel's text about a program says of the runs that it left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from probed.exporter.missed import missed_runs

BEFORE_5_12 = """\
pos:	0
flags:	02000002
mnt_id:	15
prog_type:	17
prog_jited:	1
prog_tag:	9f8c4ed71d3a0b2e
memlock:	4096
prog_id:	61
run_time_ns:	0
run_cnt:	0
"""


@pytest.mark.parametrize(
    ("text", "runs"), [(f"{BEFORE_5_12}recursion_misses:\t1009\nverified_insns:\t59\n", 1009), (BEFORE_5_12, 0)]
)
def test_runs_that_were_left_out_are_read(text: str, runs: int, tmp_path: Path) -> None:
    path = tmp_path / "fdinfo"
    path.write_text(text)
    with path.open("rb") as file:
        assert [missed_runs(file.fileno()) for _ in range(2)] == [runs, runs]
