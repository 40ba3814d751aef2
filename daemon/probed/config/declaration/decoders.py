# SPDX-License-Identifier: Apache-2.0
"""The decoders that a declaration may name: the C types that each reads, and the label text that it makes.

`labels` and `loader.resolve` check with it, `commands.decoder_docs` makes the tables of probes/README.md and of
probed-probe(5). The code of the decoders is in `exporter.decoders`; a test holds the names equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from probed.frozen import frozen
from probed.schema.structure import Fault

DecoderName = Literal[
    "comm",
    "string",
    "dname",
    "map",
    "errno",
    "syscall",
    "signal",
    "integer",
    "hex",
    "enum",
    "kernel_enum",
    "cgroup_unit",
    "pod_uid",
    "namespace",
    "pod",
    "container",
    "container_name",
    "uid",
    "ip",
    "block_device",
    "network_interface",
    "kernel_symbol",
    "kernel_stack",
]

UnitDecoderName = Literal["pod_uid", "namespace", "pod", "container", "container_name"]
"""Decoders that read the same field as `cgroup_unit`, and say more of its owner."""

Reads = Literal["text", "integer", "u64", "address", "stack", "length"]
"""char[N]; any integer; u64 alone, for a part of such a number is another number; u32 or char[16]; u64[N]; u32, the
length of bytes behind the event of a trace probe."""


@frozen
class Decoder:
    """One decoder: `field` and `makes` say in documents which field it takes and which text it makes of that.

    `argument` is the further key of the label, as documents write it. Names and literals stand in back-quotes.
    """

    reads: Reads
    field: str
    makes: str
    argument: str = ""


DECODERS: Final[Mapping[DecoderName, Decoder]] = {
    "comm": Decoder("text", "`char[N]`", "the text up to its NUL; unprintable bytes as `\\xNN`"),
    "string": Decoder("text", "`char[N]`", "the same"),
    "dname": Decoder(
        "text",
        "`char[N]`, a domain name as on the wire",
        "the name in lower case, as `www.example.com`; `.` for the root; bytes that do not print as `\\DDD`; `[cut]` "
        "at the end of a name that the array does not hold whole",
    ),
    "map": Decoder("text", "`char[N]`", "the text from `texts`, or the input", "texts: {TEXT: text}"),
    "enum": Decoder("integer", "an integer", "the text from the table, or the number", "table: {CONSTANT: text}"),
    "kernel_enum": Decoder(
        "integer", "an integer", "the constant's name in an enum of the running kernel, or the number", "enum: NAME"
    ),
    "integer": Decoder("integer", "an integer", "the number in decimal"),
    "hex": Decoder("integer", "an integer", "the number as `0x2a`"),
    "errno": Decoder("integer", "an integer", "the name, as `ENOENT`; `errno_N` without one"),
    "signal": Decoder("integer", "an integer", "the name, as `SIGKILL`; `signal_N` without one, `none` for 0"),
    "syscall": Decoder("integer", "an integer", "the name, as `openat`; `syscall_N` without one"),
    "cgroup_unit": Decoder(
        "u64",
        "`u64`, from `current_cgroup()`",
        "the systemd unit or container, as `nginx.service`, `user@1000.service/app.service`, `docker:0123456789ab`; "
        "`kernel` for kernel threads; `unknown` without a known path",
    ),
    "pod_uid": Decoder("u64", "`u64`, from `current_cgroup()`", "the uid of the Kubernetes pod, empty outside of pods"),
    "namespace": Decoder(
        "u64", "`u64`, from `current_cgroup()`", "the Kubernetes namespace of the pod, empty outside of pods"
    ),
    "pod": Decoder("u64", "`u64`, from `current_cgroup()`", "the name of the Kubernetes pod, empty outside of pods"),
    "container": Decoder(
        "u64",
        "`u64`, from `current_cgroup()`",
        "the name of the container in its Kubernetes pod, empty outside of pods and for the pod's sandbox",
    ),
    "container_name": Decoder(
        "u64",
        "`u64`, from `current_cgroup()`",
        "the name that Docker or Podman gave the container, from `container_names` of the site; empty where unknown",
    ),
    "uid": Decoder("integer", "an integer", "the user's name in `/etc/passwd`, or the number"),
    "ip": Decoder(
        "address",
        "`u32` as on the wire, or `char[16]`",
        "the address, as `192.0.2.1` or `2001:db8::1`; IPv4 mapped into IPv6 as IPv4",
    ),
    "block_device": Decoder("integer", "a `dev_t` of the kernel", "the name, as `sda1`, or `MAJOR:MINOR`"),
    "network_interface": Decoder(
        "integer", "an ifindex of the host's network namespace", "the name, as `eth0`, or `ifindex:N`"
    ),
    "kernel_symbol": Decoder(
        "u64",
        "`u64`, an address",
        "the function at the address; `unknown` if the kernel hides its addresses (`kernel.kptr_restrict`, "
        "`kernel.perf_event_paranoid` above 1), or the unit does, without the drop-in `kernel-symbols.conf`",
    ),
    "kernel_stack": Decoder(
        "stack",
        "`u64[N]`, from `READ_KERNEL_STACK()`",
        "the functions of the kernel's stack, the outermost first, as `do_syscall_64;ksys_write;vfs_write`; "
        "`[unknown]` for an address without a name, and for a stack without any; `[cut]` in front where outer "
        "functions may be missing",
    ),
}


def table_faults(decoder: str, table: Mapping[str | int, str]) -> Iterator[Fault]:
    """Yield a missing table, a table of another decoder, and entries with the same text; key paths: ``table``."""
    if decoder == "enum" and not table:
        yield ("table",), "decoder 'enum' needs a table: {CONSTANT: text, …}"
    if decoder != "enum" and table:
        yield ("table",), f"only decoder 'enum' has a table; remove it, or the decoder '{decoder}'"
    first: dict[str, str | int] = {}
    for constant, text in table.items():
        if first.setdefault(text, constant) != constant:
            yield ("table", constant), f"'{text}' is already the text of {first[text]}; give each its own"
