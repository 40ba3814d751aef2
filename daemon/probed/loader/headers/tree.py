# SPDX-License-Identifier: Apache-2.0
"""Writes the directory that BCC takes for kernel headers.

`bcc.compiler` writes one into a private directory for each compile, and names the directory in ``BCC_KERNEL_SOURCE``.
BCC includes linux/kconfig.h first, so linux/kconfig.h has all the text; the headers that a source includes are empty.
The kernel's own headers are never read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from mmap import PAGESIZE
from pathlib import Path, PurePosixPath

from probed.errors import HostError
from probed.loader.headers.c_names import find_names
from probed.loader.headers.syscall_numbers import numbers_for
from probed.loader.headers.types import BASIC

_EMPTY = (
    "asm/page.h",
    "linux/log2.h",
    "uapi/linux/bpf.h",
    "uapi/linux/if_ether.h",
    "uapi/linux/if_packet.h",
    "uapi/linux/ptrace.h",
)
"""Headers that BCC's own headers include without a need for the content."""

_OPCODES: Mapping[str, int] = {
    "BPF_LD": 0x00, "BPF_LDX": 0x01, "BPF_ST": 0x02, "BPF_STX": 0x03,
    "BPF_ALU": 0x04, "BPF_JMP": 0x05, "BPF_RET": 0x06, "BPF_MISC": 0x07,
    "BPF_W": 0x00, "BPF_H": 0x08, "BPF_B": 0x10,
    "BPF_IMM": 0x00, "BPF_ABS": 0x20, "BPF_IND": 0x40, "BPF_MEM": 0x60,
    "BPF_K": 0x00, "BPF_X": 0x08,
}  # fmt: skip
"""The part of Linux include/uapi/linux/bpf_common.h that BCC's bpf.h uses."""

_KCONFIG = """\
#pragma once
#include <linux/types.h>
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_64BIT 1
#define CONFIG_ARCH_HAS_SYSCALL_WRAPPER 1
#define BPF_NO_PRESERVE_ACCESS_INDEX 1
#define PERF_MAX_STACK_DEPTH 127
#define PAGE_SIZE {page}UL
#define NULL ((void *)0)
#define true 1
#define false 0
#define roundup_pow_of_two(n) ((n) <= 1 ? 1UL : 1UL << (64 - __builtin_clzl((n) - 1)))
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
"""

_VERSION = """\
#pragma once
#define LINUX_VERSION_CODE {code}
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
"""


def write(
    directory: str | os.PathLike[str],
    source: str,
    types: str,
    *,
    defines: Mapping[str, str] | None = None,
    release: str | None = None,
) -> None:
    """Write the tree for one source into an existing, private directory.

    `types` is the text of `types.types_for` for this source; `defines` are additional macros. `release` is as in
    ``uname -r``, by default the running kernel's. Raises HostError for a release without a version, and without
    libseccomp; OSError when the directory cannot be written.
    """
    include = Path(directory) / "include"
    asked = find_names(source)
    macros = "".join(f"#define {name} {value}\n" for name, value in (defines or {}).items())
    numbers = numbers_for(asked.names - asked.defined)
    files = dict.fromkeys((*_EMPTY, *filter(_is_stub, asked.includes)), "")
    files |= {
        "linux/kconfig.h": _KCONFIG.format(page=PAGESIZE) + macros + numbers + types,
        "linux/types.h": "#pragma once\n" + _typedefs(),
        "linux/version.h": _VERSION.format(code=version_code(release or os.uname().release)),
        "linux/bpf_common.h": "#pragma once\n" + _opcodes(),
    }
    for path, text in files.items():
        _put(include / path, text)


def version_code(release: str) -> int:
    """Return LINUX_VERSION_CODE of a kernel release such as ``6.1.0-18-amd64``.

    The last part stops at 255, as in Linux Makefile (filechk_version.h). Raises HostError without a version.
    """
    parts = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if not parts:
        raise HostError(f"cannot read the kernel's release '{release}': expected a version such as '6.1.0-18-amd64'")
    major, minor, patch = (int(part or 0) for part in parts.groups())
    return (major << 16) + (minor << 8) + min(patch, 255)


def _is_stub(path: str) -> bool:
    """Say whether to write an empty header: not for BCC's own, nor for paths that lead out of the tree."""
    parts = PurePosixPath(path).parts
    return path.endswith(".h") and ".." not in parts and parts[0] not in ("/", "bcc")


def _typedefs() -> str:
    return "".join(f"typedef {text} {name};\n" for name, text in BASIC.items())


def _opcodes() -> str:
    return "".join(f"#define {name} {value:#04x}\n" for name, value in _OPCODES.items())


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
