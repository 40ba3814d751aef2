# SPDX-License-Identifier: Apache-2.0
"""System calls by name, for sources that write ``__NR_openat``: the numbers are libseccomp's.

`headers.tree` puts the numbers into a source's first header; `common.canary` asks for one number, `headers.types` for
the second table: ``__NR_ia32_openat`` is a number of 32-bit x86, which an x86-64 kernel may serve too.
"""

from __future__ import annotations

import os
from types import ModuleType

from probed.errors import HostError
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import Btf
from probed.schema.suggestions import did_you_mean

NATIVE = "__NR_"
IA32 = "__NR_ia32_"

_UNKNOWN = -1
"""__NR_SCMP_ERROR of seccomp.h. Lower numbers stand for calls of other machines."""
_NUMBERS = range(1024)
_IA32_FUNCTIONS = ("__ia32_compat_sys_execve", "__do_fast_syscall_32")


def number_of(name: str) -> int:
    """Return the number of a system call on this machine, negative for a call of other machines.

    Raises HostError without libseccomp, and for a name that libseccomp does not know.
    """
    seccomp = import_seccomp()
    number = int(seccomp.resolve_syscall(seccomp.Arch(), name))
    if number == _UNKNOWN:
        raise HostError(_unknown(name, seccomp, seccomp.Arch()))
    return number


def numbers_for(names: frozenset[str], machine: str = os.uname().machine) -> str:
    """Write C that defines every ``__NR_name`` of a machine and every ``__NR_ia32_name`` among `names`.

    A name that libseccomp does not know gets a declaration of which the compiler refuses the use, with the cause.
    Raises HostError without libseccomp.
    """
    wanted = sorted(name for name in names if name.startswith(NATIVE) and name != NATIVE)
    if not wanted:
        return ""
    seccomp = import_seccomp()
    return "".join(f"{_definition(macro, seccomp, machine)}\n" for macro in wanted)


def runs_ia32(btf: Btf) -> bool:
    """Say whether an x86-64 kernel (the one with a register r15) also runs 32-bit programs."""
    registers = (member.name for type_id in btf.find(Kind.STRUCT, "pt_regs") for member in btf.members(type_id))
    return "r15" in registers and any(map(btf.has_function, _IA32_FUNCTIONS))


def _definition(macro: str, seccomp: ModuleType, machine: str) -> str:
    prefix = IA32 if macro.startswith(IA32) else NATIVE
    arch = seccomp.Arch("x86" if prefix == IA32 else machine)
    name = macro.removeprefix(prefix)
    number = int(seccomp.resolve_syscall(arch, name))
    if number == _UNKNOWN:
        return f'extern const int {macro} __attribute__((unavailable("{_unknown(name, seccomp, arch)}")));'
    return f"#define {macro} ({number})"


def _unknown(name: str, seccomp: ModuleType, arch: object) -> str:
    return f"libseccomp knows no system call '{name}'{did_you_mean(name, _known(seccomp, arch))}"


def _known(seccomp: ModuleType, arch: object) -> list[str]:
    names = []
    for number in _NUMBERS:
        try:
            names.append(seccomp.resolve_syscall(arch, number).decode())
        except ValueError:  # a gap in the table
            continue
    return names


def import_seccomp() -> ModuleType:
    """Return libseccomp's Python module. Raises HostError without it."""
    try:
        import seccomp
    except ImportError as error:
        raise HostError(
            f"libseccomp's Python module cannot be imported ({error}), and with it the numbers of system "
            "calls; install the distribution's package: apt install python3-seccomp"
        ) from error
    module: ModuleType = seccomp
    return module
