# SPDX-License-Identifier: Apache-2.0
"""Runs probed in a container by runc, with the DaemonSet's settings, as kubelet and containerd do.

The image is made as by the Containerfile, on the tree of `rootfs`: the launcher with its file capabilities, and
probed's sources at the package's paths. An overlay in a private mount namespace protects the tree. The container has
private namespaces, as a pod has; its network is a loopback. Kubelet's folders are the test's own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from support.engines.kubelet import Kubelet, new_id
from support.kubernetes_manifests import BASE, KUBERNETES, Manifest, build, one
from support.running_daemon import PATIENCE, ROOT, Page, tail, until
from support.system.netns import Loopback, loopback

CONTAINERFILE: Final = (KUBERNETES / "Containerfile").read_text().replace("\\\n", " ")
PORT: Final = 9788
HELD_BACK: Final = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READ_ONLY: Final = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
COMMAND: Final = """\
#!/usr/bin/python3 -P
import os, sys
sys.path.insert(0, "/usr/share/probed")
os.environ["PYTHONPATH"] = "/usr/share/probed"
from probed.__main__ import main
sys.exit(main())
"""

OVERLAY: Final = """\
mount -t overlay -o lowerdir="$1",upperdir="$2/upper",workdir="$2/work" overlay "$2/rootfs"
exec runc --root "$2/runc" run --bundle "$2" "$3"
"""


class Container:
    """A running container, stopped when the context ends."""

    def __init__(self, tree: Path, folder: Path) -> None:
        """Start the container on the image's `tree`, with its files in `folder`, as the container `probed` of a pod."""
        self.number = new_id()
        self.log_file = folder / "log"
        self._folder = folder
        self._contexts = ExitStack()
        for name in ("upper", "work", "rootfs"):
            (folder / name).mkdir()
        manifests = build(BASE)
        _fill(folder / "upper", tree, manifests)
        self.kubelet = Kubelet(folder)
        self.kubelet.start()
        self.pod = self.kubelet.add_pod("probed", "probed-x7x2p")
        spec = _spec(manifests, f"/kubepods/pod{self.pod.uid}/{self.number}", folder)
        (folder / "config.json").write_text(json.dumps(spec))
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", OVERLAY, "sh", tree, folder, self.number],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._runc("kill", self.number, "KILL")
            self._process.wait(PATIENCE)
        self._contexts.close()
        self._runc("delete", "--force", self.number)

    def _runc(self, *arguments: str) -> str:
        command = ["runc", "--root", str(self._folder / "runc"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def wait_until_ready(self) -> Container:
        """Wait until probed is ready; return the container."""
        until(self._is_ready, "probed in the container is ready", 2 * PATIENCE)
        self.kubelet.link(self.pod, "probed", self.number)
        return self

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, f"the container ended:\n{tail(self.log_file)}"
        try:
            return self.get("/-/ready") != ""
        except OSError:
            return False

    def get(self, path: str, host: str = "127.0.0.1") -> str:
        """Get a page in the container's network. Raises OSError without an answer."""
        return self._network.make(lambda: _read(f"http://{host}:{PORT}{path}"))

    @cached_property
    def _network(self) -> Loopback:
        """The container's network. Raises FileNotFoundError until the container runs."""
        state = json.loads(self._runc("state", self.number) or "{}")
        path = Path(f"/proc/{state.get('pid', 'none')}/ns/net")
        path.stat()
        return self._contexts.enter_context(loopback(path))

    def scrape(self) -> Page:
        """Take the metrics page of this moment."""
        return Page.parse(self.get("/metrics"))

    def run(self, *command: str) -> None:
        """Run a command in the container."""
        self._runc("exec", self.number, *command)

    @property
    def pids(self) -> list[int]:
        """Return the container's process ids as seen from outside, PID 1 first."""
        return sorted(json.loads(self._runc("ps", "--format", "json", self.number)))

    def stop(self) -> int:
        """Send SIGTERM, as the kubelet does, and return the exit status."""
        self._runc("kill", self.number, "TERM")
        return self._process.wait(PATIENCE)


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def _entrypoint() -> list[str]:
    found = re.search(r"^ENTRYPOINT (.*)$", CONTAINERFILE, re.MULTILINE)
    assert found
    return list(json.loads(found[1]))


def _fill(upper: Path, tree: Path, manifests: list[Manifest]) -> None:
    """Add the files of the Containerfile, the package and the ConfigMap to the image."""
    launcher = upper / _entrypoint()[0].lstrip("/")
    share = upper / "usr/share/probed"
    command = upper / "usr/bin/probed"
    for folder in (launcher.parent, share, command.parent, upper / "etc/probed"):
        folder.mkdir(parents=True)
    shutil.copy(tree / "usr/bin/setpriv", launcher)
    capabilities = re.search(r"setcap (\S+)", CONTAINERFILE)
    assert capabilities
    subprocess.run(["setcap", capabilities[1], launcher], check=True)
    ignore = shutil.ignore_patterns("*.egg-info")
    shutil.copytree(ROOT / "daemon" / "probed", share / "probed", ignore=ignore)
    shutil.copytree(ROOT / "probes", share / "probes")
    command.write_text(COMMAND)
    command.chmod(0o755)
    for name, text in one(manifests, "ConfigMap")["data"].items():
        (upper / "etc/probed" / name).write_text(text)


def _spec(manifests: list[Manifest], group: str, kubelet: Path) -> dict[str, Any]:
    """Return the OCI configuration of the pod as containerd makes one. Source: OCI runtime-spec, config-linux.md.

    The folders of the host's /var/log are those below `kubelet`.

    An unprivileged user gets capabilities only as a bound: none is inheritable or ambient (containerd's CRI,
    CVE-2022-24769).
    """
    pod = one(manifests, "DaemonSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security, user = container["securityContext"], pod["securityContext"]
    assert security["capabilities"]["drop"] == ["ALL"]
    capabilities = [f"CAP_{name}" for name in security["capabilities"]["add"]]
    profile = json.loads((KUBERNETES / "localhost-seccomp" / "probed.json").read_text())
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": _entrypoint() + container["args"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "user": {"uid": user["runAsUser"], "gid": user["runAsGroup"]},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": not security["allowPrivilegeEscalation"],
        },
        "root": {"path": "rootfs", "readonly": security["readOnlyRootFilesystem"]},
        "mounts": _mounts(pod, container, kubelet),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network", "cgroup")],
            "cgroupsPath": group,
            "maskedPaths": HELD_BACK,
            "readonlyPaths": READ_ONLY,
            "seccomp": profile,
        },
    }


def _mounts(pod: dict[str, Any], container: dict[str, Any], kubelet: Path) -> list[dict[str, Any]]:
    none = ["nosuid", "noexec", "nodev"]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": none},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*none, "ro"]},
    ]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "hostPath" in volume:
            options = ["rbind", "rprivate", "ro" if mount.get("readOnly") else "rw"]
            source, kind = volume["hostPath"]["path"], "bind"
            if source.startswith("/var/log/"):
                source = f"{kubelet}{source}"
        elif "emptyDir" in volume:
            options, source, kind = ["nosuid", "nodev", "mode=1777"], "tmpfs", "tmpfs"
        else:
            continue  # the ConfigMap's file is in the image
        mounts.append({"destination": mount["mountPath"], "type": kind, "source": source, "options": options})
    return mounts
