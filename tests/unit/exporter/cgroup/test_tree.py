# SPDX-License-Identifier: Apache-2.0
"""Which path a cgroup id belongs to: on trees made of folders, and announcements made of arrays."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from probed.exporter.cgroup import tree as cgroups
from probed.exporter.cgroup.tree import MADE, REMOVED, RENAMED, WALK_SECONDS, CgroupTree
from support.unit.clock import Clock

EVENT = np.dtype([("id", "<u8"), ("kind", "<u4"), ("pad", "<u4"), ("path", "V496")])


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


def mounted(root: Path, lines: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(lines)
    return root


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with cgroup2 on /sys/fs/cgroup and two units."""
    for path in ("system.slice/nginx.service", "user.slice/user-1000.slice"):
        (tmp_path / "sys/fs/cgroup" / path).mkdir(parents=True)
    return mounted(tmp_path, "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n")


def number_of(host: Path, path: str) -> int:
    return os.stat(f"{host}/sys/fs/cgroup{path}").st_ino  # noqa: PTH116


def announcements(*events: tuple[int, int, str]) -> NDArray[Any]:
    rows = np.zeros(len(events), EVENT)
    for at, (kind, number, path) in enumerate(events):
        rows[at] = (number, kind, 0, np.void(path.encode().ljust(496, b"\0")))
    return rows


def test_the_tree_is_known_from_the_start(host: Path) -> None:
    known = CgroupTree(host)
    for path in ("/", "/system.slice", "/system.slice/nginx.service", "/user.slice/user-1000.slice"):
        assert known.path(number_of(host, path)) == path
    assert known.unknown == 0


def test_what_is_announced_is_known_and_stays_known_when_it_is_gone(host: Path) -> None:
    known = CgroupTree(host)
    known.hear(announcements((MADE, 77, "/system.slice/short.service"), (REMOVED, 77, "/system.slice/short.service")))
    assert known.path(77) == "/system.slice/short.service"


def test_a_renamed_one_has_its_new_path(host: Path) -> None:
    known = CgroupTree(host)
    known.hear(announcements((MADE, 77, "/a"), (RENAMED, 77, "/b")))
    assert known.path(77) == "/b"


def test_an_unknown_id_is_no_path_and_is_counted(host: Path) -> None:
    known = CgroupTree(host)
    assert known.path(10**9) is None
    assert known.unknown == 1


def walk(known: CgroupTree) -> None:
    known.end_walk(known.begin_walk(), known.read_tree())


def test_a_miss_wants_a_walk_but_seldom(host: Path, clock: Clock) -> None:
    known = CgroupTree(host, clock)
    (host / "sys/fs/cgroup/late.service").mkdir()
    number = number_of(host, "/late.service")
    assert (known.path(number), known.wants_walk) == (None, False)
    clock.now = WALK_SECONDS
    assert known.wants_walk
    walk(known)
    assert (known.path(number), known.wants_walk) == ("/late.service", False)
    (host / "sys/fs/cgroup/later.service").mkdir()
    assert (known.path(number_of(host, "/later.service")), known.wants_walk) == (None, False)


def test_a_path_that_was_cut_is_that_of_an_ancestor_until_a_walk(host: Path, clock: Clock) -> None:
    path = "/a.service/" + "/".join(["x" * 200] * 3)
    known = CgroupTree(host, clock)
    (host / f"sys/fs/cgroup{path}").mkdir(parents=True)
    number = number_of(host, path)
    known.hear(announcements((MADE, number, path[:495] + "x")))
    assert known.path(number) == "/a.service/" + "/".join(["x" * 200] * 2)
    clock.now = WALK_SECONDS
    assert known.wants_walk
    walk(known)
    assert (known.path(number), known.found_missed()) == (path, True)


def test_a_path_that_was_cut_before_its_second_name_is_left_to_the_tree(host: Path) -> None:
    known = CgroupTree(host)
    known.hear(announcements((MADE, 77, "/" + 495 * "x")))
    assert known.path(77) is None


