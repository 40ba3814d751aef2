# SPDX-License-Identifier: Apache-2.0
"""System calls that containerd's default seccomp profile denies to a container with CAP_BPF and CAP_PERFMON alone.

Source: containerd contrib/seccomp/seccomp_default.go at commit 96929a5d3102 (in v1.7), on x86-64; io_uring since pull
request 9320 (in v2.0). Kubernetes calls this profile RuntimeDefault.
"""

from __future__ import annotations

from typing import Final

WITHOUT_CAPABILITY: Final = frozenset(
    (
        "acct", "chroot", "clock_settime", "delete_module", "fanotify_init", "finit_module", "fsconfig", "fsmount",
        "fsopen", "fspick", "init_module", "ioperm", "iopl", "kcmp", "lookup_dcookie", "mount", "mount_setattr",
        "move_mount", "name_to_handle_at", "open_by_handle_at", "open_tree", "pidfd_getfd", "process_madvise",
        "process_vm_readv", "process_vm_writev", "quotactl", "quotactl_fd", "reboot", "setdomainname", "sethostname",
        "setns", "settimeofday", "syslog", "umount2", "unshare", "vhangup",
    )
)  # fmt: skip
"""The profile allows these to containers with another capability."""

ALWAYS: Final = frozenset(
    (
        "_sysctl", "add_key", "create_module", "get_kernel_syms", "get_mempolicy", "io_uring_enter",
        "io_uring_register", "io_uring_setup", "kexec_file_load", "kexec_load", "keyctl", "mbind", "migrate_pages",
        "move_pages", "nfsservctl", "pivot_root", "query_module", "request_key", "set_mempolicy", "swapoff", "swapon",
        "sysfs", "uselib", "userfaultfd", "ustat",
    )
)  # fmt: skip
"""The profile allows these to no container."""

DENIED: Final = WITHOUT_CAPABILITY | ALWAYS

NEW_NAMESPACES: Final = 0x7E020000
"""The flags of clone(2) that the profile denies: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
