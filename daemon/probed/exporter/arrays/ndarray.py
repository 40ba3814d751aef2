# SPDX-License-Identifier: Apache-2.0
"""Arrays: what they are called in annotations, and some that grow by doubling.

numpy.typing is 0.3 MB of classes that only type checkers look at: `NDArray` is there for them alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
else:
    NDArray = None

__all__ = ["NDArray", "grown"]


def grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the array with room for so many rows: itself when it has, else a copy with zeros behind its own rows."""
    if rows <= len(array):
        return array
    larger = np.zeros((1 << (rows - 1).bit_length(), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
