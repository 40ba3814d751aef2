# SPDX-License-Identifier: Apache-2.0
"""Attaching to functions: those that the kernel cannot trace are left out, and refusals name the kind."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from probed.elf.usdt import UsdtPlace
from probed.errors import LoadError
from probed.ipc.attach_points import AttachPoint
from probed.linux import bpf
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from probed.loader.common import attachment
from probed.loader.common.register_point import REGISTERS, RegisterPoint
from probed.loader.common.usdt_arguments import usdt_forms
from support.unit.btf_builder import BtfBuilder

FUNCTIONS = tuple(f"tcp_{number}" for number in range(23))


class Kernel:
    """Attaches to traceable functions only; notes every attempt, and which links are open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, traceable: Sequence[str] = FUNCTIONS, error: int = 0) -> None:
        self._traceable = set(traceable)
        self._error = error
        self.attached: list[tuple[tuple[str, ...], bool]] = []
        self._links: list[int] = []
        monkeypatch.setattr(bpf, "attach_kprobe_program", self._attach)

    def _attach(self, _: int, functions: Sequence[str], returns: bool = False) -> int:
        if self._error:
            raise OSError(self._error, os.strerror(self._error))
        if not self._traceable.issuperset(functions):
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        self.attached.append((tuple(functions), returns))
        self._links.append(os.memfd_create("link"))
        return self._links[-1]

    def open_links(self) -> list[int]:
        return sorted({link for link in self._links if Path(f"/proc/self/fd/{link}").exists()})


def attach(point: RegisterPoint) -> list[int]:
    return attachment.attach("a", "on_x", 7, "kretprobe/tcp_*", point)


@pytest.mark.parametrize("left_out", [(), (0,), (22,), (3, 4, 11), tuple(range(22))])
def test_functions_that_the_kernel_cannot_trace_are_left_out(
    monkeypatch: pytest.MonkeyPatch, left_out: Sequence[int]
) -> None:
    traceable = tuple(name for number, name in enumerate(FUNCTIONS) if number not in left_out)
    kernel = Kernel(monkeypatch, traceable)
    (link,) = attach(RegisterPoint(FUNCTIONS, REGISTERS, returns=True))
    assert kernel.attached[-1] == (traceable, True)
    assert kernel.open_links() == [link]
    os.close(link)


def test_an_attach_point_without_a_function_that_the_kernel_can_trace_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(monkeypatch, ())
    with pytest.raises(LoadError, match=r"cannot attach 'on_x' to kretprobe 'tcp_\*': .*cannot trace") as refused:
        attach(RegisterPoint(FUNCTIONS, REGISTERS))
    assert (refused.value.reason, refused.value.errno) == ("attach_point", errno.ESRCH)
    assert kernel.open_links() == []


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_kernel_without_multi_links_is_named(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    Kernel(monkeypatch, error=error)
    with pytest.raises(LoadError, match=r"no multi links of kprobes: they take Linux 5\.18 and CONFIG_FPROBE"):
        attach(RegisterPoint(("tcp_1",), REGISTERS))


def test_a_kernel_without_programs_at_functions_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(attachment.ENOTSUPP, os.strerror(attachment.ENOTSUPP))

    monkeypatch.setattr(bpf, "attach_tracing_program", refuse)
    expected = (
        r"cannot attach 'on_x' to fentry 'vfs_read': ENOTSUPP \(524\); this kernel has no programs at functions: "
        "they take CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, which arm64 has since Linux 6.4"
    )
    with pytest.raises(LoadError, match=expected) as refused:
        attachment.attach("a", "on_x", 7, "fentry/vfs_read", None)
    assert refused.value.reason == "attach_point"


@pytest.mark.parametrize(("semaphore", "also"), [(0, ""), (4096, "; or another tracer is at the same place")])
def test_a_refused_usdt_probe_names_what_can_be_wrong(
    monkeypatch: pytest.MonkeyPatch, semaphore: int, also: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(bpf, "attach_uprobe_program", refuse)
    forms = usdt_forms("libc.setjmp", [UsdtPlace(7, semaphore, "8@%rdi")], None)
    point = RegisterPoint((), (), file="/usr/lib/libc.so.6", offsets=(7,), usdt=forms)
    expected = f"usdt 'libc.setjmp@libc.so.6': Invalid argument (EINVAL); {attachment.NO_UPROBES}{also}"
    with pytest.raises(LoadError, match=re.escape(expected)) as refused:
        attachment.attach("a", "on_x", 7, "usdt/libc.setjmp@libc.so.6", point)
    assert ("another tracer" in str(refused.value)) == bool(also)


def test_an_iterator_has_one_link_and_its_type_has_the_kernels_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "attach_iterator_program", lambda fd, target: {(7, "task"): 11}[fd, target])
    assert attachment.attach("a", "each_task", 7, "iterator/task") == [11]
    builder = BtfBuilder()
    function = builder.refer(Kind.FUNC, builder.prototype(builder.integer("int", 4)), "bpf_iter_task")
    kernel = Btf.parse(builder.build(), Path("kernel"))
    expected = bpf.ProgramType(bpf.BPF_PROG_TYPE_TRACING, bpf.BPF_TRACE_ITER, function)
    assert attachment.tracing_type(kernel, AttachPoint("iterator", "task")) == expected


def test_a_refused_iterator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(bpf, "attach_iterator_program", refuse)
    with pytest.raises(LoadError, match=r"cannot attach 'each' to iterator 'sockmap': Bad file descriptor \(EBADF\)"):
        attachment.attach("a", "each", 7, "iterator/sockmap")


def test_a_kernel_without_multi_links_of_uprobes_is_known_by_its_enum() -> None:
    builder = BtfBuilder()
    builder.enum("bpf_attach_type", 4, BPF_TRACE_KPROBE_MULTI=42)
    assert attachment.lacks_uprobes(Btf.parse(builder.build(), Path("old")))
    builder = BtfBuilder()
    builder.enum("bpf_attach_type", 4, BPF_TRACE_UPROBE_MULTI=48)
    assert not attachment.lacks_uprobes(Btf.parse(builder.build(), Path("new")))
