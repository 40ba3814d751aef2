# SPDX-License-Identifier: Apache-2.0
"""The causes of "Operation not permitted", from facts: most cannot be brought about on one machine."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from probed.linux import lockdown
from probed.loader.errors.eperm import EpermFacts, Refused, explain_eperm, hidden_by_lockdown

FREE = EpermFacts(capable=True, lockdown="none", memlock=resource.RLIM_INFINITY, small_map=True)
EVERYTHING: tuple[Refused, ...] = ("map", "program", "attachment")

UNKNOWN_HELPER = "0: (85) call bpf_probe_read_kernel#113\nunknown func bpf_probe_read_kernel#113\nprocessed 1 insns"
HELPER_REFUSED = (
    "0: (85) call bpf_probe_read_kernel#113\nprogram of this type cannot use helper bpf_probe_read_kernel#113"
)


@pytest.mark.parametrize("text", ["[none] integrity confidentiality\n", "none [integrity] confidentiality\n"])
def test_the_mode_of_lockdown_is_the_one_in_brackets(tmp_path: Path, text: str) -> None:
    (tmp_path / "sys/kernel/security").mkdir(parents=True)
    (tmp_path / "sys/kernel/security/lockdown").write_text(text)
    assert lockdown.mode(tmp_path) == text[text.index("[") + 1 : text.index("]")]


def test_a_kernel_without_lockdown_has_no_mode(tmp_path: Path) -> None:
    assert lockdown.mode(tmp_path) is None


@pytest.mark.parametrize("what", EVERYTHING)
def test_missing_capabilities_come_first(what: Refused) -> None:
    reason, text = explain_eperm(
        what, EpermFacts(capable=False, lockdown="integrity", memlock=8 << 20, small_map=False)
    )
    assert reason == "permission"
    assert "CAP_BPF and CAP_PERFMON" in text


@pytest.mark.parametrize("what", EVERYTHING)
@pytest.mark.parametrize("mode", ["integrity", "confidentiality"])
def test_lockdown_is_called_by_its_name(what: Refused, mode: lockdown.Mode) -> None:
    reason, text = explain_eperm(what, replace(FREE, lockdown=mode))
    assert reason == "lockdown"
    assert f"/sys/kernel/security/lockdown: {mode}" in text


def test_a_large_map_where_a_small_one_is_given_and_memory_is_limited_is_memlock() -> None:
    reason, text = explain_eperm("map", replace(FREE, memlock=8 << 20))
    assert reason == "memlock"
    assert "8,388,608 bytes" in text
    assert "LimitMEMLOCK=infinity" in text


@pytest.mark.parametrize(
    ("what", "facts"),
    [
        ("map", FREE),
        ("map", replace(FREE, memlock=8 << 20, small_map=False)),
        ("program", replace(FREE, memlock=8 << 20)),
        ("attachment", replace(FREE, lockdown=None)),
    ],
)
def test_what_nothing_explains_was_a_filter_or_a_security_module(what: Refused, facts: EpermFacts) -> None:
    reason, text = explain_eperm(what, facts)
    assert reason == "permission"
    assert "security module" in text


@pytest.mark.parametrize("log", [UNKNOWN_HELPER, HELPER_REFUSED])
def test_a_helper_that_lockdown_takes_away_is_lockdown(log: str) -> None:
    assert "lockdown=integrity" in hidden_by_lockdown(log, replace(FREE, lockdown="confidentiality"))


@pytest.mark.parametrize(
    ("log", "facts"),
    [
        (UNKNOWN_HELPER, FREE),
        (UNKNOWN_HELPER, replace(FREE, lockdown="integrity")),
        ("unknown func bpf_loop#181", replace(FREE, lockdown="confidentiality")),
        ("invalid access: R1 is bpf_probe_read_kernel's", replace(FREE, lockdown="confidentiality")),
    ],
)
def test_another_verdict_is_the_verifier_s(log: str, facts: EpermFacts) -> None:
    assert hidden_by_lockdown(log, facts) == ""


def test_this_process_has_facts() -> None:
    facts = EpermFacts.gather()
    assert facts.memlock == resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    assert isinstance(facts.capable, bool)
