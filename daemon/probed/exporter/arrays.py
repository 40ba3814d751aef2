# SPDX-License-Identifier: Apache-2.0
"""Arrays that grow by doubling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the array with room for so many rows: itself when it has, else a copy with zeros behind its own rows."""
    if rows <= len(array):
        return array
    larger = np.zeros((1 << (rows - 1).bit_length(), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
