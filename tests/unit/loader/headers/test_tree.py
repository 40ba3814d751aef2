# SPDX-License-Identifier: Apache-2.0
"""The header tree has BCC's headers, stays in its directory, and knows system calls by name."""

from __future__ import annotations

import sys
from mmap import PAGESIZE
from pathlib import Path

import pytest

from probed.errors import HostError
from probed.loader.headers.syscall_numbers import number_of, numbers_for
from probed.loader.headers.tree import version_code, write
from probed.loader.headers.types import BASIC

pytest.importorskip("seccomp", reason="python3-seccomp is not installed")


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_the_tree_has_what_bcc_includes(tmp_path: Path) -> None:
    write(tmp_path, "", "")
    names = ("linux/kconfig.h", "linux/types.h", "linux/version.h", "linux/bpf_common.h", "uapi/linux/bpf.h")
    assert {f"include/{name}" for name in names} <= files(tmp_path)


def test_headers_that_the_source_includes_are_empty(tmp_path: Path) -> None:
    write(tmp_path, "#include <linux/sched.h>\n#include <net/sock.h>\n", "")
    assert (tmp_path / "include/linux/sched.h").read_text() == ""
    assert (tmp_path / "include/net/sock.h").read_text() == ""


def test_a_header_of_the_tree_is_not_emptied_by_a_source_that_includes_it(tmp_path: Path) -> None:
    write(tmp_path, "#include <linux/types.h>\n", "")
    assert "typedef unsigned char __u8;" in (tmp_path / "include/linux/types.h").read_text()


@pytest.mark.parametrize("path", ["../../escape.h", "/etc/escape.h", "linux/../../../escape.h", "linux", "bcc/proto.h"])
def test_nothing_is_written_for_a_path_that_is_no_kernel_header(tmp_path: Path, path: str) -> None:
    (tmp_path / "plain").mkdir()
    write(tmp_path / "plain", "", "")
    (tmp_path / "tree").mkdir()
    write(tmp_path / "tree", f"#include <{path}>\n", "")
    assert files(tmp_path / "tree") == files(tmp_path / "plain")
    assert {each.name for each in tmp_path.iterdir()} == {"plain", "tree"}


def test_the_first_header_has_defines_numbers_and_types_in_this_order(tmp_path: Path) -> None:
    write(tmp_path, "__NR_read", "struct x;\n", defines={"LIMIT": "7"})
    text = (tmp_path / "include/linux/kconfig.h").read_text()
    assert f"#define PAGE_SIZE {PAGESIZE}UL\n" in text
    assert text.index("#define LIMIT 7\n") < text.index("#define __NR_read (") < text.index("struct x;\n")


def test_basic_types_are_defined_before_they_are_used() -> None:
    known = {"unsigned", "signed", "char", "short", "int", "long", "_Bool"}
    for name, text in BASIC.items():
        assert set(text.replace("__attribute__((aligned(8)))", "").split()) <= known
        known.add(name)


def test_the_same_source_gives_the_same_tree(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "__NR_openat __NR_close __NR_ia32_open", "types\n", release="6.1.0-18-amd64")
        texts.append({path: (tmp_path / name / path).read_text() for path in files(tmp_path / name)})
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("release", "code"),
    [("6.1.0-18-amd64", 0x060100), ("5.10", 0x050A00), ("6.18.44-fc", 0x06122C), ("4.4.302", 0x0404FF)],
)
def test_a_release_becomes_the_version_code_of_the_kernel(release: str, code: int) -> None:
    assert version_code(release) == code


def test_the_release_is_the_given_one(tmp_path: Path) -> None:
    write(tmp_path, "", "", release="6.1.0-18-amd64")
    assert f"#define LINUX_VERSION_CODE {0x060100}\n" in (tmp_path / "include/linux/version.h").read_text()


def test_a_release_without_a_version_is_refused() -> None:
    with pytest.raises(HostError, match="cannot read the kernel's release 'next-2026'"):
        version_code("next-2026")


def test_numbers_are_those_of_the_32_bit_table_where_the_name_says_so() -> None:
    text = numbers_for(frozenset({"__NR_ia32_openat", "__NR_ia32_execve", "nothing"}))
    assert text == "#define __NR_ia32_execve (11)\n#define __NR_ia32_openat (295)\n"


def test_a_call_of_other_machines_has_a_number_that_matches_nothing() -> None:
    (line,) = numbers_for(frozenset({"__NR_ia32_cacheflush"})).splitlines()
    assert int(line.split("(")[1].rstrip(")")) < -1


def test_an_unknown_call_is_refused_where_it_is_used_with_a_near_name() -> None:
    text = numbers_for(frozenset({"__NR_opnat"}))
    assert text.startswith("extern const int __NR_opnat __attribute__((unavailable(")
    assert "libseccomp knows no system call 'opnat'; did you mean 'openat'?" in text


def test_a_number_that_the_source_defines_is_its_own(tmp_path: Path) -> None:
    write(tmp_path, "#define __NR_own 1234\n__NR_own", "")
    assert "__NR_own" not in (tmp_path / "include/linux/kconfig.h").read_text()


def test_one_number_is_told_by_name() -> None:
    assert number_of("getppid") > 0
    with pytest.raises(HostError, match=r"no system call 'getpppid'; did you mean 'getppid'\?"):
        number_of("getpppid")


def test_without_libseccomp_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seccomp", None)
    assert numbers_for(frozenset({"no_system_call"})) == ""
    with pytest.raises(HostError, match="apt install python3-seccomp"):
        numbers_for(frozenset({"__NR_read"}))
