# SPDX-License-Identifier: Apache-2.0
"""Fold rules for names with a counter or a random part; they apply unless a site sets ``fold_defaults: false``.

`override` appends the rules to those of the site and the declaration. A comment names the program that makes the names.
Instances of templates stay (``getty@tty1.service``, ``user@1000.service``), because a configuration bounds their
number; instances with a counter are folded.

Programs without a rule of their own get the last rule of `unit`, by the form of the name: a long random or counted part
becomes ``*``. The rules before are the exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from probed.config.folding.fold_rules import FoldRule

_COMM: Final = (
    # Workers of workqueues, by CPU or pool and number, or by queue. Linux kernel/workqueue.c.
    FoldRule("kworker/.*", "kworker"),
    # One for each CPU. Linux kernel/softirq.c, stop_machine.c, cpu.c, rcu/tree.c, rcu/tree_nocb.h, rcu/tree_plugin.h,
    # irq_work.c, softirq.c (with PREEMPT_RT), drivers/powercap/idle_inject.c, net/core/dev.c.
    FoldRule(
        "(ksoftirqd|migration|cpuhp|rcuc|rcub|rcuo[bgps]|idle_inject|irq_work|ktimers|backlog_napi|watchdog)/[0-9]+",
        r"\1",
    ),
    # Threads of interrupts, by number, which a reload of the driver changes. Linux kernel/irq/manage.c.
    FoldRule("irq/[0-9]+-(?:s-)?(.*)", r"irq/\1"),
    # One for each memory node or monitor. Linux mm/vmscan.c, mm/compaction.c, mm/damon/core.c.
    FoldRule(r"(kswapd|kcompactd|kdamond)\.?[0-9]+", r"\1"),
    # One for each file system or device below, which containers and snapshots number. Linux fs/jbd2/journal.c,
    # fs/xfs, fs/direct-io.c, drivers/md/dm.c, drivers/md/dm-crypt.c, net/core/dev.c.
    FoldRule("(jbd2|xfsaild|xfs-[a-z]+|dio|kdmflush|dmcrypt_write|napi)/.*", r"\1"),
    # One for each ext4 file system with multiple mount protection. Linux fs/ext4/mmp.c.
    FoldRule("kmmpd-.*", "kmmpd"),
    # One for each loop device or SCSI host, numbered as they come. Linux drivers/block/loop.c, drivers/scsi/hosts.c.
    FoldRule("(loop|scsi_eh|scsi_tmf)_?[0-9]+", r"\1"),
    # Threads of a software RAID. Linux drivers/md/md.c.
    FoldRule("md[0-9]+_(.*)", r"md_\1"),
    # Named after a process or a connection. Linux io_uring/io-wq.c, io_uring/sqpoll.c, drivers/vhost/vhost.c,
    # arch/x86/kvm/i8254.c, fs/smb/server/transport_tcp.c.
    FoldRule("(iou-wrk|iou-sqp|vhost|kvm-pit|ksmbd)[-/:][0-9]+", r"\1"),
)

_MANAGER: Final = r"(user@[0-9]+\.service/)?"
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_RANDOM: Final = "(?:[0-9]+|[0-9a-f]{8,})"

_KEPT: Final = "|".join(
    (
        # Containers, and instances of templates, which a configuration bounds: systemd-cryptsetup@luks\x2d….service,
        # systemd-fsck@dev-disk-by\x2duuid-….service, beesd@….service, ceph-…@osd.3.service.
        _MANAGER + "(?:[a-z]+:|[^/@]+@)[^/]+",
        # Mounts and swap space, named after their device or folder: dev-disk-by\x2duuid-….swap.
        r".*\.(?:mount|swap)",
        # Users by uid; virtual machines of Proxmox, whose numbers the administrator chooses.
        r"user-[0-9]+\.slice",
        r"[0-9]+\.scope",
    )
)

_RANDOM_PART: Final = (
    # Begins behind a dash, dot, colon, slash or underscore, which systemd may have escaped, or behind the kubelet's
    # "pod"; not behind user@.
    r"(?i)(?:(?<![0-9a-z@])|(?<=\\x2d)|(?<=pod))(?:"
    # A UUID: 8, 4, 4, 4 and 12 hex digits.
    r"[0-9a-f]{8}[-_\\][-_\\x0-9a-f]{27,39}?"
    # Hex digits: 8 or more, of which one is no letter.
    r"|(?=[a-f]*[0-9])[0-9a-f]{8,}"
    # Letters and digits: 20 or more, three digits or more, of which one precedes a letter.
    r"|(?=[a-z]*[0-9][a-z]*[0-9][a-z]*[0-9])(?=[0-9a-z]*[0-9][a-z])[0-9a-z]{20,}"
    r")(?![0-9a-z])"
    # A counter, date or process id: 6 decimal digits or more at the end of a part. Ports and years have fewer.
    r"|(?<![0-9@])[0-9]{6,}(?![0-9a-z])"
)
"""Matches each part of a name that a program made at random or counted."""

_UNIT: Final = (
    # Sessions of logind, by number, with a c before it where audit gave none. systemd src/login/logind-session.c.
    FoldRule(_MANAGER + r"session-c?[0-9]+\.scope", r"\1session-*.scope"),
    # systemd-run without --unit: by invocation, by bus connection, by pidfd, of old by process. systemd src/run/run.c.
    FoldRule(
        _MANAGER + r"run-(?:r[0-9a-f]{32}|u[0-9]+|p[0-9]+-i[0-9]+|[0-9]+)\.(service|scope|mount|socket)",
        r"\1run-*.\2",
    ),
    # A connection of a socket with Accept=yes (systemd-coredump@N-PID-UID, sshd@N-ADDRESS:PORT-ADDRESS:PORT).
    # systemd src/core/socket.c, instance_from_socket().
    FoldRule(_MANAGER + rf"([^/@]+)@(?!{_UUID})[0-9]+-[0-9a-f.:_]+-[0-9a-f.:_-]+\.service", r"\1\2@*.service"),
    # Services that dbus-broker starts for a bus name, by its own connection and number. dbus-broker src/launch.
    FoldRule(_MANAGER + r"dbus-:[0-9.]+-([^/@]+)@[0-9]+\.service", r"\1dbus-:*-\2@*.service"),
    # Applications that a desktop starts. https://systemd.io/DESKTOP_ENVIRONMENTS/
    FoldRule(_MANAGER + rf"app-([^/@]+)@{_RANDOM}\.service", r"\1app-\2@*.service"),
    FoldRule(_MANAGER + rf"app-([^/@]+)-{_RANDOM}\.scope", r"\1app-\2-*.scope"),
    # Terminals of VTE, windows of tmux, applications of snapd: one uuid each. VTE src/systemd.cc, tmux
    # compat/systemd.c, snapd sandbox/cgroup.
    FoldRule(_MANAGER + rf"(vte-spawn|tmux-spawn|snap\.[^/]+)[-.]{_UUID}\.scope", r"\1\2-*.scope"),
    # Podman without privilege: where it moves itself, and what keeps its namespace. Podman pkg/systemd, utils.
    FoldRule(_MANAGER + r"(podman|podman-pause)-[0-9a-f]+\.scope", r"\1\2-*.scope"),
    # Virtual machines, which libvirt numbers anew at each start. libvirt src/util/virsystemd.c.
    FoldRule(r"machine-qemu\\x2d[0-9]+\\x2d(.*)\.scope", r"machine-qemu\\x2d*\\x2d\1.scope"),
    # BuildKit's containers: one for each step of a build.
    FoldRule(_MANAGER + "buildkit:.*", r"\1buildkit:*"),
    # The exceptions from the last rule.
    FoldRule(_KEPT, r"\g<0>"),
    # Every other random or counted part: see _RANDOM_PART.
    FoldRule(_RANDOM_PART, "*", parts=True),
)

_SUFFIX: Final = "-[bcdfghjklmnpqrstvwxz2456789]{5}"
"""Five letters and digits at random. Kubernetes apimachinery/pkg/util/rand (alphanums)."""

_POD: Final = (
    # Jobs of a CronJob by minute since 1970, of old by second, or with a date in their name; perhaps with an index.
    # A Deployment's pods stay: the hash of a ReplicaSet has no digit below 4 (rand.SafeEncodeString).
    # Kubernetes pkg/controller/cronjob/utils.go (getJobName), pkg/controller/job/indexed_job_utils.go.
    FoldRule(rf"(.+?)-(?:[23][0-9]{{7}}|1[0-9]{{9}})(?:-[0-9]{{1,6}})?{_SUFFIX}", r"\1"),
    # Jobs with a number, and the indices of a Job.
    FoldRule(rf"(.+?)(?:-[0-9]{{1,6}})?-[0-9]{{1,6}}{_SUFFIX}", r"\1"),
    # Jobs made by generateName.
    FoldRule(rf"(.+?){_SUFFIX}{_SUFFIX}", r"\1"),
)

RULES: Final[Mapping[str, tuple[FoldRule, ...]]] = {"comm": _COMM, "parent": _COMM, "unit": _UNIT}
"""The rules of a label, by the name under which it is declared."""

RULES_BY_DECODER: Final[Mapping[str, tuple[FoldRule, ...]]] = {"pod": _POD}
"""The rules of labels that a site names as it likes, by decoder."""
