# SPDX-License-Identifier: Apache-2.0
"""How many CPUs there may be, as the kernel writes it."""

from pathlib import Path

import pytest

from probed.linux.cpus import possible_cpus


@pytest.mark.parametrize(("text", "cpus"), [("0", 1), ("0-1", 2), ("0-127", 128), ("0-3,8-11", 12), ("0,2", 3)])
def test_there_are_as_many_as_the_highest_number_says(tmp_path: Path, text: str, cpus: int) -> None:
    possible = tmp_path / "sys/devices/system/cpu/possible"
    possible.parent.mkdir(parents=True)
    possible.write_text(f"{text}\n")
    assert possible_cpus(tmp_path) == cpus
