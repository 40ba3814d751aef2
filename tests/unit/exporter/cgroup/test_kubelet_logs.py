# SPDX-License-Identifier: Apache-2.0
"""Pods and containers by id: on kubelet's folders, made and removed as kubelet does."""

from __future__ import annotations

import errno
import logging
import uuid
from pathlib import Path

import pytest

from probed.exporter.cgroup import bounded_names, inotify
from probed.exporter.cgroup.inotify import Note
from probed.exporter.cgroup.kubelet_logs import RETRY_SECONDS, KubeletLogs
from probed.exporter.cgroup.pod_names import NAMELESS, PodNames
from support.engines.kubelet import Kubelet, new_id
from support.unit.clock import Clock


@pytest.fixture
def kubelet(tmp_path: Path) -> Kubelet:
    made = Kubelet(tmp_path)
    made.start()
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logs(tmp_path: Path, clock: Clock) -> KubeletLogs:
    """The names, wanted and not listed yet."""
    made = KubeletLogs(tmp_path, clock)
    made.is_wanted = True
    return made


def list_folders(logs: KubeletLogs) -> None:
    assert logs.wants_listing
    listing = logs.begin_listing()
    logs.end_listing(listing, logs.read(listing))


def test_pods_and_containers_older_than_the_exporter_have_their_names(logs: KubeletLogs, kubelet: Kubelet) -> None:
    pod, number = kubelet.add_pod("shop", "web-0"), new_id()
    kubelet.link(pod, "app", number)
    list_folders(logs)
    assert logs.names(pod.uid, number) == PodNames("shop", "web-0", "app")
    assert logs.names(pod.uid, new_id()) == logs.names(pod.uid, "") == PodNames("shop", "web-0")
    assert logs.names("", number) == PodNames("shop", "web-0", "app")
    assert logs.names(str(uuid.uuid4()), "f" * 64) == NAMELESS


def test_a_pod_that_has_come_and_gone_between_two_looks_has_its_name(logs: KubeletLogs, kubelet: Kubelet) -> None:
    list_folders(logs)
    pod, number = kubelet.add_pod("shop", "backup-x7x2p"), new_id()
    kubelet.link(pod, "app", number)
    kubelet.remove(pod)
    logs.hear()
    assert logs.names(pod.uid, number) == PodNames("shop", "backup-x7x2p", "app")
    assert logs.names(pod.uid, "") == PodNames("shop", "backup-x7x2p")


def test_a_link_that_comes_after_the_first_event_is_told_once(logs: KubeletLogs, kubelet: Kubelet) -> None:
    list_folders(logs)
    pod, number = kubelet.add_pod("shop", "web-0"), new_id()
    kubelet.link(pod, "other", new_id())
    logs.hear()
    assert logs.names(pod.uid, number) == PodNames("shop", "web-0")
    assert not logs.found_missed()
    kubelet.link(pod, "app", number)
    logs.hear()
    assert logs.found_missed()
    assert not logs.found_missed()
    assert logs.names(pod.uid, number) == PodNames("shop", "web-0", "app")


def test_folders_that_come_later_are_watched_within_ten_seconds(
    tmp_path: Path, logs: KubeletLogs, clock: Clock
) -> None:
    list_folders(logs)
    late = Kubelet(tmp_path)
    late.start()
    uid = late.add_pod("shop", "web-0").uid
    assert logs.names(uid, "") == NAMELESS
    assert not logs.wants_listing
    clock.now += RETRY_SECONDS
    list_folders(logs)
    assert logs.found_missed()
    assert logs.names(uid, "") == PodNames("shop", "web-0")
    clock.now += RETRY_SECONDS
    assert not logs.wants_listing


def test_a_folder_that_is_made_anew_is_watched_anew(logs: KubeletLogs, kubelet: Kubelet, clock: Clock) -> None:
    list_folders(logs)
    kubelet.pods.rmdir()
    logs.hear()
    kubelet.start()
    clock.now += RETRY_SECONDS
    list_folders(logs)
    uid = kubelet.add_pod("shop", "web-0").uid
    logs.hear()
    assert logs.names(uid, "") == PodNames("shop", "web-0")


