# SPDX-License-Identifier: Apache-2.0
"""Explains "Operation not permitted" of bpf(2), which has four causes with different remedies.

`refusal` and `common.hook_chain` ask after a failure. EpermFacts are gathered at that moment; two pure functions
explain.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Literal

from probed.errors import Reason
from probed.frozen import frozen
from probed.linux import lockdown, privilege

Refused = Literal["map", "program", "attachment"]

_READS_KERNEL = "bpf_probe_read"
_NO_SUCH_HELPER = ("unknown func", "cannot use helper")
"""The verifier's words for a missing helper; the second since Linux 6.10."""


@frozen
class EpermFacts:
    """Facts for the cause: `small_map` (a map of a few bytes can be created) and `memlock` (a limit in bytes)."""

    capable: bool
    lockdown: lockdown.Mode | None
    memlock: int
    small_map: bool

    @classmethod
    def gather(cls, root: Path = Path("/")) -> EpermFacts:
        """Ask this process and its kernel."""
        return cls(
            privilege.may_load_bpf(),
            lockdown.mode(root),
            resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
            privilege.may_create_map(),
        )


def explain_eperm(what: Refused, facts: EpermFacts) -> tuple[Reason, str]:
    """Return the reason for EPERM, and cause with remedy as the end of a sentence."""
    if not facts.capable:
        return "permission", "it needs CAP_BPF and CAP_PERFMON"
    if facts.lockdown in ("integrity", "confidentiality"):
        return "lockdown", _locked(facts.lockdown)
    if what == "map" and facts.small_map and facts.memlock != resource.RLIM_INFINITY:
        return "memlock", (
            f"the limit of locked memory is {facts.memlock:,} bytes, which maps counted against before Linux 5.11: "
            "raise it (in a systemd unit: LimitMEMLOCK=infinity)"
        )
    return "permission", (
        "CAP_BPF and CAP_PERFMON are there, so a system call filter or a security module refuses it: see the audit "
        "log (in a container, its seccomp profile)"
    )


def hidden_by_lockdown(verifier_log: str, facts: EpermFacts) -> str:
    """Return cause and remedy when lockdown hides a helper from the verifier, else "".

    Source: bpf_base_func_proto() in Linux kernel/bpf/helpers.c, LOCKDOWN_BPF_READ_KERNEL: mode confidentiality.
    """
    missing = (line for line in verifier_log.splitlines() if any(said in line for said in _NO_SUCH_HELPER))
    if facts.lockdown == "confidentiality" and any(_READS_KERNEL in line for line in missing):
        return _locked(facts.lockdown)
    return ""


def _locked(mode: lockdown.Mode) -> str:
    return (
        f"the kernel is locked down (/sys/kernel/security/lockdown: {mode}), so that nobody reads its memory: boot "
        f"with {'lockdown=integrity' if mode == 'confidentiality' else 'lockdown=none'}, or without secure boot"
    )
