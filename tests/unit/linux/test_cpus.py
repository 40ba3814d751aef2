# SPDX-License-Identifier: Apache-2.0
"""How many CPUs there may be, as the kernel writes it."""

from pathlib import Path

import pytest

from probed.linux.cpus import online_cpus, possible_cpus


@pytest.mark.parametrize(("text", "cpus"), [("0", 1), ("0-1", 2), ("0-127", 128), ("0-3,8-11", 12), ("0,2", 3)])
def test_there_are_as_many_as_the_highest_number_says(tmp_path: Path, text: str, cpus: int) -> None:
    possible = tmp_path / "sys/devices/system/cpu/possible"
    possible.parent.mkdir(parents=True)
    possible.write_text(f"{text}\n")
    assert possible_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("online", "numbers"), [("0", [0]), ("0-3", [0, 1, 2, 3]), ("0,2-3,7", [0, 2, 3, 7])])
def test_online_cpus_are_numbers_out_of_ranges(tmp_path: Path, online: str, numbers: list[int]) -> None:
    folder = tmp_path / "sys/devices/system/cpu"
    folder.mkdir(parents=True)
    (folder / "online").write_text(f"{online}\n")
    assert online_cpus(tmp_path) == numbers
