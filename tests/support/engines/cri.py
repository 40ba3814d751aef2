# SPDX-License-Identifier: Apache-2.0
"""A client of the Container Runtime Interface, by which kubelet asks containerd for pods and containers.

Field numbers and types are those of k8s.io/cri-api pkg/apis/runtime/v1/api.proto. Fields that no test needs are left
out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import grpc

from support.protobuf_messages import Fields, message_classes
from support.running_daemon import PATIENCE

PACKAGE: Final = "runtime.v1"

HOST_NETWORK: Final = 2
"""NamespaceMode NODE."""

EXITED: Final = 2
"""ContainerState CONTAINER_EXITED."""

_BY_CONTAINER: Final[Fields] = {"container_id": (1, "string")}
_BY_SANDBOX: Final[Fields] = {"pod_sandbox_id": (1, "string")}

_MESSAGES: Final[Mapping[str, Fields]] = {
    "PodSandboxMetadata": {
        "name": (1, "string"), "uid": (2, "string"), "namespace": (3, "string"), "attempt": (4, "uint32"),
    },
    "NamespaceOption": {"network": (1, "int32"), "pid": (2, "int32"), "ipc": (3, "int32")},
    "LinuxSandboxSecurityContext": {"namespace_options": (1, "NamespaceOption")},
    "LinuxPodSandboxConfig": {
        "cgroup_parent": (1, "string"), "security_context": (2, "LinuxSandboxSecurityContext"),
    },
    "PodSandboxConfig": {
        "metadata": (1, "PodSandboxMetadata"), "log_directory": (3, "string"), "linux": (8, "LinuxPodSandboxConfig"),
    },
    "RunPodSandboxRequest": {"config": (1, "PodSandboxConfig"), "runtime_handler": (2, "string")},
    "RunPodSandboxResponse": _BY_SANDBOX,
    "StopPodSandboxRequest": _BY_SANDBOX,
    "StopPodSandboxResponse": {},
    "RemovePodSandboxRequest": _BY_SANDBOX,
    "RemovePodSandboxResponse": {},
    "ContainerMetadata": {"name": (1, "string"), "attempt": (2, "uint32")},
    "ImageSpec": {"image": (1, "string")},
    "Mount": {"container_path": (1, "string"), "host_path": (2, "string"), "readonly": (3, "bool")},
    "LinuxContainerSecurityContext": {"namespace_options": (3, "NamespaceOption")},
    "LinuxContainerConfig": {"security_context": (2, "LinuxContainerSecurityContext")},
    "ContainerConfig": {
        "metadata": (1, "ContainerMetadata"), "image": (2, "ImageSpec"), "command": (3, "repeated string"),
        "mounts": (7, "repeated Mount"), "log_path": (11, "string"), "linux": (15, "LinuxContainerConfig"),
    },
    "CreateContainerRequest": {
        "pod_sandbox_id": (1, "string"), "config": (2, "ContainerConfig"), "sandbox_config": (3, "PodSandboxConfig"),
    },
    "CreateContainerResponse": _BY_CONTAINER,
    "StartContainerRequest": _BY_CONTAINER,
    "StartContainerResponse": {},
    "ContainerStatusRequest": _BY_CONTAINER,
    "ContainerStatus": {"id": (1, "string"), "state": (3, "int32"), "exit_code": (7, "int32")},
    "ContainerStatusResponse": {"status": (1, "ContainerStatus")},
    "RemoveContainerRequest": _BY_CONTAINER,
    "RemoveContainerResponse": {},
    "ExecSyncRequest": {"container_id": (1, "string"), "cmd": (2, "repeated string"), "timeout": (3, "int64")},
    "ExecSyncResponse": {"stdout": (1, "bytes"), "stderr": (2, "bytes"), "exit_code": (3, "int32")},
}  # fmt: skip

_CLASSES: Final = message_classes(PACKAGE, _MESSAGES)


class RuntimeService:
    """The service of a runtime's socket, open within the context."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")

    def __enter__(self) -> RuntimeService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(self, name: str, **fields: Any) -> Any:
        """Call a procedure with the fields of its request; return the response. Raises grpc.RpcError."""
        procedure = self._channel.unary_unary(
            f"/{PACKAGE}.RuntimeService/{name}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=_CLASSES[f"{name}Response"].FromString,
        )
        return procedure(_CLASSES[f"{name}Request"](**fields), timeout=PATIENCE, wait_for_ready=True)
