# SPDX-License-Identifier: Apache-2.0
"""Debian's Docker, Podman and containerd in a booted system, with runc, and kubelet's folders beside containerd.

Images have no files but links into /usr, which each container gets from the system, with the programs in /out. Storage
is plain copies on tmpfs, since the system's root is an overlay already. This kernel may lack cgroup2's controllers, so
containers have no limits. crun is left out: it wants to raise a resource limit that the tests' sandbox refuses.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Final

from support.kubelet import Kubelet, Pod
from support.system.machine import OUT, Machine

PACKAGES: Final = ("containerd", "docker.io", "podman", "runc")

IMAGE: Final = "localhost/probed-test:1"

STORAGE: Final = """\
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""

LINKS: Final = ("bin", "lib", "lib64", "sbin")
FOLDERS: Final = ("dev", "etc", "out", "proc", "sys", "tmp", "usr")

VOLUMES: Final = ("--volume", "/usr:/usr:ro", "--volume", f"{OUT}:{OUT}:ro")


def write_image(path: Path) -> None:
    """Write an image's files as a tar archive."""
    with tarfile.open(path, "w") as archive:
        for name in LINKS:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(link)
        for name in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)


class Engines:
    """The engines of one machine, and the kubelet."""

    def __init__(self, machine: Machine) -> None:
        """Prepare storage and image; the engines start when they are asked."""
        self._machine = machine
        machine.write("/etc/containers/storage.conf", STORAGE)
        settings = {"storage-driver": "vfs", "iptables": False, "bridge": "none"}
        machine.write("/etc/docker/daemon.json", json.dumps(settings))
        for folder in ("containerd", "containers/storage", "docker"):
            machine.run("mkdir", "-p", f"/var/lib/{folder}")
            machine.run("mount", "-t", "tmpfs", "tmpfs", f"/var/lib/{folder}")
        self.kubelet = Kubelet(machine.root)
        self.kubelet.start()
        write_image(machine.out / "image.tar")
        machine.run("podman", "import", OUT / "image.tar", IMAGE)
        machine.run("podman", "save", "--output", "/tmp/image.tar", IMAGE)
        machine.run("systemctl", "start", "containerd.service")
        machine.run("ctr", "--namespace", "k8s.io", "images", "import", "--snapshotter", "native", "/tmp/image.tar")
        machine.run("docker", "import", OUT / "image.tar", IMAGE)

    def docker(self, *arguments: str | Path) -> str:
        """Run Docker's client; return its output without the line end."""
        return self._machine.run("docker", *arguments).strip()

    def podman(self, *arguments: str | Path) -> str:
        """Run Podman with runc; return its output without the line end."""
        return self._machine.run("podman", "--runtime", "runc", *arguments).strip()

    def start_docker(self, name: str, *command: str | Path) -> str:
        """Start a container; return its id."""
        return self.docker("run", "--detach", "--network", "none", "--name", name, *VOLUMES, IMAGE, *command)

    def start_podman(self, name: str, *command: str | Path) -> str:
        """Start a container; return its id."""
        options = ("--detach", "--network", "none", "--pids-limit", "0", "--name", name)
        return self.podman("run", *options, *VOLUMES, IMAGE, *command)

    def run_in_pod(
        self, pod: Pod, name: str, number: str, *command: str | Path, group: str = "", wait: bool = True
    ) -> None:
        """Run a container of a pod with containerd, and link its log.

        `group` is the path of its control group with the cgroupfs driver; by default the driver is systemd. Without
        `wait` the link comes after the start, as kubelet's does. With `wait` the container has ended, and the link came
        first: a page between the container's end and the link would count its events without the container's name.
        """
        self.kubelet.make_log(pod, name)
        slice_name = f"kubepods-burstable-pod{pod.uid.replace('-', '_')}.slice"
        driver = ["--cgroup", group] if group else [
            "--runc-systemd-cgroup", "--cgroup", f"{slice_name}:cri-containerd:{number}"
        ]  # fmt: skip
        mounts = [f"type=bind,src={folder},dst={folder},options=rbind:ro" for folder in ("/usr", OUT)]
        options = ["--snapshotter", "native", "--cpu-shares", "0", *driver]
        for mount in mounts:
            options += ["--mount", mount]
        options.append("--rm" if wait else "--detach")
        if wait:
            self.kubelet.link(pod, name, number)
        self._machine.run("ctr", "--namespace", "k8s.io", "run", *options, IMAGE, number, *command)
        if not wait:
            self.kubelet.link(pod, name, number)
