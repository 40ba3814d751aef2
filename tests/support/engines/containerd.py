# SPDX-License-Identifier: Apache-2.0
"""containerd with pods of a kubelet: calls of the Container Runtime Interface and log folders, in kubelet's order.

Source: Kubernetes pkg/kubelet/kuberuntime (SyncPod, createPodSandbox, startContainer).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from support.engines.cri import EXITED, HOST_NETWORK, RuntimeService
from support.engines.images import ARCHIVE, IMAGE, STAYS, mounts, wrapper
from support.engines.kubelet import Kubelet, Pod
from support.running_daemon import until
from support.system.machine import OUT, Machine

HANDLERS: Final = {"runc": ("runc", True), "crun": ("crun", True), "cgroupfs": ("runc", False)}
"""Runtime handlers: the runtime, and whether systemd makes the control groups."""

CONFIGURATION: Final = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"""

HANDLER: Final = """\
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
BinaryName = "{binary}"
SystemdCgroup = {systemd}
"""

NAMESPACES: Final = {"namespace_options": {"network": HOST_NETWORK, "pid": 1}}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running pod: its id and its configuration, which each call for a container repeats."""

    pod: Pod
    number: str
    configuration: dict[str, Any]


class Node:
    """containerd and kubelet of one machine, within the context."""

    def __init__(self, machine: Machine) -> None:
        """Configure and start containerd, and import the image that `podman save` has written."""
        self._machine = machine
        self.kubelet = Kubelet(machine.root)
        self.kubelet.start()
        handlers = [
            HANDLER.format(name=name, binary=wrapper(runtime), systemd=str(systemd).lower())
            for name, (runtime, systemd) in HANDLERS.items()
        ]
        machine.write("/etc/containerd/config.toml", CONFIGURATION.format(image=IMAGE) + "".join(handlers))
        machine.run("systemctl", "restart", "containerd.service")
        self._ctr("images", "import", "--snapshotter", "native", ARCHIVE)
        self._service = RuntimeService(machine.root / "run/containerd/containerd.sock")

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.__exit__(kind, error, trace)

    def _ctr(self, *arguments: str | Path) -> str:
        return self._machine.run("ctr", "--namespace", "k8s.io", *arguments)

    def run(self, number: str, *command: str | Path, group: str = "") -> None:
        """Run a container outside of pods by containerd's own client; `group` is ``SLICE:PREFIX:ID`` for systemd."""
        options = ["--rm", "--snapshotter", "native", "--runc-binary", str(wrapper("runc"))]
        options += mounts("--mount", "type=bind,src={0},dst={0},options=rbind:ro")
        options += ["--runc-systemd-cgroup", "--cgroup", group] if group else []
        self._ctr("run", *options, IMAGE, number, *command)

    def run_pod(self, namespace: str, name: str, handler: str = "runc") -> Sandbox:
        """Make a pod's folder, and run the sandbox."""
        pod = self.kubelet.add_pod(namespace, name)
        configuration = {
            "metadata": {"name": name, "uid": pod.uid, "namespace": namespace},
            "log_directory": f"/var/log/pods/{namespace}_{name}_{pod.uid}",
            "linux": {
                "cgroup_parent": f"/{pod.slice}" if HANDLERS[handler][1] else f"/kubepods/burstable/pod{pod.uid}",
                "security_context": NAMESPACES,
            },
        }
        answer = self._service.call("RunPodSandbox", config=configuration, runtime_handler=handler)
        return Sandbox(pod, answer.pod_sandbox_id, configuration)

    def start_container(self, sandbox: Sandbox, name: str, *command: str | Path, attempt: int = 0) -> str:
        """Start a container, by default one that stays, and link its log; return the id."""
        self.kubelet.make_log(sandbox.pod, name)
        configuration = {
            "metadata": {"name": name, "attempt": attempt},
            "image": {"image": IMAGE},
            "command": list(map(str, command or STAYS)),
            "mounts": [{"container_path": each, "host_path": each, "readonly": True} for each in ("/usr", str(OUT))],
            "log_path": f"{name}/{attempt}.log",
            "linux": {"security_context": NAMESPACES},
        }
        made = self._service.call(
            "CreateContainer", pod_sandbox_id=sandbox.number, config=configuration, sandbox_config=sandbox.configuration
        )
        self._service.call("StartContainer", container_id=made.container_id)
        self.kubelet.link(sandbox.pod, name, made.container_id)
        return str(made.container_id)

    def execute(self, container: str, *command: str | Path) -> None:
        """Run a command in a container to its end, as `kubectl exec` and the kubelet's exec probes do."""
        answer = self._service.call("ExecSync", container_id=container, cmd=list(map(str, command)))
        assert answer.exit_code == 0, f"{command}: exit status {answer.exit_code}: {answer.stderr}"

    def wait_for_end(self, container: str) -> None:
        """Wait until a container has ended."""
        until(lambda: self._state(container) == EXITED, f"the container {container} has ended")

    def _state(self, container: str) -> int:
        return int(self._service.call("ContainerStatus", container_id=container).status.state)

    def remove_container(self, sandbox: Sandbox, name: str, container: str) -> None:
        """Remove an ended container and its link, as kubelet does before the second restart after it."""
        self._service.call("RemoveContainer", container_id=container)
        self.kubelet.unlink(sandbox.pod, name, container)

    def remove_pod(self, sandbox: Sandbox) -> None:
        """Stop and remove a pod with all its containers, and remove its folders."""
        self._service.call("StopPodSandbox", pod_sandbox_id=sandbox.number)
        self._service.call("RemovePodSandbox", pod_sandbox_id=sandbox.number)
        self.kubelet.remove(sandbox.pod)
