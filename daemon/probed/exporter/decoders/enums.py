# SPDX-License-Identifier: Apache-2.0
"""Numbers with a text of the declaration's own: the decoder `enum`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def enum(table: Mapping[int, str]) -> Callable[[int | bytes], str]:
    """Return the decoder of an enum: the table's text, or the number where the table has none."""
    return lambda value: table.get(int(value), str(value))
