# SPDX-License-Identifier: Apache-2.0
"""Decoders that look names up on the host, held against trees of fixtures."""

import os
from pathlib import Path

import pytest

from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.decoders import Context, decoder
from probed.exporter.decoders.fold import Decoder
from probed.exporter.decoders.host_table import ANEW_SECONDS, MOST, OLD_SECONDS, HostTable
from probed.exporter.decoders.kernel_symbols import KernelSymbols
from probed.exporter.decoders.lookup import Lookups
from probed.ipc.manifest import ResolvedLabel
from support.unit.clock import Clock

HIDDEN = "0000000000000000 T _stext\n0000000000000000 T do_exit\n"
KALLSYMS = """\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t do_exit
ffffffffc0200000 t ext4_sync\t[ext4]
ffffffffa0000000 t bpf_prog_6deef7357e7b4530\t[bpf]
"""


def of(name: str, root: Path) -> Decoder:
    return decoder(ResolvedLabel("x", "x", name, {}), Context(lambda _: Attribution("a.service", "0-1"), Lookups(root)))


def passwd(root: Path, *lines: bytes) -> None:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_bytes(b"\n".join(lines) + b"\n")


def interface(root: Path, name: str, number: str) -> None:
    folder = root / "sys/class/net" / name
    folder.mkdir(parents=True)
    (folder / "ifindex").write_text(number + "\n")


def test_a_cgroup_id_is_its_unit_or_its_pod(tmp_path: Path) -> None:
    assert of("cgroup_unit", tmp_path)(7) == "a.service"
    assert of("pod_uid", tmp_path)(7) == "0-1"


def test_a_uid_is_the_user_s_name_or_itself(tmp_path: Path) -> None:
    passwd(
        tmp_path, b"root:x:0:0::/root:/bin/sh", b"", b"nonsense", b"+::::::", b"who\xff:x:7:7::/:/bin/sh", b"a:x:-1:"
    )
    decode = of("uid", tmp_path)
    assert [decode(uid) for uid in (0, 7, 1000, -1, 0xFFFFFFFF)] == ["root", r"who\xff", "1000"] + ["4294967295"] * 2


def test_the_first_of_two_users_with_one_uid_counts(tmp_path: Path) -> None:
    passwd(tmp_path, b"root:x:0:0::/:/bin/sh", b"toor:x:0:0::/:/bin/sh")
    assert of("uid", tmp_path)(0) == "root"


def test_without_passwd_a_uid_is_itself(tmp_path: Path) -> None:
    assert of("uid", tmp_path)(0) == "0"


def test_an_ifindex_is_the_interface_s_name(tmp_path: Path) -> None:
    interface(tmp_path, "lo", "1")
    interface(tmp_path, "veth\udcff", "12")
    interface(tmp_path, "odd", "x")
    (tmp_path / "sys/class/net/bonding_masters").write_text("\n")
    decode = of("network_interface", tmp_path)
    assert [decode(number) for number in (1, 12, 3, 0)] == ["lo", r"veth\xff", "ifindex:3", "ifindex:0"]


def test_without_sysfs_an_ifindex_is_itself(tmp_path: Path) -> None:
    assert of("network_interface", tmp_path)(1) == "ifindex:1"


def test_a_device_number_of_the_kernel_is_the_device_s_name(tmp_path: Path) -> None:
    folder = tmp_path / "sys/dev/block"
    folder.mkdir(parents=True)
    (folder / "8:1").symlink_to("../../devices/pci0000:00/ata1/block/sda/sda1")
    (folder / "104:1048575").symlink_to("../../devices/virtual/block/cciss!c0d0")
    decode = of("block_device", tmp_path)
    assert decode(8 << 20 | 1) == "sda1"
    assert decode(104 << 20 | 0xFFFFF) == "cciss/c0d0"
    assert [decode(number) for number in (0, 8 << 20, 2**64 - 1)] == ["0:0", "8:0", "17592186044415:1048575"]


def kallsyms(root: Path, content: str) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/kallsyms").write_text(content)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF81000000, "_stext"),
        (0xFFFFFFFF810000FF, "_stext"),
        (0xFFFFFFFF81000100, "do_exit"),
        (0xFFFFFFFFC0200010, "ext4_sync"),
        (0xFFFFFFFFA0000000, "bpf_prog_6deef7357e7b4530"),
        (0xFFFFFFFF81000100 + (1 << 20), "unknown"),
        (0xFFFFFFFF80FFFFFF, "unknown"),
        (0x1000, "0x1000"),
        (0, "0x0"),
        (-1, "unknown"),
    ],
)
def test_a_kernel_address_is_the_symbol_that_it_is_in(tmp_path: Path, address: int, name: str) -> None:
    kallsyms(tmp_path, KALLSYMS)
    assert of("kernel_symbol", tmp_path)(address) == name


def test_an_address_that_the_kernel_hides_is_not_told(tmp_path: Path) -> None:
    kallsyms(tmp_path, HIDDEN)
    assert of("kernel_symbol", tmp_path)(0xFFFFFFFF81000000) == "unknown"


def test_without_kallsyms_no_address_is_told(tmp_path: Path) -> None:
    assert of("kernel_symbol", tmp_path)(0xFFFFFFFF81000000) == "unknown"


def test_symbols_of_a_module_loaded_later_are_found_in_time(tmp_path: Path) -> None:
    clock = Clock()
    kallsyms(tmp_path, HIDDEN)
    symbols = KernelSymbols(tmp_path, clock)
    assert symbols.name(0xFFFFFFFF81000000) is None
    kallsyms(tmp_path, KALLSYMS)
    assert symbols.name(0xFFFFFFFF81000000) is None
    clock.now += 60
    assert symbols.name(0xFFFFFFFF81000000) == "_stext"


def test_symbols_that_cannot_be_read_again_stay_as_they_were(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    kallsyms(tmp_path, KALLSYMS)
    symbols = KernelSymbols(tmp_path, clock)
    assert symbols.name(0xFFFFFFFF81000000) == "_stext"
    assert symbols._fd is not None
    os.close(symbols._fd)
    clock.now += 60
    assert symbols.name(0xFFFFFFFFFFFFFFFF) is None
    assert symbols.name(0xFFFFFFFF81000000) == "_stext"
    assert "kernel symbols cannot be read: [Errno 9]" in caplog.text


def test_a_table_is_read_again_when_it_is_old_or_a_number_is_new() -> None:
    clock, reads, table = Clock(), [], {1: "one"}

    def read() -> list[tuple[int, str]]:
        reads.append(clock.now)
        return list(table.items())

    table_of_host = HostTable(read, clock)
    assert [table_of_host.get(1), table_of_host.get(2), table_of_host.get(1)] == ["one", None, "one"]
    assert len(reads) == 1
    table |= {1: "first", 2: "second"}
    clock.now += ANEW_SECONDS
    assert table_of_host.get(1) == "one"
    assert table_of_host.get(2) == "second"
    clock.now += OLD_SECONDS
    table[1] = "again"
    assert table_of_host.get(1) == "again"
    assert len(reads) == 3


def test_a_table_that_cannot_be_read_is_empty() -> None:
    def read() -> list[tuple[int, str]]:
        raise PermissionError

    assert HostTable(read).get(1) is None


def test_a_table_is_bounded() -> None:
    table_of_host = HostTable(lambda: ((number, "x") for number in range(2 * MOST)))
    assert table_of_host.get(MOST - 1) == "x"
    assert table_of_host.get(MOST) is None
