# SPDX-License-Identifier: Apache-2.0
"""One text for each attach point, and names of hooks that the compiler takes."""

from __future__ import annotations

import re

import pytest

from probed.config.declaration.scalars import MAX_ARGUMENTS, MAX_FUNCTION, MAX_PROVIDER, MAX_USDT_NAME
from probed.elf.files import MAX_PATH
from probed.ipc.attach_points import KINDS, OF_FILES, AttachPoint, has_target, hook_name

POINTS = [AttachPoint(kind, "vfs_read") for kind in KINDS if kind not in OF_FILES]
POINTS += [AttachPoint("perf_event", "cpu-clock@99Hz"), AttachPoint("perf_event", "cpu-clock@99")]
FILES = [AttachPoint(kind, "exit@/usr/lib/libc-2.so.6", "7-a") for kind in KINDS if kind in OF_FILES]
FILES += [AttachPoint("usdt", "libc.setjmp(0)@/usr/lib/libc.so.6", "7-a")]
FILES += [AttachPoint("uprobe", target) for target in ("exit@libc.so.6", "4096@libc.so.6", "exit@libc+so.6")]
PATTERNS = [AttachPoint("kprobe", pattern) for pattern in ("tcp_*", "tcp_?", "tcp__", "tcp_[a-z]", "tcp_[!z]")]


@pytest.mark.parametrize("point", [*POINTS, *PATTERNS, *FILES], ids=str)
def test_an_attach_point_comes_back_from_its_text(point: AttachPoint) -> None:
    assert AttachPoint.parse(str(point)) == point


def test_the_text_of_a_raw_tracepoint_is_its_name() -> None:
    assert str(AttachPoint("raw_tracepoint", "sys_exit")) == "sys_exit"
    assert str(AttachPoint("fentry", "vfs_read")) == "fentry/vfs_read"


def test_each_attach_point_has_a_hook_of_its_own_with_a_name_of_c() -> None:
    names = [hook_name(str(point)) for point in [*POINTS, *PATTERNS, *FILES]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in names)


def test_a_pattern_needs_one_match_and_a_name_itself() -> None:
    known = {"tcp_v4_connect", "tcp_v6_connect"}
    assert has_target(AttachPoint("kprobe", "tcp_v?_connect"), known)
    assert not has_target(AttachPoint("kprobe", "udp_*"), known)
    assert not has_target(AttachPoint("fentry", "tcp_v?_connect"), known)
    assert has_target(AttachPoint("fexit", "tcp_v4_connect"), known)


def test_a_function_of_a_file_is_apart_from_the_file_and_its_identity() -> None:
    point = AttachPoint.parse("uprobe/exit@/usr/lib/libc.so.6#7-a")
    assert (point.function, point.file, point.identity) == ("exit", "/usr/lib/libc.so.6", "7-a")
    assert point.label == "uprobe:exit@/usr/lib/libc.so.6"
    assert has_target(point, {"exit"})
    assert has_target(AttachPoint("uprobe", "4096@libc.so.6"), set())


def test_a_usdt_probe_has_a_name_and_perhaps_a_number_of_arguments() -> None:
    point, other = (AttachPoint.parse(f"usdt/libc.setjmp{number}@libc.so.6") for number in ("", "(0)"))
    assert (point.function, point.arguments, point.file) == ("libc.setjmp", None, "libc.so.6")
    assert (other.function, other.arguments, other.file) == ("libc.setjmp", 0, "libc.so.6")
    assert str(other.in_file("/usr/lib/libc.so.6", "7-a")) == "usdt/libc.setjmp(0)@/usr/lib/libc.so.6#7-a"
    assert has_target(other, {"libc.setjmp"})
    assert not has_target(other, {"libc.setjmp(0)", "libc.longjmp"})


def test_systemd_takes_the_longest_text_as_the_name_of_a_hook() -> None:
    """Its names have at most 255 printable characters, without a colon."""
    identity = "-".join(("f" * 16, "f" * 16))
    text = str(AttachPoint("uretprobe", f"{'x' * MAX_FUNCTION}@{'/' * MAX_PATH}", identity))
    mark = f"{'x' * MAX_PROVIDER}.{'x' * MAX_USDT_NAME}({MAX_ARGUMENTS})"
    usdt = str(AttachPoint("usdt", f"{mark}@{'/' * MAX_PATH}", identity))
    assert max(len(f"hook.{text}"), len(f"hook.{usdt}")) <= 255
