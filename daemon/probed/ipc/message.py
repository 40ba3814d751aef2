# SPDX-License-Identifier: Apache-2.0
"""Base class of the messages that only one receiver reads, once. Pure."""

from __future__ import annotations


class Message:
    """Equality and text for dataclasses without their own: generated methods take 8 KB a class in each process."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"
