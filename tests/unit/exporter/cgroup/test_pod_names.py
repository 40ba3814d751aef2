# SPDX-License-Identifier: Apache-2.0
"""Names of kubelet's folders and links, as kubelet makes them and as others might."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.cgroup.pod_names import PodNames, of_container_link, of_pod_folder

UID = "0b7632a2-a56e-4278-987a-22de18008dbe"
ID = "0123456789abcdef" * 4
MOST_CHARACTERS = 255 - len(".log")
"""Characters before the suffix that kubelet leaves. Kubernetes pkg/kubelet/kuberuntime/legacy.go."""

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
PODS = st.lists(LABELS, min_size=1, max_size=6).map(".".join).filter(lambda name: len(name) <= 253)
UIDS = st.uuids().map(str) | st.text("0123456789abcdef", min_size=32, max_size=32)
IDS = st.text("0123456789abcdef", min_size=64, max_size=64)


def link(pod: str, namespace: str, container: str, number: str) -> str:
    """Return the name of a link as kubelet makes and cuts it."""
    return f"{pod}_{namespace}_{container}-{number}"[:MOST_CHARACTERS] + ".log"


@given(LABELS, PODS, UIDS)
def test_a_pod_s_folder_has_its_namespace_name_and_uid(namespace: str, pod: str, uid: str) -> None:
    assert of_pod_folder(f"{namespace}_{pod}_{uid}") == (uid, PodNames(namespace, pod))


@given(PODS, LABELS, LABELS, IDS)
def test_a_container_s_link_has_all_names_unless_kubelet_cut_it(
    pod: str, namespace: str, container: str, number: str
) -> None:
    whole = len(f"{pod}_{namespace}_{container}-{number}") <= MOST_CHARACTERS
    expected = (number, PodNames(namespace, pod, container)) if whole else None
    assert of_container_link(link(pod, namespace, container, number)) == expected


def test_a_container_s_name_cannot_pass_for_another_container_s_id() -> None:
    pod = "p" * 150
    cut = link(pod, "n" * 60, f"x-{ID[:37]}", "f" * 64)
    assert len(cut) == 255
    assert ID[:36] in cut
    assert of_container_link(cut) is None


@pytest.mark.parametrize(
    "entry",
    [
        "", ".", "x", "default_web", f"default_web_{UID}_more", f"default_web_{UID.upper()}", f"_web_{UID}",
        f"default__{UID}", f"Default_web_{UID}", f"default_web\n_{UID}", f"default_web_{UID}\n", f"def ault_web_{UID}",
        f"default_-web_{UID}", f"{'n' * 64}_web_{UID}", f"default_{'p' * 254}_{UID}", f"a.b_web_{UID}",
    ],
)  # fmt: skip
def test_another_entry_is_no_pod_s_folder(entry: str) -> None:
    assert of_pod_folder(entry) is None


@pytest.mark.parametrize(
    "entry",
    [
        "", f"web_default_app-{ID}", f"web_default_app-{ID[1:]}.log", f"web_default_app-0{ID}.log",
        f"web_default_app-{ID}.log.gz", f"web_default-{ID}.log", f"web_default_-{ID}.log", f"_default_app-{ID}.log",
        f"web_default_a_p-{ID}.log", f"web_default_app-{ID.upper()}.log", f"web_default_app-{ID}.log\n",
    ],
)  # fmt: skip
def test_another_entry_is_no_container_s_link(entry: str) -> None:
    assert of_container_link(entry) is None


@given(st.text(string.printable + "\udcff\u0085"))
def test_names_from_any_entry_are_those_that_the_api_admits(entry: str) -> None:
    for parse in (of_pod_folder, of_container_link):
        found = parse(entry)
        if found:
            names = found[1]
            assert all(re.fullmatch("[-.a-z0-9]*", each) for each in (names.namespace, names.pod, names.container))
