# SPDX-License-Identifier: Apache-2.0
r"""The owner of a cgroup, from the path alone: a systemd unit, a container, a slice. Pure.

`collector` calls `attribute` with paths from `cgroup.tree`. A path begins at the root of the cgroup2 hierarchy, as in
the kernel's tracepoint cgroup_mkdir and in the mounted tree; names that are not UTF-8 come as `os.fsdecode` makes them.

From the root downwards the first of these decides, since names further below were given from inside:

- A container, whichever way its runtime named it: ``docker:``, ``podman:``, ``cri:`` (containerd's and CRI-O's through
  the CRI), ``containerd:`` (nerdctl's), ``buildkit:`` or ``container:`` (an id alone) and the first 12 digits of the
  id; ``lxc:`` and the name. A container's monitor process (conmon, lxc-start) and health checks count to the container.
- A systemd unit other than a slice, with all cgroups below: a unit with Delegate= may make any. Only in a service a
  container still counts, where a runtime with the cgroupfs driver runs as a service. The exception is Podman's
  ``--cgroups=split`` (Quadlet): there the unit is the container, and the unit's name outlives the id.
- ``user@UID.service``, a user's own manager, with the owner further below behind a slash:
  ``user@1000.service/app.service``, ``user@1000.service/podman:…``. There the user may choose the name of any
  container or pod.

Otherwise the owner is the innermost slice, the root ``/``, or, in a tree without systemd, the first two names of the
path (``/apps/web``) with all cgroups below.

Bytes that do not print become ``%XX``, and ``%`` becomes ``%25``: no unit's name has a percent sign, and the
backslashes of systemd's own escapes (``a\x2db.service``) stay as systemctl shows them.

Sources: https://systemd.io/CGROUP_DELEGATION and systemd's src/basic/cgroup-util.c (cg_path_get_unit, cg_unescape);
https://docs.docker.com/engine/containers/runmetrics (``docker-ID.scope``, ``docker/ID``);
Podman's libpod (``libpod-ID``, ``libpod-conmon-ID.scope``, ``libpod-payload-ID``; issue 16589 for Quadlet;
healthcheck_linux.go for ``ID-RANDOM.service``); BuildKit's identity/randomid.go (25 digits of base 36) and
executor/oci/spec.go (``SLICE:docker:ID``, ``/docker/buildkit/ID``); containerd's issue 4900 and pull request 290 of
containerd/cri (``cri-containerd-ID.scope``, ``SLICE:cri-containerd:ID``); CRI-O's internal/config/cgmgr (``crio-ID``,
``crio-conmon-ID``); Kubernetes' pkg/kubelet/cm/cgroup_manager_linux.go
(``kubepods-burstable-podUID.slice`` with ``_`` for ``-``, ``kubepods/burstable/podUID``); lxc.container.conf(5)
(``lxc.payload.NAME``, ``lxc.monitor.NAME``) and Proxmox (``lxc/NAME``, ``lxc.monitor/NAME``).
"""

from __future__ import annotations

import re
from itertools import takewhile

from probed.frozen import frozen


@frozen
class Attribution:
    """The owner of a cgroup: text of the label `unit`, and the Kubernetes pod's uid (empty outside of pods).

    `container_id` has all digits of the container's id, empty for other owners and for containers of a user's manager.
    """

    unit: str
    pod_uid: str
    container_id: str = ""


@frozen
class _Owner:
    """The unit or container of a path ("" for none), the names that lead there, and the container's id."""

    unit: str
    depth: int
    container_id: str = ""


SHOWN_DIGITS = 12
"""Digits of a container's id that `unit` shows, as the runtimes' own lists do."""

_ID = "([0-9a-f]{64})"
_BARE_ID = re.compile(_ID)
_BUILD_ID = "([0-9a-z]{25})"
_BARE_BUILD_ID = re.compile(_BUILD_ID)
_CONTAINERS = (
    ("docker", re.compile(rf"docker-{_ID}\.scope")),
    ("docker", re.compile(rf"[^:]+:docker:{_ID}")),
    ("podman", re.compile(rf"libpod-(?:conmon-)?{_ID}(?:\.scope)?")),
    # A health check, which systemd runs beside the container.
    ("podman", re.compile(rf"{_ID}(?:-startup)?(?:-[0-9a-f]{{1,16}})?\.service")),
    ("cri", re.compile(rf"(?:cri-containerd|crio|crio-conmon)-{_ID}(?:\.scope)?")),
    # A kubelet with the systemd driver and a containerd with the cgroupfs driver: runc's "slice:prefix:id" as a name.
    ("cri", re.compile(rf"[^:]+:cri-containerd:{_ID}")),
    ("containerd", re.compile(rf"nerdctl-{_ID}\.scope")),
    # BuildKit within dockerd, which always uses the cgroupfs driver: runc's "slice:prefix:id" as a name.
    ("buildkit", re.compile(rf"[^:]+:docker:{_BUILD_ID}")),
)
"""Names of containers' cgroups by runtime."""

