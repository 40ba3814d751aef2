# SPDX-License-Identifier: Apache-2.0
"""The owner of a cgroup id and the owner's names, as the decoders ask for them.

`collector` makes one, and holds its lock around every call but `KubeletLogs.read` and `CgroupTree.read_tree`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from probed.exporter.cgroup.attribution import Attribution, attribute
from probed.exporter.cgroup.bounded_names import BoundedNames, MissedKeys
from probed.exporter.cgroup.kubelet_logs import KubeletLogs
from probed.exporter.cgroup.pod_names import NAMELESS, PodNames
from probed.exporter.cgroup.tree import CgroupTree

MOST_ATTRIBUTED = 1 << 10
"""Most paths with a remembered owner: several labels of one key ask for the same."""

KERNEL = Attribution("kernel", "")
UNKNOWN = Attribution("unknown", "")


class CgroupOwners:
    """Owners by cgroup id: unit or container, pod, and the container's name."""

    def __init__(self, tree: CgroupTree, clock: Callable[[], float] = time.monotonic) -> None:
        self._tree = tree
        self._attribute = lru_cache(MOST_ATTRIBUTED)(attribute)
        self._container_names = BoundedNames[str]()
        self._unnamed = MissedKeys()
        self.kubelet_logs = KubeletLogs(clock=clock)

    def attribution(self, cgroup: int) -> Attribution:
        """Return the owner of a cgroup id."""
        if cgroup == 0:
            return KERNEL
        path = self._tree.path(cgroup)
        return self._attribute(path) if path is not None else UNKNOWN

    def _known(self, cgroup: int) -> Attribution:
        """Return the same for a further label, which counts no unknown id."""
        path = self._tree.known_path(cgroup)
        return self._attribute(path) if path is not None else UNKNOWN

    def watched_pod_names(self) -> Callable[[int], PodNames]:
        """Return the look-up of a cgroup's pod and container; from now on kubelet's folders are watched."""
        self.kubelet_logs.is_wanted = True
        return self._pod_names

    def _pod_names(self, cgroup: int) -> PodNames:
        owner = self._known(cgroup)
        return self.kubelet_logs.names(owner.pod_uid, owner.container_id) if owner.pod_uid else NAMELESS

    def container_name(self, cgroup: int) -> str:
        """Return the name that a runtime gave a cgroup's container, empty where unknown."""
        number = self._known(cgroup).container_id
        if not number:
            return ""
        name = self._container_names.get(number)
        if name is None:
            self._unnamed.add(number)
        return name or ""

    def name_containers(self, names: Mapping[str, str], removed: Iterable[str]) -> None:
        """Take over names of containers by id, and the ids of removed containers."""
        for number, name in names.items():
            self._container_names.keep(number, name)
            self._unnamed.find(number)
        for number in removed:
            self._container_names.remove(number)

    def hear(self) -> None:
        """Take the kernel's notes on kubelet's folders: kubelet makes a pod's before the pod's control group."""
        self.kubelet_logs.hear()

    def found_missed(self) -> bool:
        """Say once whether an owner without a path or a name may have one now: callers then ask again."""
        return any([self._tree.found_missed(), self.kubelet_logs.found_missed(), self._unnamed.was_found()])
