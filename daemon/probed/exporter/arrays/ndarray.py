# SPDX-License-Identifier: Apache-2.0
"""The array type for annotations, and arrays that grow by doubling.

`NDArray` exists for type checkers alone: numpy.typing is 0.3 MB of classes without use at run time.
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
    """Return the array if large enough, else a larger copy with zeros behind the old rows."""
    if rows <= len(array):
        return array
    larger = np.zeros((1 << (rows - 1).bit_length(), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
