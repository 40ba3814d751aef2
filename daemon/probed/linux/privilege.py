# SPDX-License-Identifier: Apache-2.0
"""Privileges of each process: two capabilities for the loader, none for the exporter where the kernel allows.

Under a root supervisor both are other users, the loader once it has read the files.

Each process calls it once, after the imports and before any input from outside.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource

from probed.errors import HostError
from probed.frozen import frozen
from probed.linux import bpf, syscalls

CAP_DAC_READ_SEARCH = 2
CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SETPCAP = 8
CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24
CAP_PERFMON = 38
CAP_BPF = 39

LOADER = frozenset({CAP_BPF, CAP_PERFMON})
SUPERVISOR = LOADER | {CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP}
"""As root the supervisor starts the exporter as another user, kills it, and reads the site's files."""


OVERFLOW_ID = 65534
"""User and group without a name that own nothing. Source: Linux Documentation/admin-guide/sysctl/kernel.rst."""

NAMES = {CAP_BPF: "CAP_BPF", CAP_PERFMON: "CAP_PERFMON", CAP_SYS_ADMIN: "CAP_SYS_ADMIN"}
"""Capabilities that matter for loading."""


@frozen
class User:
    """An ordinary user, by numbers: a look-up of names loads libraries that only the loader needs."""

    uid: int
    gid: int


def capability_names() -> tuple[str, ...]:
    """Return the names, of `NAMES`, of this process's capabilities."""
    return tuple(name for capability, name in NAMES.items() if permitted() & 1 << capability)


def _mask(capabilities: frozenset[int]) -> int:
    return sum(1 << capability for capability in capabilities)


def permitted() -> int:
    """Return the permitted capabilities of this process as a bit mask."""
    return syscalls.capget()[1]


def require_bpf() -> None:
    """Raise HostError unless this process may load BPF programs: CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN."""
    if may_load_bpf():
        return
    have = permitted()
    missing = " and ".join(NAMES[c] for c in sorted(LOADER, reverse=True) if not have & 1 << c)
    raise HostError(
        f"cannot load BPF programs: user '{user_name(os.geteuid())}' lacks {missing}; start probed as root, or grant "
        "both (in a systemd unit: AmbientCapabilities=CAP_BPF CAP_PERFMON)",
        "permission",
    )


def may_load_bpf() -> bool:
    """Say whether this process may load BPF programs: with CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN."""
    have = permitted()
    return have & _mask(LOADER) == _mask(LOADER) or bool(have & 1 << CAP_SYS_ADMIN)


def is_root() -> bool:
    """Say whether this process is root, and so starts the exporter as another user."""
    return os.geteuid() == 0


def user_name(uid: int) -> str:
    """Return the name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def exporter_user(wanted: str | None) -> User:
    """Return the exporter's user under a root supervisor: `wanted`, else probed, else `nobody`.

    Raises HostError for a missing user or root.
    """
    names = [wanted] if wanted else ["probed", "nobody"]
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise HostError(f"'{name}' has uid 0: the process that speaks HTTP must not be root; name another user")
        return User(entry.pw_uid, entry.pw_gid)
    raise HostError(
        f"no such user: {' or '.join(names)}; create it (useradd --system {names[0]}), or name another user here"
    )


def leave_root() -> None:
    """Become an ordinary user with the same capabilities, if this process is root; root's files are out of reach then.

    Raises OSError.
    """
    if not is_root():
        return
    try:
        user = exporter_user(None)
    except HostError:
        user = User(OVERFLOW_ID, OVERFLOW_ID)
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    _become(user)
    _, allowed, inheritable = syscalls.capget()
    syscalls.capset(allowed, allowed, inheritable)


def _become(user: User) -> None:
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def keep_only(capabilities: frozenset[int]) -> None:
    """Give up every other capability, for this process and its children.

    The bounding set shrinks only with CAP_SETPCAP, which an ordinary service user does not have. Before Linux 5.11 the
    memory of maps counts as locked memory, so CAP_SYS_RESOURCE, if there, removes the limit of locked memory.
    Source: capabilities(7).
    """
    if permitted() & 1 << CAP_SYS_RESOURCE:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    keep = _mask(capabilities)
    if permitted() & 1 << CAP_SETPCAP:
        for capability in range(last_capability() + 1):
            if not keep & 1 << capability:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
    have = permitted() & keep
    syscalls.capset(have, have, syscalls.capget()[2] & have)


def last_capability() -> int:
    """Return the highest capability of the kernel, found by trying, since /proc may be hidden."""
    capability = 0
    while True:
        try:
            syscalls.prctl(syscalls.PR_CAPBSET_READ, capability + 1)
        except OSError:
            return capability
        capability += 1


def maps_are_for_bpf_only() -> bool:
    """Say, by trying, whether reading a map takes CAP_BPF even for a process with the map's fd.

    False also for a process without CAP_BPF to keep. Source: Linux commit c8644cd0efe7 ("bpf: refine
    kernel.unprivileged_bpf_disabled behaviour") (in v5.19).
    """
    effective, permitted, inheritable = syscalls.capget()
    room = ctypes.create_string_buffer(8)
    try:
        array = _small_map()
    except PermissionError:
        return False
    syscalls.capset(0, permitted, inheritable)
    try:
        bpf.lookup(array, ctypes.addressof(room), ctypes.addressof(room))
    except PermissionError:
        return True
    finally:
        syscalls.capset(effective, permitted, inheritable)
        os.close(array)
    return False


def may_create_map() -> bool:
    """Say, by trying, whether this process may create a map of a few bytes."""
    try:
        os.close(_small_map())
    except OSError:
        return False
    return True


def _small_map() -> int:
    return bpf.create_map(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1)


def become(user: User | None, keep: frozenset[int] = frozenset()) -> None:
    """Become `user` (None: stay) with the capabilities `keep` alone, and never gain another.

    Later imports need files that `user` may read. Raises OSError when the kernel refuses, HostError for root.
    """
    if (user.uid if user else os.geteuid()) == 0:
        raise HostError("the process that speaks HTTP must not be root, and the supervisor names no other user")
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    if permitted() & 1 << CAP_SETPCAP:
        for capability in range(last_capability() + 1):
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
    if user is not None:
        if keep:
            syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
        _become(user)
    syscalls.capset(_mask(keep), _mask(keep), 0)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
