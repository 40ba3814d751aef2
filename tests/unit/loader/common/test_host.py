# SPDX-License-Identifier: Apache-2.0
"""A host knows its attach points, and the registers in which their programs find arguments."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from probed.elf.files import find_file
from probed.elf.functions import read_functions
from probed.elf.usdt import read_usdt_probes
from probed.ipc.attach_points import AttachPoint
from probed.linux import bpf
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from probed.loader.common.host import Host
from probed.loader.common.register_point import INSTRUCTION, REGISTERS, RETURNED, RegisterPoint
from probed.loader.common.usdt_arguments import usdt_forms
from support.unit.btf_builder import BtfBuilder
from support.workload_programs import compile_workloads

PYTHON = str(Path(sys.executable).resolve())
FUNCTION = "Py_BytesMain"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    builder = BtfBuilder()
    number = builder.integer("int", 4)
    builder.tracepoint("sys_exit", number, number)
    for name in ("tcp_v4_connect", "tcp_v6_connect", "udp_sendmsg"):
        builder.refer(Kind.FUNC, builder.prototype(number), name)
    for name in ("task", "bpf_map_elem"):
        builder.struct(f"bpf_iter__{name}", 16)
        builder.refer(Kind.FUNC, builder.prototype(number), f"bpf_iter_{name}")
    builder.struct("bpf_iter__without_function", 16)
    types = tmp_path / "vmlinux"
    types.write_bytes(builder.build())
    assert {"tcp_v4_connect", "tcp_v6_connect", "udp_sendmsg"} < Btf.read(types).functions()
    assert Btf.read(types).iterators() == {"task"}
    return Host(types, 2, "x86_64", 1000)


@pytest.mark.parametrize("text", ["sys_exit", "fentry/udp_sendmsg", "kprobe/tcp_*", "perf_event/cpu-clock@99Hz",
                                  "iterator/task"])  # fmt: skip
def test_an_attach_point_that_is_there_is_found_as_it_is(host: Host, text: str) -> None:
    assert host.find(AttachPoint.parse(text)) == AttachPoint.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "sys_enter",
        "fentry/sys_exit",
        "kprobe/icmp_*",
        "uprobe/exit@no_such_file",
        f"uprobe/no_such@{PYTHON}",
        "iterator/bpf_map_elem",
        "iterator/without_function",
        "iterator/sys_exit",
    ],
)
def test_an_attach_point_that_is_missing_is_not_found(host: Host, text: str) -> None:
    assert host.find(AttachPoint.parse(text)) is None


def test_kinds_with_registers_are_of_x86_64_alone(host: Host) -> None:
    host.machine = "aarch64"
    assert host.find(AttachPoint("fentry", "udp_sendmsg")) is not None
    for text in ("kprobe/udp_sendmsg", f"uprobe/{FUNCTION}@{PYTHON}", "perf_event/cpu-clock@99Hz"):
        assert host.find(AttachPoint.parse(text)) is None
        with pytest.raises(ValueError, match="takes the registers of x86-64, and this machine is aarch64"):
            host.targets(AttachPoint.parse(text))


def test_a_function_of_a_file_is_found_with_the_identity_of_the_file(host: Host) -> None:
    found = host.find(AttachPoint("uprobe", f"{FUNCTION}@{PYTHON}"))
    assert found == AttachPoint("uprobe", f"{FUNCTION}@{PYTHON}", find_file(PYTHON).identity)
    offsets = read_functions(PYTHON)[FUNCTION]
    assert host.kprobe(str(found)) == RegisterPoint((), REGISTERS, file=PYTHON, offsets=offsets)


def test_a_usdt_probe_is_found_with_its_places_semaphores_and_arguments(host: Host, tmp_path: Path) -> None:
    compile_workloads(tmp_path, "marks")
    program = tmp_path / "marks"
    identity = find_file(str(program)).identity
    places = read_usdt_probes(str(program))["known.twice"]
    found = host.find(AttachPoint("usdt", f"known.twice@{program}"))
    assert found == AttachPoint("usdt", f"known.twice@{program}", identity)
    point = host.kprobe(str(found))
    assert point
    assert (point.file, point.offsets) == (str(program), tuple(place.offset for place in places))
    assert point.usdt == usdt_forms("known.twice", places, None)
    assert host.find(AttachPoint("usdt", f"known.thrice@{program}")) is None


def test_a_usdt_probe_with_an_argument_that_no_program_can_read_is_found_without_the_argument(
    host: Host, tmp_path: Path
) -> None:
    compile_workloads(tmp_path, "marks")
    every, first = (AttachPoint("usdt", f"known.odd{number}@{tmp_path}/marks") for number in ("", "(1)"))
    assert host.find(every) is None
    with pytest.raises(ValueError, match=r"programs cannot read argument 1 of the USDT probe 'known\.odd'"):
        host.targets(every)
    assert host.find(first) is not None


def test_programs_find_arguments_the_returned_value_or_the_instruction_in_registers(host: Host) -> None:
    connects = ("tcp_v4_connect", "tcp_v6_connect")
    assert host.kprobe("kprobe/tcp_v?_connect") == RegisterPoint(connects, REGISTERS)
    assert host.kprobe("kretprobe/udp_sendmsg") == RegisterPoint(("udp_sendmsg",), (RETURNED,), returns=True)
    event = host.kprobe("perf_event/cpu-clock@99Hz")
    assert event == RegisterPoint((), (INSTRUCTION,), event="cpu-clock@99Hz")
    at = host.kprobe(f"uretprobe/4096@{PYTHON}#7-a")
    assert at == RegisterPoint((), (RETURNED,), returns=True, file=PYTHON, offsets=(4096,))


def test_each_kind_has_its_type_of_programs(host: Host) -> None:
    types = {text: point.program_type for text in ("kprobe/tcp_*", f"uprobe/7@{PYTHON}", "perf_event/cycles@7")
             if (point := host.kprobe(text))}  # fmt: skip
    assert list(types.values()) == [bpf.KPROBES, bpf.UPROBES, bpf.PERF_EVENTS]


@pytest.mark.parametrize("text", ["sys_exit", "fentry/udp_sendmsg", "fexit/udp_sendmsg"])
def test_programs_with_typed_arguments_need_no_registers(host: Host, text: str) -> None:
    assert host.kprobe(text) is None


def test_the_first_argument_is_numbered_as_in_the_header_of_objects() -> None:
    header = (Path(__file__).parents[4] / "probes/include/core.bpf.h").read_text()
    for name, register in (("RETURNED", RETURNED), ("INSTRUCTION", INSTRUCTION)):
        number = next(int(line.split()[2]) for line in header.splitlines() if line.startswith(f"#define {name} "))
        assert RegisterPoint((), (register,)).first == number
    assert [RegisterPoint((), REGISTERS[first:]).first for first in (0, 1)] == [0, 1]
