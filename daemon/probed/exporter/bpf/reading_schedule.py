# SPDX-License-Identifier: Apache-2.0
"""When the kernel's maps are read without a scrape. Pure.

`collector` calls it after each drain and with each heartbeat. Entries of removed control groups are deleted only after
a reading, so a map must be read before new control groups can fill it; and paths of only so many removed control groups
are kept (`cgroup.tree.MOST_REMOVED`). On a host without new control groups only scrapes read the maps.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_ANNOUNCED = 1 << 10
"""Announcements after which the maps are read at once, or an eighth of the smallest map's room if that is less.

A control group has two: made, and removed. The probe `cgroups` wakes the loop every quarter of its ring, 504 of them.
"""

MANY_ANNOUNCED = 1 << 6
"""Announcements after which the maps are read with the next heartbeat."""

PATIENT_BEATS = 10
"""Heartbeats between two readings where nothing announces control groups and no map is filling: five minutes."""


class ReadingSchedule:
    """Counts announcements and heartbeats since the last reading."""

    def __init__(self) -> None:
        self._announced = 0
        self._beats = 0

    def begin(self, announced: int) -> None:
        """Note a reading, after so many announcements in all."""
        self._announced = announced
        self._beats = 0

    def is_due_at_once(self, announced: int, rooms: Sequence[int]) -> bool:
        """Say whether the maps must be read now: `announced` in all, `rooms` of the maps by control group."""
        most = min([MOST_ANNOUNCED, *(room // 8 for room in rooms)])
        return bool(rooms) and announced - self._announced >= most

    def is_due_at_beat(self, announced: int, announces: bool, filling: bool) -> bool:
        """Note a heartbeat, and say whether the maps are to be read with it.

        `announces` says whether control groups are announced, `filling` whether a map is more than a quarter full.
        A reading since the last heartbeat is enough.
        """
        self._beats += 1
        if self._beats < 2:
            return False
        if announces:
            return announced - self._announced >= MANY_ANNOUNCED
        return filling or self._beats >= PATIENT_BEATS