def test_lost_notes_make_the_folders_be_listed(
    logs: KubeletLogs, kubelet: Kubelet, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = kubelet.add_pod("shop", "gone")
    list_folders(logs)
    come = kubelet.add_pod("shop", "come").uid
    kubelet.remove(gone)
    notes = [[Note(-1, inotify.OVERFLOWED, "")], []]
    monkeypatch.setattr(inotify.Inotify, "read", lambda _: notes.pop(0) if notes else [])
    logs.hear()
    clock.now += RETRY_SECONDS
    list_folders(logs)
    assert (logs.names(come, "").pod, logs.names(gone.uid, "").pod) == ("come", "gone")


def test_entries_that_come_during_a_listing_are_heard_after_it(logs: KubeletLogs, kubelet: Kubelet) -> None:
    early = kubelet.add_pod("shop", "early")
    listing = logs.begin_listing()
    found = logs.read(listing)
    later = kubelet.add_pod("shop", "later").uid
    kubelet.remove(early)
    logs.hear()
    assert not logs.wants_listing
    logs.end_listing(listing, found)
    logs.hear()
    assert (logs.names(early.uid, "").pod, logs.names(later, "").pod) == ("early", "later")


def test_nothing_is_read_while_no_label_shows_names(tmp_path: Path, clock: Clock) -> None:
    assert not KubeletLogs(tmp_path, clock).wants_listing


def test_tables_are_bounded_and_keep_the_present(
    logs: KubeletLogs, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("MOST_PRESENT", 5), ("MOST_REMOVED", 3), ("MOST_MISSED", 2)):
        monkeypatch.setattr(bounded_names, name, most)
    list_folders(logs)
    present = [kubelet.add_pod("shop", f"stays-{number}").uid for number in range(4)]
    removed = []
    for number in range(7):
        pod = kubelet.add_pod("shop", f"goes-{number}")
        kubelet.remove(pod)
        removed.append(pod.uid)
    last = [kubelet.add_pod("shop", f"last-{number}").uid for number in range(3)]
    logs.hear()
    assert [logs.names(uid, "").pod for uid in present] == [f"stays-{number}" for number in range(4)]
    assert [logs.names(uid, "").pod for uid in removed] == ["", "", "", "", "goes-4", "goes-5", "goes-6"]
    assert [logs.names(uid, "").pod for uid in last] == ["last-0", "", ""]


def test_strange_entries_cost_nothing(logs: KubeletLogs, kubelet: Kubelet) -> None:
    for name in ("x", "a_b", "A_b_" + str(uuid.uuid4()), "\udcff\n", "shop_web_" + 200 * "f"):
        (kubelet.pods / name).mkdir()
        (kubelet.containers / name).touch()
    list_folders(logs)
    for name in ("y", "{}", "_" * 250):
        (kubelet.pods / name).mkdir()
    uid = kubelet.add_pod("shop", "web-0").uid
    logs.hear()
    assert logs.names(uid, "") == PodNames("shop", "web-0")


def test_a_folder_that_may_not_be_listed_is_logged_once_and_the_other_gives_names(
    logs: KubeletLogs, kubelet: Kubelet, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add = inotify.Inotify.add

    def refused(instance: inotify.Inotify, folder: str) -> int:
        if folder == str(kubelet.pods):
            raise OSError(errno.EACCES, "Permission denied")
        return add(instance, folder)

    monkeypatch.setattr(inotify.Inotify, "add", refused)
    number = new_id()
    kubelet.link(kubelet.add_pod("shop", "web-0"), "app", number)
    with caplog.at_level(logging.WARNING, "exporter"):
        for _ in range(3):
            list_folders(logs)
            clock.now += RETRY_SECONDS
    assert logs.names(str(uuid.uuid4()), number) == PodNames("shop", "web-0", "app")
    assert [record.getMessage() for record in caplog.records] == [
        f"{kubelet.pods} cannot be watched: [Errno 13] Permission denied; "
        "labels may have no names of pods or containers"
    ]


def test_a_host_without_kubelet_logs_nothing(logs: KubeletLogs, caplog: pytest.LogCaptureFixture) -> None:
    list_folders(logs)
    assert not caplog.records
