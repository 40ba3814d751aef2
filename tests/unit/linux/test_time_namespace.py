# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from probed.linux.time_namespace import clock_offset


@pytest.mark.parametrize(("clock", "offset"), [("monotonic", -86_400 * 10**9), ("boottime", 11 * 10**9 + 7)])
def test_the_offset_of_a_clock_is_seconds_and_nanoseconds(tmp_path: Path, clock: str, offset: int) -> None:
    file = tmp_path / "proc/self/timens_offsets"
    file.parent.mkdir(parents=True)
    file.write_text("monotonic      -86400         0\nboottime           11         7\n")
    assert clock_offset(clock, str(tmp_path)) == offset


def test_a_kernel_without_time_namespaces_shifts_no_clock(tmp_path: Path) -> None:
    assert clock_offset("boottime", str(tmp_path)) == 0