_LXC = re.compile(r"lxc\.(?:payload|monitor)\.(.+)", re.DOTALL)
_LXC_PARENTS = ("lxc", "lxc.payload", "lxc.monitor")

_NAME = r"[0-9A-Za-z:_.\\@-]+"
_UNIT = re.compile(rf"{_NAME}\.(?:service|scope|socket|mount|swap)")
_SLICE = re.compile(rf"{_NAME}\.slice")
_MANAGER = re.compile(r"user@[0-9]+\.service")

_UID = "[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12}"
_POD_SLICE = re.compile(rf"(?:[^:]*-)?kubepods(?:-burstable|-besteffort)?-pod({_UID})\.slice(?::.*)?", re.DOTALL)
_POD = re.compile(f"pod({_UID})")


def attribute(path: str) -> Attribution:
    """Return the owner of the cgroup at `path`, which may be any text."""
    names = [name for name in path.split("/") if name]
    owner = _owner(names)
    return Attribution(owner.unit or _slice_or_path(names), _pod_uid(names[: owner.depth]), owner.container_id)


def _owner(names: list[str]) -> _Owner:
    for at, name in enumerate(names):
        if container := _container(names, at):
            return container
        if _MANAGER.fullmatch(name):
            inside = _owner(names[at + 1 :]).unit
            return _Owner(f"{name}/{inside}" if inside else name, at)
        if _UNIT.fullmatch(name):
            return _in_unit(names, at)
    return _Owner("", len(names))


def _in_unit(names: list[str], unit: int) -> _Owner:
    """Return the container in a service, or the unit itself."""
    name = names[unit]
    if name.endswith(".service") and not name.startswith("systemd-nspawn@"):
        for at in range(unit + 1, len(names)):
            if container := _container(names, at):
                return container
    return _Owner(_unescaped(name), unit + 1)


def _container(names: list[str], at: int) -> _Owner | None:
    """Return the container with the name at this depth, None for none."""
    name = names[at]
    for runtime, pattern in _CONTAINERS:
        if found := pattern.fullmatch(name):
            return _with_id(runtime, found[1], at)
    if found := _LXC.fullmatch(name):
        return _Owner(f"lxc:{_printable(found[1])}", at + 1)
    parent = names[at - 1] if at else ""
    if parent in _LXC_PARENTS:
        return _Owner(f"lxc:{_printable(name)}", at + 1)
    if parent == "buildkit" and (found := _BARE_BUILD_ID.fullmatch(name)):
        return _with_id("buildkit", found[1], at)
    found = _BARE_ID.fullmatch(name)
    if not found or parent == "libpod_parent":  # there a bare id is a pod's, with its containers below
        return None
    runtime = "docker" if parent == "docker" else "cri" if _pod_uid(names[:at]) else "container"
    return _with_id(runtime, found[1], at)


def _with_id(runtime: str, container_id: str, at: int) -> _Owner:
    return _Owner(f"{runtime}:{container_id[:SHOWN_DIGITS]}", at + 1, container_id)


def _pod_uid(names: list[str]) -> str:
    """Return the uid of the pod around these names, with any dashes; "" for none."""
    for at, name in enumerate(names):
        found = _POD_SLICE.fullmatch(name) or ("kubepods" in names[:at] and _POD.fullmatch(name))
        if found:
            return str(found[1]).replace("_", "-")
    return ""


def _slice_or_path(names: list[str]) -> str:
    slices = list(takewhile(_SLICE.fullmatch, names))
    if slices:
        return _unescaped(slices[-1])
    return "/" + "/".join(map(_printable, names[:2]))


def _unescaped(unit: str) -> str:
    """Take off the underscore with which systemd keeps units such as cpu.service apart from the kernel's files."""
    return unit.removeprefix("_")


def _printable(name: str) -> str:
    if name.isprintable() and "%" not in name:
        return name
    return "".join(c if c.isprintable() and c != "%" else _percent(c) for c in name)


def _percent(character: str) -> str:
    escaped = "\udc80" <= character <= "\udcff"
    raw = character.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw)
