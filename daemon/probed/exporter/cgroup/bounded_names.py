# SPDX-License-Identifier: Apache-2.0
"""Names by key: those that are present, and those removed last, each up to a bound. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

MOST_PRESENT: Final = 1 << 12
"""Most present keys with a name; past this, a new key has none."""

MOST_REMOVED: Final = 1 << 11
"""Most removed keys with a name; past this, the key removed first is forgotten."""

MOST_MISSED: Final = 1 << 10
"""Most keys without a name that are noted; past this, the one missed first is forgotten."""

Names = TypeVar("Names")


class BoundedNames(Generic[Names]):
    """Names by key. Events of a removed key may still come, so its name stays for a while."""

    def __init__(self) -> None:
        self._present: dict[str, Names] = {}
        self._removed: OrderedDict[str, Names] = OrderedDict()

    def get(self, key: str) -> Names | None:
        """Return the names of a key, None for an unknown one."""
        return self._present.get(key) or self._removed.get(key)

    def keep(self, key: str, names: Names) -> None:
        """Take over the names of a present key."""
        if key in self._present or len(self._present) < MOST_PRESENT:
            self._removed.pop(key, None)
            self._present[key] = names

    def remove(self, key: str) -> None:
        """Take over that a key is gone."""
        names = self._present.pop(key, None)
        if names is not None:
            self._removed[key] = names
            if len(self._removed) > MOST_REMOVED:
                self._removed.popitem(last=False)

    def replace(self, present: Mapping[str, Names]) -> None:
        """Take over all keys that are present now."""
        for key in self._present.keys() - present.keys():
            self.remove(key)
        for key, names in present.items():
            self.keep(key, names)


class MissedKeys:
    """Keys for which a name was asked in vain."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._was_found = False

    def add(self, key: str) -> None:
        """Note a key without a name."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > MOST_MISSED:
            self._keys.popitem(last=False)

    def find(self, key: str) -> None:
        """Take over that a key has a name now."""
        if key in self._keys:
            del self._keys[key]
            self._was_found = True

    def was_found(self) -> bool:
        """Say once whether a noted key may have a name now: callers that remember names then ask again."""
        found, self._was_found = self._was_found, False
        return found
