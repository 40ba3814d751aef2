# SPDX-License-Identifier: Apache-2.0
"""When the maps are read without a scrape."""

from __future__ import annotations

from probed.exporter.bpf.reading_schedule import MANY_ANNOUNCED, MOST_ANNOUNCED, PATIENT_BEATS, ReadingSchedule
from probed.exporter.cgroup.tree import MOST_REMOVED

RING_EVENTS = 2016
"""Of the probe `cgroups`: so many announcements at most come with one drain."""


def test_many_announcements_are_a_reading_at_once() -> None:
    schedule = ReadingSchedule()
    rooms = [8192, 65536]
    assert not schedule.is_due_at_once(MOST_ANNOUNCED - 1, rooms)
    assert schedule.is_due_at_once(MOST_ANNOUNCED, rooms)
    schedule.begin(MOST_ANNOUNCED)
    assert not schedule.is_due_at_once(2 * MOST_ANNOUNCED - 1, rooms)


def test_an_eighth_of_the_smallest_map_is_many() -> None:
    schedule = ReadingSchedule()
    assert not schedule.is_due_at_once(7, [8192, 64])
    assert schedule.is_due_at_once(8, [8192, 64])


def test_without_a_map_by_control_group_nothing_is_due_at_once() -> None:
    assert not ReadingSchedule().is_due_at_once(10**6, [])


def test_a_reading_comes_before_the_names_of_the_removed_are_forgotten() -> None:
    assert MOST_ANNOUNCED + 2 * RING_EVENTS < MOST_REMOVED


def test_with_a_heartbeat_a_few_announcements_do_unless_there_was_a_reading_since_the_last() -> None:
    schedule = ReadingSchedule()
    assert not schedule.is_due_at_beat(MANY_ANNOUNCED, True, False)
    assert schedule.is_due_at_beat(MANY_ANNOUNCED, True, False)
    schedule.begin(MANY_ANNOUNCED)
    assert [schedule.is_due_at_beat(2 * MANY_ANNOUNCED - 1, True, True) for _ in range(1009)] == [False] * 1009


def test_where_nothing_is_announced_a_filling_map_is_read_with_each_heartbeat_and_others_seldom() -> None:
    schedule = ReadingSchedule()
    assert [schedule.is_due_at_beat(0, False, True) for _ in range(3)] == [False, True, True]
    schedule.begin(0)
    due = [schedule.is_due_at_beat(0, False, False) for _ in range(PATIENT_BEATS)]
    assert due == [False] * (PATIENT_BEATS - 1) + [True]
