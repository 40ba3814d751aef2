# SPDX-License-Identifier: Apache-2.0
"""Standard error of a loader that crashed, as part of the probe's error."""

import os

import pytest

from probed.ipc import loader_output

DUMP = """\
PLEASE submit a bug report to https://bugs.debian.org/ and include the crash backtrace.
Stack dump:
0.\tmine/mine.bpf.c:12:3: current parser token ';'
1.\tmine/mine.bpf.c:10:1: parsing function body 'on_event'
Stack dump without symbol names (ensure you have llvm-symbolizer in your PATH):
/lib/x86_64-linux-gnu/libLLVM-14.so.1(_ZN4llvm3sys15PrintStackTraceERNS_11raw_ostreamEi+0x31)[0x7f]
"""


def written(text: bytes) -> str:
    fd = loader_output.create()
    os.write(fd, text)
    return loader_output.take(fd)


def test_a_mistake_in_the_c_that_crashes_the_compiler_has_its_line() -> None:
    output = "mine.bpf.c:7:13: error: variable has incomplete type 'struct gone'\n  struct gone longer;\n  ^\n"
    reason, text = loader_output.crash(output + DUMP)
    assert reason == "compile"
    assert text == "; the compiler had reported:\nmine.bpf.c:7: variable has incomplete type 'struct gone'"


def test_llvm_tells_where_the_compiler_was() -> None:
    reason, text = loader_output.crash(f"LLVM ERROR: out of registers\n{DUMP}")
    assert reason == "compile"
    assert text == (
        "; the compiler was at:\nmine/mine.bpf.c:12: current parser token ';'\n"
        "mine/mine.bpf.c:10: parsing function body 'on_event'; its last lines:\nLLVM ERROR: out of registers"
    )


def test_a_crash_without_the_compiler_is_probeds() -> None:
    assert loader_output.crash("Traceback\nMemoryError\n") == ("internal", "; its last lines:\nTraceback\nMemoryError")


def test_a_silent_crash_adds_nothing() -> None:
    assert loader_output.crash("") == ("internal", "")


def test_the_text_of_a_crash_is_bounded() -> None:
    _, text = loader_output.crash("\n".join(["x" * 5000] * 1000) + "\n" + "0.\ta.c:1:1: y\n" * 1000)
    lines = text.splitlines()
    assert len(lines) <= 2 * (loader_output.MAX_LINES + 1)
    assert max(map(len, lines)) <= loader_output.MAX_COLUMNS


@pytest.mark.parametrize(("raw", "text"), [(b"\x1b[31mred\n", "\\x1b[31mred\n"), (b"caf\xe9\n", "caf\\xe9\n")])
def test_characters_that_do_not_print_become_escapes(raw: bytes, text: str) -> None:
    assert written(raw) == text


def test_only_the_end_of_a_long_text_is_read() -> None:
    assert written(b"a" * 100_000 + b"z") == "a" * (loader_output.MAX_BYTES - 1) + "z"