def test_a_path_that_is_no_utf8_is_as_the_tree_has_it(host: Path) -> None:
    known = CgroupTree(host)
    rows = announcements((MADE, 77, ""))
    rows["path"] = np.void(b"/a\xff".ljust(496, b"\0"))
    known.hear(rows)
    assert known.path(77) == "/a\udcff"


def test_of_the_removed_the_longest_removed_go_first(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "MOST_REMOVED", 7)
    known = CgroupTree(host)
    alive = len(known)
    for number in range(1000, 1101):
        known.hear(announcements((MADE, number, f"/{number}"), (REMOVED, number, f"/{number}")))
    assert (alive, len(known)) == (5, 5 + 7)
    assert [known.path(number) for number in (1093, 1094, 1100)] == [None, "/1094", "/1100"]
    assert known.path(number_of(host, "/system.slice/nginx.service")) is not None


def test_short_lived_ones_have_names_beside_5000_living(host: Path) -> None:
    known = CgroupTree(host)
    for number in range(1000, 6000):
        known.hear(announcements((MADE, number, f"/living/{number}")))
    for number in range(6000, 9000):
        known.hear(announcements((MADE, number, f"/short/{number}"), (REMOVED, number, f"/short/{number}")))
    assert [known.path(number) for number in range(1000, 6000)] == [f"/living/{number}" for number in range(1000, 6000)]
    assert [known.path(number) for number in range(6000, 9000)] == [f"/short/{number}" for number in range(6000, 9000)]
    assert known.unknown == 0


def test_past_the_bound_of_the_living_a_new_one_has_no_name_until_one_is_removed(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "MOST_LIVING", 7)
    known = CgroupTree(host)
    known.hear(announcements(*((MADE, number, f"/{number}") for number in range(1001, 1004))))
    assert [known.path(number) for number in (1001, 1002, 1003)] == ["/1001", "/1002", None]
    known.hear(announcements((REMOVED, 1001, "/1001"), (MADE, 1004, "/1004")))
    assert [known.path(number) for number in (1001, 1004)] == ["/1001", "/1004"]


