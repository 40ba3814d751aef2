# SPDX-License-Identifier: Apache-2.0
"""Copies of records keep every byte, since a key of a kernel map is compared as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from probed.exporter.arrays.dtypes import chosen, dtype
from probed.ipc.manifest import Field, Record

KEY = Record(16, (Field("errno", "u32", 0, 1), Field("cgroup", "u64", 8, 1)))
"""A key with four bytes between its members."""


@pytest.mark.parametrize(
    ("which", "numbers"),
    [(slice(2), (0, 1)), (np.array([True, False, True]), (0, 2)), (np.array([2, 1]), (2, 1)), (slice(0), ())],
)
def test_chosen_records_have_the_bytes_between_their_members(which: Any, numbers: tuple[int, ...]) -> None:
    raw = np.arange(1, 49, dtype=np.uint8)
    found = chosen(raw.view(dtype(KEY)), which)
    assert found.tobytes() == b"".join(raw.tobytes()[16 * number : 16 * number + 16] for number in numbers)
    found["errno"] = 0
    assert raw[0] == 1
