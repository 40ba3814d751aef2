# SPDX-License-Identifier: Apache-2.0
"""Names of containers by id, from the state files of Docker and Podman, for the exporter.

The site names the folders; without them the supervisor reads nothing. Only root may read these files, or a service with
CAP_DAC_READ_SEARCH. The exporter, without any right, gets ids and names. The supervisor's loop calls `on_clock`.

Docker writes ``containers/ID/config.v2.json`` once per container, and Podman all containers of a storage into
``overlay-containers/containers.json``, those without a long life into ``volatile-containers.json``. A container that
lives between two looks has no name. Names of another form than the runtimes admit are left out.

Sources: moby daemon/container (Container.Name, ``/NAME``) and daemon/names (RestrictedNameChars); containers/storage
containers.go (Container.Names).
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from probed.ipc.exporter_messages import NameContainers

LOG = logging.getLogger("supervisor")

PERIOD: Final = 1.0
"""Seconds between two looks at the folders."""

MOST: Final = 1 << 12
"""Most containers of each runtime with a name."""

MOST_BYTES: Final = 1 << 24
"""Most bytes of a state file: Podman writes about 1 KB for each container."""

NAMES_A_MESSAGE: Final = 200
"""Names in one message: some 40 KB."""

_ID: Final = re.compile("[0-9a-f]{64}")
_NAME: Final = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")

State = tuple[int, int, int]
"""Inode, time of the last change and size of a file."""


class ContainerNames:
    """The names that the exporter knows, and the folders from which they come."""

    def __init__(
        self, docker: Sequence[str], podman: Sequence[str], tell: Callable[[NameContainers], None], now: float
    ) -> None:
        """Read the folders: Docker's data roots, Podman's storages. `tell` gets later changes."""
        self._docker, self._podman, self._tell = docker, podman, tell
        self._files: dict[str, tuple[State, dict[str, str]]] = {}
        self._logged = set[str]()
        self._names = self._read()
        self._look_at = now + PERIOD

    def messages(self) -> list[NameContainers]:
        """Return all names, for a new exporter."""
        return list(_messages(self._names, ()))

    def due(self) -> float:
        """Return when `on_clock` has something to do."""
        return self._look_at

    def on_clock(self, now: float) -> None:
        """Look at the folders if due, and tell the changes."""
        if now < self._look_at:
            return
        self._look_at = now + PERIOD
        before, self._names = self._names, self._read()
        new = {number: name for number, name in self._names.items() if before.get(number) != name}
        for message in _messages(new, tuple(before.keys() - self._names.keys())):
            self._tell(message)

    def _read(self) -> dict[str, str]:
        files = [path for root in self._docker for path in self._docker_files(root)]
        files += [path for root in self._podman for path in self._podman_files(root)]
        self._files = {path: read for path in files if (read := self._read_file(path))}
        return {number: name for _, names in self._files.values() for number, name in names.items()}

    def _docker_files(self, root: str) -> Iterator[str]:
        folder = f"{root}/containers"
        for name in sorted(filter(_ID.fullmatch, self._entries(folder)))[:MOST]:
            yield f"{folder}/{name}/config.v2.json"

    def _podman_files(self, root: str) -> Iterator[str]:
        for folder in (name for name in self._entries(root) if name.endswith("-containers")):
            yield f"{root}/{folder}/containers.json"
            yield f"{root}/{folder}/volatile-containers.json"

    def _entries(self, folder: str) -> list[str]:
        """Return the names in a folder, none where the runtime has not made the folder yet."""
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._log(folder, str(error))
            return []

    def _read_file(self, path: str) -> tuple[State, dict[str, str]] | None:
        """Return a file's names, as read before if the file has not changed; None where there is no such file."""
        try:
            with open(path, "rb") as file:
                found = os.fstat(file.fileno())
                state = (found.st_ino, found.st_mtime_ns, found.st_size)
                before = self._files.get(path)
                return before if before and before[0] == state else (state, names_in(file.read(MOST_BYTES)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:  # RecursionError: a thousand lists in lists
            self._log(path, str(error))
            return None

    def _log(self, path: str, why: str) -> None:
        """Log once why names are missing."""
        if path not in self._logged and len(self._logged) < MOST:
            self._logged.add(path)
            text = "%s cannot be read: %s; containers will have no name (container_names in the site configuration)"
            LOG.warning(text, path, why)


def names_in(data: bytes) -> dict[str, str]:
    """Return the names by id in a state file of Docker or Podman. Raises ValueError for another content."""
    content = json.loads(data)
    if not isinstance(content, dict | list):
        raise ValueError("neither a container nor a list of containers")
    found = [_of_docker(content)] if isinstance(content, dict) else [_of_podman(each) for each in content[:MOST]]
    return {number: name for number, name in found if _ID.fullmatch(number) and _NAME.fullmatch(name)}


def _of_docker(content: dict[str, Any]) -> tuple[str, str]:
    return str(content.get("ID")), str(content.get("Name")).removeprefix("/")


def _of_podman(content: Any) -> tuple[str, str]:
    names = content.get("names") if isinstance(content, dict) else None
    return (str(content.get("id")), str(names[0])) if isinstance(names, list) and names else ("", "")


def _messages(names: dict[str, str], removed: tuple[str, ...]) -> Iterator[NameContainers]:
    listed = list(names.items())
    for at in range(0, max(len(listed), len(removed)), NAMES_A_MESSAGE):
        until = at + NAMES_A_MESSAGE
        yield NameContainers(dict(listed[at:until]), removed[at:until])
