# SPDX-License-Identifier: Apache-2.0
r"""Whose a cgroup is, from its path alone: a systemd unit, a container, a slice. Pure.

`collection` asks it for what `cgroups` found. The path is that of the cgroup2 hierarchy from its root, as the kernel's
tracepoint cgroup_mkdir and the mounted tree have it; names that are not UTF-8 come as `os.fsdecode` makes them.

From the root downwards the first of these decides, for what is below it was named from inside:

- A container, whichever way its runtime named it: ``docker:``, ``podman:``, ``cri:`` (containerd's and CRI-O's through
  the CRI), ``containerd:`` (nerdctl's) or ``container:`` (an id alone) and the first 12 digits of the id; ``lxc:`` and
  the name. What watches over it outside (conmon, lxc-start) is the container too.
- A systemd unit that is no slice: cgroups below it are its own, for a unit with Delegate= makes what it likes. Only in
  a service a container still counts, where a runtime with the cgroupfs driver runs as one. Not so Podman's
  ``--cgroups=split`` (Quadlet): there the unit is the container, and its name outlives the id.
- ``user@UID.service``, a user's own manager: what is below goes behind it, as ``user@1000.service/app.service`` and
  ``user@1000.service/podman:…``. The user may name cgroups there after anybody's container or pod.

Without any of them it is the innermost slice, the root ``/``, or, in a tree that systemd did not make, the first two
names of the path (``/apps/web``): what is further below belongs to them.

What does not print becomes ``%XX`` for each byte, and ``%`` itself ``%25``: no unit's name has a percent sign, and the
backslashes of systemd's own escapes (``a\x2db.service``) stay as systemctl shows them.

Sources: https://systemd.io/CGROUP_DELEGATION and systemd's src/basic/cgroup-util.c (cg_path_get_unit, cg_unescape);
https://docs.docker.com/engine/containers/runmetrics (``docker-ID.scope``, ``docker/ID``); Podman's libpod
(``libpod-ID``, ``libpod-conmon-ID.scope``, ``libpod-payload-ID``; issue 16589 for Quadlet); containerd's issue 4900
and pull request 290 of containerd/cri (``cri-containerd-ID.scope``, ``SLICE:cri-containerd:ID``); CRI-O's
internal/config/cgmgr (``crio-ID``, ``crio-conmon-ID``); Kubernetes' pkg/kubelet/cm/cgroup_manager_linux.go
(``kubepods-burstable-podUID.slice`` with ``_`` for ``-``, ``kubepods/burstable/podUID``); lxc.container.conf(5)
(``lxc.payload.NAME``, ``lxc.monitor.NAME``) and Proxmox (``lxc/NAME``, ``lxc.monitor/NAME``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose a cgroup is: text of the label `unit`, and the Kubernetes pod's uid (empty outside of pods)."""

    unit: str
    pod_uid: str


_ID = "([0-9a-f]{12})[0-9a-f]{52}"
_BARE_ID = re.compile(_ID)
_CONTAINERS = (
    ("docker", re.compile(rf"docker-{_ID}\.scope")),
    ("podman", re.compile(rf"libpod-(?:conmon-)?{_ID}(?:\.scope)?")),
    ("cri", re.compile(rf"(?:cri-containerd|crio|crio-conmon)-{_ID}(?:\.scope)?")),
    # With a kubelet of systemd's driver and a containerd of the other: runc's "slice:prefix:id", taken for a name.
    ("cri", re.compile(rf"[^:]+:cri-containerd:{_ID}")),
    ("containerd", re.compile(rf"nerdctl-{_ID}\.scope")),
)
"""Names that runtimes give to a container's cgroup."""

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
    """Return whose the cgroup at `path` is. Any text is taken."""
    names = [name for name in path.split("/") if name]
    owner, depth = _owner(names)
    return Attribution(owner or _slice_or_path(names), _pod_uid(names[:depth]))


def _owner(names: list[str]) -> tuple[str, int]:
    """Return the unit or container that a path is in, and how many names lead to it; "" and all where it is in none."""
    for at, name in enumerate(names):
        if container := _container(names, at):
            return container, at + 1
        if _MANAGER.fullmatch(name):
            inside, _ = _owner(names[at + 1 :])
            return (f"{name}/{inside}" if inside else name), at
        if _UNIT.fullmatch(name):
            return _in_unit(names, at)
    return "", len(names)


def _in_unit(names: list[str], unit: int) -> tuple[str, int]:
    """Return the container in a service, or the unit itself."""
    name = names[unit]
    if name.endswith(".service") and not name.startswith("systemd-nspawn@"):
        for at in range(unit + 1, len(names)):
            if container := _container(names, at):
                return container, at + 1
    return _unescaped(name), unit + 1


def _container(names: list[str], at: int) -> str:
    """Return the container that the name at this depth is of, "" for none."""
    name = names[at]
    for runtime, pattern in _CONTAINERS:
        if found := pattern.fullmatch(name):
            return f"{runtime}:{found[1]}"
    if found := _LXC.fullmatch(name):
        return f"lxc:{_printable(found[1])}"
    parent = names[at - 1] if at else ""
    if parent in _LXC_PARENTS:
        return f"lxc:{_printable(name)}"
    found = _BARE_ID.fullmatch(name)
    if not found or parent == "libpod_parent":  # there a bare id is a pod's, with its containers below
        return ""
    runtime = "docker" if parent == "docker" else "cri" if _pod_uid(names[:at]) else "container"
    return f"{runtime}:{found[1]}"


def _pod_uid(names: list[str]) -> str:
    """Return the uid of the pod that the names lead into, with dashes where it has any; "" for none."""
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
