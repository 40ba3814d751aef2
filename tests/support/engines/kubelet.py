# SPDX-License-Identifier: Apache-2.0
"""kubelet's log folders and control groups of pods, made and removed in kubelet's order.

Sources: Kubernetes pkg/kubelet/kuberuntime (BuildPodLogsDirectory, logSymlink, startContainer) and
pkg/kubelet/cm/cgroup_manager_linux.go, with containerd and the systemd driver.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod's names and uid."""

    namespace: str
    name: str
    uid: str

    @property
    def slice(self) -> str:
        """Return the path of the pod's slice."""
        return f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{self.uid.replace('-', '_')}.slice"

    def group(self, number: str) -> str:
        """Return the path of the control group of the container with this id."""
        return f"{self.slice}/cri-containerd-{number}.scope"


def new_id() -> str:
    """Return a container's id, as containerd makes them."""
    return secrets.token_hex(32)


class Kubelet:
    """Keeps ``var/log/pods`` and ``var/log/containers`` below a root."""

    def __init__(self, root: Path) -> None:
        self.pods = root / "var/log/pods"
        self.containers = root / "var/log/containers"

    def start(self) -> None:
        """Make both folders."""
        for folder in (self.pods, self.containers):
            folder.mkdir(parents=True, exist_ok=True)

    def add_pod(self, namespace: str, name: str) -> Pod:
        """Make a pod's folder, before the pod's first control group."""
        pod = Pod(namespace, name, str(uuid.uuid4()))
        self._folder(pod).mkdir()
        return pod

    def _folder(self, pod: Pod) -> Path:
        return self.pods / f"{pod.namespace}_{pod.name}_{pod.uid}"

    def make_log(self, pod: Pod, container: str) -> None:
        """Make a container's folder and log, before the runtime starts the container."""
        (self._folder(pod) / container).mkdir(exist_ok=True)
        (self._folder(pod) / container / "0.log").touch()

    def link(self, pod: Pod, container: str, number: str) -> Path:
        """Link a container's log, after the runtime has started the container."""
        link = self._link(pod, container, number)
        link.symlink_to(self._folder(pod) / container / "0.log")
        return link

    def unlink(self, pod: Pod, container: str, number: str) -> None:
        """Remove the link of a removed container's log."""
        self._link(pod, container, number).unlink()

    def _link(self, pod: Pod, container: str, number: str) -> Path:
        return self.containers / f"{pod.name}_{pod.namespace}_{container}-{number}.log"

    def remove(self, pod: Pod) -> None:
        """Remove all of a pod, as kubelet does after the deletion of the pod."""
        for link in self.containers.glob(f"{pod.name}_{pod.namespace}_*"):
            link.unlink()
        for log in self._folder(pod).glob("*/*"):
            log.unlink()
        for folder in (*self._folder(pod).iterdir(), self._folder(pod)):
            folder.rmdir()
