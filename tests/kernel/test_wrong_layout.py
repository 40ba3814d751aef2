# SPDX-License-Identifier: Apache-2.0
"""The canary finds BTF with a wrong member offset at load, for the probes that read the member."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from support.kernel_fixtures import OWN_PROBES
from support.running_daemon import PROBES, Daemon, site

BTF = Path("/sys/kernel/btf/vmlinux")


def words(btf: bytes, at: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}I", btf, at)


def with_member_moved(btf: bytes, before: str, member: str, bits: int) -> bytes:
    """Return BTF with a wrong offset of `member`, where it follows the member `before`.

    Source of the format: Linux Documentation/bpf/btf.rst; struct btf_member is name, type, offset in bits.
    """
    header_length, types, types_length, strings, _ = words(btf, 4, 5)
    types, strings = header_length + types, header_length + strings
    first, second = (btf.index(f"\0{name}\0".encode(), strings) + 1 - strings for name in (before, member))
    changed = bytearray(btf)
    for at in range(types, types + types_length - 24, 4):
        if words(btf, at, 1) == (first,) and words(btf, at + 12, 1) == (second,):
            (offset,) = words(btf, at + 20, 1)
            struct.pack_into("<I", changed, at + 20, offset + bits)
    assert changed != btf
    return bytes(changed)


@pytest.mark.parametrize(("before", "member", "bits"), [("pid", "tgid", 32), ("exit_state", "exit_code", 64)])
def test_a_moved_member_is_found_at_load(tmp_path: Path, before: str, member: str, bits: int) -> None:
    moved = tmp_path / "vmlinux"
    moved.write_bytes(with_member_moved(BTF.read_bytes(), before, member, bits))
    configuration = site(dict.fromkeys(["process", "flood"]), [PROBES, OWN_PROBES])
    with Daemon(tmp_path, configuration, arguments=("--kernel.btf", str(moved))) as daemon:
        page = daemon.wait_until_ready().scrape()
    assert page.by("probe", "probed_probe_up") == {"flood": 1}
    assert list(page.by("reason", "probed_probe_load_failures_total", probe="process")) == ["layout"]
    assert f"does not have its member '{member}' where the BTF says" in daemon.log()
