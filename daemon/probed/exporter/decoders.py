# SPDX-License-Identifier: Apache-2.0
"""From numbers and bytes to label text: once for each new label set, never for each event.

`probe` asks for a decoder by the name that the declaration gave. Every decoder takes any value and raises nothing.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Mapping

import seccomp

from probed.manifest import Label

Decoder = Callable[[int | bytes], str]

IA32 = 0x80000000
"""The bit that probes/include/probed.bpf.h puts on calls through the 32-bit table of x86."""

_KERNEL_ERRNO = {
    35: "EDEADLK",
    95: "EOPNOTSUPP",
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    515: "ENOIOCTLCMD",
    516: "ERESTART_RESTARTBLOCK",
    517: "EPROBE_DEFER",
    518: "EOPENSTALE",
    519: "ENOPARAM",
    521: "EBADHANDLE",
    522: "ENOTSYNC",
    523: "EBADCOOKIE",
    524: "ENOTSUPP",
    525: "ETOOSMALL",
    526: "ESERVERFAULT",
    527: "EBADTYPE",
    528: "EJUKEBOX",
    529: "EIOCBQUEUED",
    530: "ERECALLCONFLICT",
}
"""The kernel's first name where Python knows an alias, and what only the kernel and its tracepoints see.
Source: Linux include/linux/errno.h."""


def text(value: int | bytes) -> str:
    r"""Return the text of a char array up to its first NUL: UTF-8, distinct for distinct bytes.

    Whoever runs a program chooses its name. Bytes that are not UTF-8 and ASCII control characters become ``\xNN``,
    other characters that do not print ``\uNNNN``; the backslash itself is doubled, so that nobody can write what
    another name turns into.
    """
    assert isinstance(value, bytes)
    name = value.split(b"\0", 1)[0].replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in name)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def integer(value: int | bytes) -> str:
    """Return an integer in decimal."""
    return str(value)


def hexadecimal(value: int | bytes) -> str:
    """Return an integer as 0x…, a negative one with its sign."""
    return hex(int(value))


def errno_name(value: int | bytes) -> str:
    """Return the name of an errno, given positive or negative: ``ENOENT``; ``errno_N`` for none."""
    number = abs(int(value))
    return _KERNEL_ERRNO.get(number) or errno.errorcode.get(number, f"errno_{number}")


def signal_name(value: int | bytes) -> str:
    """Return the name of a signal: ``SIGKILL``, ``SIGRTMIN+3``; ``signal_N`` for none. Source: signal(7)."""
    number = int(value)
    try:
        return signal.Signals(number).name
    except ValueError:
        if signal.SIGRTMIN < number < signal.SIGRTMAX:
            return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        return f"signal_{number}"


def syscall_name(value: int | bytes) -> str:
    """Return the name of a system call as libseccomp has it, ``syscall_N`` for a number it does not know.

    A call through the 32-bit table has the name that this table gives its number, ``ia32_syscall_N`` for none.
    """
    number = int(value)
    ia32 = bool(number & IA32)
    arch = seccomp.Arch(seccomp.Arch.X86) if ia32 else seccomp.Arch()
    number &= ~IA32
    try:
        name = seccomp.resolve_syscall(arch, number)
    except (ValueError, OverflowError):
        return f"ia32_syscall_{number}" if ia32 else f"syscall_{number}"
    return name.decode() if isinstance(name, bytes) else str(name)


def enum(table: Mapping[int, str]) -> Decoder:
    """Return the decoder of an enum: the table's text, or the number where the table has none."""
    return lambda value: table.get(int(value), str(value))


def decoder(label: Label) -> Decoder:
    """Return the decoder that a label names. Raises KeyError for a name that there is not."""
    if label.decoder == "enum":
        return enum(label.table)
    return {
        "comm": text,
        "string": text,
        "integer": integer,
        "hex": hexadecimal,
        "errno": errno_name,
        "signal": signal_name,
        "syscall": syscall_name,
    }[label.decoder]
