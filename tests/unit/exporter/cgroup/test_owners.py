# SPDX-License-Identifier: Apache-2.0
"""Names of a cgroup's owner: from kubelet's folders and from the supervisor."""

from __future__ import annotations

from pathlib import Path

import pytest

from probed.exporter.cgroup import bounded_names, owners
from probed.exporter.cgroup.bounded_names import BoundedNames, MissedKeys
from probed.exporter.cgroup.kubelet_logs import KubeletLogs
from probed.exporter.cgroup.owners import CgroupOwners
from probed.exporter.cgroup.pod_names import NAMELESS, PodNames
from probed.exporter.cgroup.tree import CgroupTree
from support.engines.kubelet import Kubelet, new_id

NUMBER = new_id()
USERS = f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{NUMBER}.scope"


@pytest.fixture
def kubelet(tmp_path: Path) -> Kubelet:
    made = Kubelet(tmp_path)
    made.start()
    return made


class Tree(CgroupTree):
    """A tree of these paths by id, without a host."""

    def __init__(self, paths: dict[int, str]) -> None:
        self._living, self._removed = paths, {}  # type: ignore[assignment]
        self._missed, self._top, self._found_missed, self.unknown = set(), None, False, 0


@pytest.fixture
def names(tmp_path: Path, kubelet: Kubelet) -> CgroupOwners:
    """Owners of four cgroups.

    1 is a container of Docker, 2 a user's of Podman, 3 a pod's, and 4 a unit.
    """
    pod = kubelet.add_pod("shop", "web-0")
    kubelet.link(pod, "app", NUMBER)
    paths = {1: f"/system.slice/docker-{NUMBER}.scope", 2: USERS, 3: f"/{pod.group(NUMBER)}", 4: "/a.service"}
    made = CgroupOwners(Tree(paths))
    made.kubelet_logs = KubeletLogs(tmp_path)
    return made


def test_a_container_has_the_name_that_the_supervisor_sends(names: CgroupOwners) -> None:
    assert names.container_name(1) == ""
    assert not names.found_missed()
    names.name_containers({NUMBER: "web", new_id(): "other"}, ())
    assert [names.found_missed(), names.found_missed()] == [True, False]
    assert names.container_name(1) == "web"
    names.name_containers({}, [NUMBER])
    assert names.container_name(1) == "web"


def test_a_user_cannot_take_on_the_name_of_another_s_container(names: CgroupOwners) -> None:
    names.name_containers({NUMBER: "web"}, ())
    assert [names.container_name(number) for number in (2, 4, 0, 99)] == ["", "", "", ""]


def test_pods_have_names_once_a_label_wants_them(names: CgroupOwners) -> None:
    assert not names.kubelet_logs.wants_listing
    look_up = names.watched_pod_names()
    listing = names.kubelet_logs.begin_listing()
    names.kubelet_logs.end_listing(listing, names.kubelet_logs.read(listing))
    assert look_up(3) == PodNames("shop", "web-0", "app")
    assert [look_up(number) for number in (0, 1, 2, 4, 99)] == [NAMELESS] * 5


def test_only_the_unit_counts_an_unknown_id(names: CgroupOwners) -> None:
    names.watched_pod_names()(99)
    names.container_name(99)
    assert names._tree.unknown == 0
    assert names.attribution(99) is owners.UNKNOWN
    assert names._tree.unknown == 1


def test_names_of_removed_keys_stay_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MOST_PRESENT", 3), ("MOST_REMOVED", 2), ("MOST_MISSED", 2)):
        monkeypatch.setattr(bounded_names, name, most)
    kept = BoundedNames[str]()
    for key in "abcd":
        kept.keep(key, key.upper())
    assert [kept.get(key) for key in "abcd"] == ["A", "B", "C", None]
    kept.replace({"c": "C2", "e": "E"})
    assert [kept.get(key) for key in "abce"] == ["A", "B", "C2", "E"]
    kept.remove("c")
    assert [kept.get(key) for key in "abc"].count(None) == 1
    kept.remove("unknown")
    missed = MissedKeys()
    for key in "xyz":
        missed.add(key)
    missed.find("x")
    assert not missed.was_found()
    missed.find("z")
    assert missed.was_found()
