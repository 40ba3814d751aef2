# SPDX-License-Identifier: Apache-2.0
"""Label text: the kernel's names, and no two values with one text unless their meaning is one."""

import errno
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seccomp import Arch

from probed.config.declaration.decoders import DECODERS
from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.decoders import Context, decoder
from probed.exporter.decoders.addresses import address
from probed.exporter.decoders.char_arrays import text as text_of
from probed.exporter.decoders.errnos import errno_name
from probed.exporter.decoders.signals import signal_name
from probed.exporter.decoders.syscalls import IA32, syscall_name
from probed.ipc.manifest import ResolvedLabel


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"bash", "bash"),
        (b"bash\0rest", "bash"),
        (b"", ""),
        ("Ångström".encode(), "Ångström"),
        (b"a\xffb", r"a\xffb"),
        (rb"a\xffb", r"a\\xffb"),
        (b"a\nb\x7f", r"a\x0ab\x7f"),
        ("a\u0085b".encode(), r"a\u0085b"),
        (b'|{"', '|{"'),
    ],
)
def test_names_are_text_that_prints(raw: bytes, text: str) -> None:
    assert text_of(raw.ljust(16, b"\0")) == text


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_distinct_names_stay_distinct(one: bytes, other: bytes) -> None:
    same = one.split(b"\0")[0] == other.split(b"\0")[0]
    assert (text_of(one) == text_of(other)) == same
    assert text_of(one).isprintable()


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (2, "ENOENT"),
        (-13, "EACCES"),
        (11, "EAGAIN"),
        (35, "EDEADLK"),
        (95, "EOPNOTSUPP"),
        (512, "ERESTARTSYS"),
        (4000, "errno_4000"),
    ],
)
def test_errno_has_the_kernel_s_names(number: int, name: str) -> None:
    assert errno_name(number) == name


def test_no_two_errnos_share_a_name() -> None:
    names = [errno_name(number) for number in range(1, 4096)]
    assert len(set(names)) == len(names)
    assert set(errno.errorcode.values()) - set(names) == {"EDEADLOCK", "ENOTSUP"}


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "read"),
        (257, "openat"),
        (437, "openat2"),
        (IA32 | 5, "open"),
        (IA32 | 295, "openat"),
        (1000, "syscall_1000"),
        (100003, "syscall_100003"),
        (IA32 | 1000, "ia32_syscall_1000"),
        (0x7FFFFFFF, "syscall_2147483647"),
    ],
)
def test_system_calls_have_the_names_of_libseccomp(number: int, name: str) -> None:
    assert syscall_name(number) == name


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (56, "openat"), (221, "execve"), (1000, "syscall_1000"),
        (IA32 | 221, "fcntl64"), (IA32 | 322, "openat"), (IA32 | 1000, "arm_syscall_1000"),
    ],
)  # fmt: skip
def test_on_arm64_system_calls_of_32_bit_programs_have_the_names_of_arm(number: int, name: str) -> None:
    assert syscall_name(number, int(Arch(Arch.AARCH64))) == name


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (37, "SIGRTMIN+3"), (99, "signal_99")])
def test_signals_have_their_names(number: int, name: str) -> None:
    assert signal_name(number) == name


@pytest.mark.parametrize("name", ["enum", "kernel_enum"])
def test_an_enum_has_its_table_s_text_and_the_number_for_the_rest(name: str) -> None:
    decode = decoder(ResolvedLabel("exit", "exit", name, {0: "ok", 3: "core"}))
    assert [decode(0), decode(3), decode(7)] == ["ok", "core", "7"]


def test_integers_are_decimal_or_hexadecimal() -> None:
    assert decoder(ResolvedLabel("n", "n", "integer", {}))(-5) == "-5"
    assert decoder(ResolvedLabel("n", "n", "hex", {}))(255) == "0xff"


def test_a_map_has_its_texts_and_the_name_itself_for_the_rest() -> None:
    decode = decoder(ResolvedLabel("comm", "comm", "map", {}, {"bash": "shell", "zsh": "shell", r"\\": "backslash"}))
    assert [decode(name) for name in (b"bash\0\0", b"zsh", b"vi\n", b"\\")] == [
        "shell",
        "shell",
        r"vi\x0a",
        "backslash",
    ]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (int.from_bytes(bytes([192, 0, 2, 1]), sys.byteorder), "192.0.2.1"),
        (0, "0.0.0.0"),
        (-1, "255.255.255.255"),
        (bytes.fromhex("20010db8000000000000000000000001"), "2001:db8::1"),
        (bytes(16), "::"),
        (bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1]), "192.0.2.1"),
        (b"\x0a", "0a"),
    ],
)
def test_addresses_are_those_on_the_wire(raw: int | bytes, text: str) -> None:
    assert address(raw) == text


@pytest.mark.parametrize("name", ["errno", "syscall", "signal", "integer", "hex", "ip"])
@given(number=st.integers(-(2**63), 2**64 - 1))
def test_any_number_becomes_text_that_prints(name: str, number: int) -> None:
    made = decoder(ResolvedLabel("n", "n", name, {}))(number)
    assert made
    assert made.isprintable()


def test_every_decoder_that_a_declaration_may_name_is_there() -> None:
    context = Context(lambda _: Attribution("", ""))
    for name in DECODERS:
        assert callable(decoder(ResolvedLabel("x", "x", name, {}), context))


def test_a_decoder_that_asks_the_host_says_that_it_needs_a_context() -> None:
    with pytest.raises(ValueError, match="label 'user': decoder 'uid' asks the host"):
        decoder(ResolvedLabel("user", "uid", "uid", {}))
