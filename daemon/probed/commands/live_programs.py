# SPDX-License-Identifier: Apache-2.0
"""`probed list --live`: the running daemon's programs as the kernel knows them.

The daemon's own page says which programs are its, how often they ran and for how long; the kernel is asked by their ids
for the rest, which takes CAP_SYS_ADMIN. Source: BPF_PROG_GET_FD_BY_ID in Linux kernel/bpf/syscall.c.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from probed.client.http_client import Endpoint, fetch
from probed.errors import HostError
from probed.linux import bpf
from probed.terminal import complain, show
from probed.webconfig.listen_address import Address

FAMILIES = ("probed_program_info", "probed_program_runs_total", "probed_program_run_seconds_total")
COLUMNS = ("probe", "program", "attach", "id", "type", "instructions", "jited bytes", "runs", "seconds", "ns a run")
LEFT = 3
"""So many columns are text."""
LONGEST_QUOTE = 200
"""Characters of an answer that an error quotes."""
HOOK = "(hook)"
"""Stands for the probe of a program that runs those of several."""

TYPES = {2: "kprobe", 5: "tracepoint", 7: "perf_event", 17: "raw_tracepoint", 26: "tracing"}
"""enum bpf_prog_type of Linux include/uapi/linux/bpf.h."""

_INFO = struct.Struct("=II8sII")  # struct bpf_prog_info: type, id, tag, jited_prog_len, xlated_prog_len
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class LiveProgram:
    """One program as the daemon's page shows it; `runs` is None where the kernel does not count them.

    It counts those of a hook, which are those of all that is behind it, while kernel.bpf_stats_enabled is 1.
    """

    probe: str
    name: str
    attach: str
    id: int
    runs: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Code:
    """What the kernel says of a program's code: instructions after verification, bytes of machine code."""

    type: str
    instructions: int
    jited_bytes: int


def run(address: Address, path: str, endpoint: Endpoint) -> int:
    """Print the table; return 0. `path` is that of the metrics page. Raises HostError when no daemon answers there."""
    programs = parse(_page(address, path, endpoint))
    codes: dict[int, Code] = {}
    unknown = ""
    for program in programs:
        try:
            codes[program.id] = code(program.id)
        except OSError as error:
            unknown = error.strerror or str(error)
    show("\n".join(table(programs, codes)))
    for note in notes(programs, codes, unknown):
        complain(note)
    return 0


def _page(address: Address, path: str, endpoint: Endpoint) -> str:
    answer = fetch(address, f"{path}?{'&'.join(f'name[]={name}' for name in FAMILIES)}", endpoint)
    if answer is None:
        raise HostError(f"no daemon answers at {address}: start it, or name its address with --web.listen-address")
    if answer.status == 401:
        raise HostError(f"the daemon at {address} wants a password: name one in basic_auth of --http.config.file")
    if answer.status != 200:
        found = f"status {answer.status}" if answer.status else answer.text[:LONGEST_QUOTE]
        raise HostError(
            f"{address}{path} is not a page of metrics that can be read ({found}); where it wants TLS or a client's "
            "certificate, name them in tls_config of --http.config.file"
        )
    return answer.text


def parse(page: str) -> list[LiveProgram]:
    """Return the programs of a metrics page in text format 0.0.4."""
    samples = [
        (found[1], dict(_LABEL.findall(found[2])), float(found[3]))
        for found in map(_SAMPLE.match, page.split("\n"))
        if found
    ]
    values = {(name, labels["program"]): value for name, labels, value in samples if name in FAMILIES[1:]}
    infos = [labels for name, labels, _ in samples if name == FAMILIES[0]]
    return [_program(labels, values) for labels in infos]


def _program(labels: Mapping[str, str], values: Mapping[tuple[str, str], float]) -> LiveProgram:
    probe, name = labels["probe"] or HOOK, labels["program"]
    runs, seconds = (values.get((family, name)) if probe == HOOK else None for family in FAMILIES[1:])
    return LiveProgram(
        probe, name, labels["attach"], int(labels["id"]), int(runs) if runs is not None else None, seconds
    )


def code(program: int) -> Code:
    """Ask the kernel for a program. Raises OSError: EPERM without CAP_SYS_ADMIN, ENOENT when it is gone."""
    fd = bpf.program_fd(program)
    try:
        kind, _, _, jited, translated = bpf.object_info(fd, _INFO)
    finally:
        os.close(fd)
    return Code(TYPES.get(kind, str(kind)), translated // 8, jited)


def table(programs: Sequence[LiveProgram], codes: dict[int, Code]) -> Iterator[str]:
    """Give the lines of the table; what is not known is '-'."""
    rows = [COLUMNS, *(_row(program, codes.get(program.id)) for program in programs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.ljust(width) if n < LEFT else text.rjust(width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _row(program: LiveProgram, its: Code | None) -> tuple[str, ...]:
    code = (its.type, f"{its.instructions}", f"{its.jited_bytes}") if its else ("-", "-", "-")
    return (program.probe, program.name, program.attach, str(program.id), *code, *_times(program))


def _times(program: LiveProgram) -> tuple[str, str, str]:
    if program.runs is None or program.seconds is None:
        return "-", "-", "-"
    each = f"{program.seconds * 1e9 / program.runs:.0f}" if program.runs else "-"
    return str(program.runs), f"{program.seconds:.6f}", each


def notes(programs: Sequence[LiveProgram], codes: dict[int, Code], unknown: str) -> Iterator[str]:
    """Say what is missing from the table, and what it takes."""
    if len(codes) < len(programs):
        yield f"type, instructions and jited bytes: {unknown}; the kernel tells them to CAP_SYS_ADMIN: run this as root"
    if all(program.runs is None for program in programs):
        yield "runs and seconds: the kernel counts none; as root: sysctl kernel.bpf_stats_enabled=1"
