# SPDX-License-Identifier: Apache-2.0
"""Names of containers in the supervisor: read from runtimes' state files, told when they change, bounded."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.ipc.exporter_messages import NameContainers
from probed.supervisor.watchers import container_names
from probed.supervisor.watchers.container_names import PERIOD, ContainerNames, names_in

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


class Host:
    """Folders of both runtimes, and the messages to the exporter."""

    def __init__(self, root: Path) -> None:
        self.docker, self.podman = root / "docker", root / "storage"
        self.told: list[NameContainers] = []
        self.now = 0.0

    def watch(self) -> ContainerNames:
        """Begin to look at the folders."""
        return ContainerNames([str(self.docker)], [str(self.podman)], self.told.append, self.now)

    def start_docker(self, number: str, name: str) -> None:
        """Write a container's state as dockerd does: beside the final path, then renamed."""
        folder = self.docker / "containers" / number
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".tmp").write_text(json.dumps({"ID": number, "Name": f"/{name}", "State": {"Running": True}}))
        (folder / ".tmp").rename(folder / "config.v2.json")

    def set_podman(self, names: Mapping[str, str], file: str = "containers.json") -> None:
        """Write the state of all containers as Podman does."""
        folder = self.podman / "overlay-containers"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".tmp").write_text(json.dumps([{"id": number, "names": [name]} for number, name in names.items()]))
        (folder / ".tmp").rename(folder / file)

    def look(self, names: ContainerNames) -> list[NameContainers]:
        """Let a period pass; return the messages told."""
        self.now += PERIOD
        self.told.clear()
        names.on_clock(self.now)
        return list(self.told)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_names_are_there_from_the_start_and_changes_are_told_once(host: Host) -> None:
    host.start_docker(A, "web")
    names = host.watch()
    assert names.messages() == [NameContainers({A: "web"}, ())]
    assert host.look(names) == []
    host.set_podman({B: "db"})
    host.set_podman({C: "job"}, "volatile-containers.json")
    assert host.look(names) == [NameContainers({B: "db", C: "job"}, ())]
    host.set_podman({})
    assert host.look(names) == [NameContainers({}, (B,))]
    host.start_docker(A, "renamed")
    assert host.look(names) == [NameContainers({A: "renamed"}, ())]
    assert names.messages() == [NameContainers({A: "renamed", C: "job"}, ())]


def test_nothing_is_read_before_the_period_is_over(host: Host) -> None:
    names = host.watch()
    host.start_docker(A, "web")
    names.on_clock(host.now + PERIOD / 2)
    assert host.told == []
    assert names.due() == host.now + PERIOD


def test_a_file_that_has_not_changed_is_not_read_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.set_podman({B: "db"})
    names = host.watch()
    monkeypatch.setattr(container_names, "names_in", lambda _: pytest.fail("read again"))
    assert host.look(names) == []


def test_many_names_are_several_messages(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_names, "NAMES_A_MESSAGE", 2)
    wanted = {secrets.token_hex(32): f"c{number}" for number in range(5)}
    host.set_podman(wanted)
    names = host.watch()
    messages = names.messages()
    assert [len(message.names) for message in messages] == [2, 2, 1]
    host.set_podman({})
    gone = [number for message in host.look(names) for number in message.removed]
    assert sorted(gone) == sorted(wanted)


def test_a_runtime_that_comes_later_is_found(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    names = host.watch()
    assert names.messages() == []
    host.start_docker(A, "web")
    assert host.look(names) == [NameContainers({A: "web"}, ())]
    assert not caplog.records


@pytest.mark.parametrize("content", ["", "{", "7", '"a"', "[" * 100_000, "\udcff", '[7, [], {}, {"names": 3}]'])
def test_a_spoiled_file_costs_only_its_own_names_and_is_logged_once(
    host: Host, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    host.start_docker(A, "web")
    host.set_podman({})
    (host.podman / "overlay-containers/containers.json").write_bytes(os.fsencode(content))
    with caplog.at_level(logging.WARNING, "supervisor"):
        names = host.watch()
        host.look(names)
    assert names.messages() == [NameContainers({A: "web"}, ())]
    assert len(caplog.records) == (0 if content.startswith("[7") else 1)


@pytest.mark.parametrize(
    "name", ["", "-x", "a b", "a/b", "a\nb", "x" * 129, "é", '"', "{}"]
)  # none of them may a runtime give
def test_a_name_that_no_runtime_gives_is_left_out(name: str) -> None:
    assert names_in(json.dumps({"ID": A, "Name": f"/{name}"}).encode()) == {}
    assert names_in(json.dumps([{"id": A, "names": [name]}]).encode()) == {}


def test_an_id_of_another_form_is_left_out() -> None:
    for number in ("", A[1:], A.upper(), f"{A}\n", f"../{A}"):
        assert names_in(json.dumps({"ID": number, "Name": "/web"}).encode()) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(JSON)
def test_any_json_gives_names_or_an_error(content: Any) -> None:
    try:
        assert names_in(json.dumps(content).encode()) == {}
    except ValueError:
        assert not isinstance(content, dict | list)