def test_a_walk_marks_as_removed_what_is_not_in_the_tree(
    host: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where removals are not announced, or an announcement was lost."""
    monkeypatch.setattr(cgroups, "MOST_REMOVED", 7)
    known = CgroupTree(host, clock)
    known.hear(announcements(*((MADE, number, f"/{number}") for number in range(1000, 1101))))
    walk(known)
    assert (len(known), len(known.removed())) == (5 + 7, 7)
    assert number_of(host, "/system.slice/nginx.service") not in known.removed()


def test_an_id_that_comes_again_is_no_longer_removed(host: Path) -> None:
    known = CgroupTree(host)
    known.hear(announcements((MADE, 77, "/old"), (REMOVED, 77, "/old"), (MADE, 77, "/new")))
    assert (known.path(77), len(known.removed())) == ("/new", 0)


def test_a_cgroup_below_a_very_long_path_has_the_name_of_an_ancestor(tmp_path: Path) -> None:
    path = "/" + "/".join(["x" * 200] * 6)
    (tmp_path / "sys/fs/cgroup" / path[1:]).mkdir(parents=True)
    known = CgroupTree(mounted(tmp_path, "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"))
    assert known.path(number_of(tmp_path, path)) == "/" + "/".join(["x" * 200] * 5)


def test_a_missed_id_is_looked_for_with_the_next_permitted_walk(host: Path, clock: Clock) -> None:
    known = CgroupTree(host, clock)
    (host / "sys/fs/cgroup/late.service").mkdir()
    number = number_of(host, "/late.service")
    assert (known.path(number), known.found_missed()) == (None, False)
    clock.now = WALK_SECONDS
    walk(known)
    assert [known.found_missed(), known.found_missed()] == [True, False]
    assert known.path(number) == "/late.service"


def test_an_id_that_a_walk_does_not_find_wants_no_other_walk(host: Path, clock: Clock) -> None:
    known = CgroupTree(host, clock)
    assert known.path(10**9) is None
    clock.now = WALK_SECONDS
    assert known.wants_walk
    walk(known)
    clock.now = 2 * WALK_SECONDS
    assert (known.wants_walk, known.found_missed()) == (False, False)


def test_an_id_that_is_missed_during_a_walk_wants_the_next_one(host: Path, clock: Clock) -> None:
    known = CgroupTree(host, clock)
    begun, found = known.begin_walk(), known.read_tree()
    assert known.path(10**9) is None
    known.end_walk(begun, found)
    clock.now = WALK_SECONDS
    assert known.wants_walk


def test_announcements_heard_during_a_walk_win(host: Path) -> None:
    known = CgroupTree(host)
    nginx = number_of(host, "/system.slice/nginx.service")
    begun, found = known.begin_walk(), known.read_tree()
    known.hear(announcements((MADE, 77, "/new.service"), (REMOVED, nginx, "/system.slice/nginx.service")))
    known.end_walk(begun, found)
    assert known.path(77) == "/new.service"
    assert known.removed() == {nginx}


def test_of_two_walks_the_later_one_counts(host: Path) -> None:
    known = CgroupTree(host)
    first, found = known.begin_walk(), known.read_tree()
    (host / "sys/fs/cgroup/late.service").mkdir()
    walk(known)
    known.end_walk(first, found)
    assert known.path(number_of(host, "/late.service")) == "/late.service"


def test_doubted_ids_that_a_walk_misses_are_removed(host: Path, clock: Clock) -> None:
    known = CgroupTree(host, clock)
    nginx = number_of(host, "/system.slice/nginx.service")
    known.doubt({nginx, 10**9})
    assert (known.wants_walk, known.removed()) == (False, set())
    clock.now = WALK_SECONDS
    assert known.wants_walk
    walk(known)
    assert (known.removed(), known.wants_walk) == ({10**9}, False)


def test_walks_for_doubted_ids_that_all_live_become_rare(host: Path, clock: Clock) -> None:
    """5,000 living cgroups fill a map of 8,192 for ever: no walk makes room."""
    known = CgroupTree(host, clock)
    walks = []
    for scrape in range(480):
        clock.now = 15.0 * scrape
        known.doubt({number_of(host, "/system.slice/nginx.service")})
        if known.wants_walk:
            walk(known)
            walks.append(scrape)
    assert len(walks) <= 16  # two hours: 20, 40, ... 600 s


def test_where_everything_is_announced_living_ids_are_not_doubted(host: Path, clock: Clock) -> None:
    known = CgroupTree(host, clock)
    known.hears_all = True
    known.doubt({number_of(host, "/system.slice/nginx.service")})
    clock.now = 1e6
    assert not known.wants_walk
    known.doubt({10**9})
    assert known.wants_walk


def test_a_lost_announcement_wants_a_walk(host: Path, clock: Clock) -> None:
    known = CgroupTree(host, clock)
    known.hears_all = True
    clock.now = WALK_SECONDS
    known.note_lost(0)
    assert not known.wants_walk
    known.note_lost(3)
    assert known.wants_walk
    walk(known)
    clock.now *= 2
    known.note_lost(3)
    assert not known.wants_walk


def test_an_announcement_that_comes_late_is_an_answer_too(host: Path) -> None:
    known = CgroupTree(host)
    assert known.path(77) is None
    known.hear(announcements((MADE, 77, "/late")))
    assert [known.found_missed(), known.found_missed()] == [True, False]


def test_a_host_without_cgroup2_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = CgroupTree(mounted(tmp_path, "22 1 0:5 / / rw - ext4 /dev/vda rw\n"))
    assert "no cgroup2 is mounted here" in caplog.text
    assert known.path(1) is None


def test_a_tree_that_cannot_be_read_for_want_of_descriptors_is_not_an_empty_one(
    host: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tree = CgroupTree(host, clock)
    number = number_of(host, "/system.slice/nginx.service")

    def fail(_: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "scandir", fail)
    walk(tree)
    assert (tree.path(number), tree.removed()) == ("/system.slice/nginx.service", set())
    assert "Too many open files" in caplog.text
