# SPDX-License-Identifier: Apache-2.0
"""`probed list --live`: the running daemon's programs and their cost.

The daemon's metrics page has name, id, runs and run time of each program. The kernel gives type and size by id, which
needs CAP_SYS_ADMIN. Source: BPF_PROG_GET_FD_BY_ID in Linux kernel/bpf/syscall.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence

from probed.client import metrics_page
from probed.client.metrics_page import MetricsPage
from probed.errors import HostError
from probed.frozen import frozen
from probed.linux import bpf
from probed.terminal import complain, show

FAMILIES = ("probed_program_info", "probed_program_runs_total", "probed_program_run_seconds_total")
COLUMNS = ("probe", "program", "attach", "id", "type", "instructions", "jited bytes", "runs", "seconds", "ns a run")
LEFT = 3
"""Number of columns with text, which are aligned to the left."""
HOOK = "(hook)"
"""Shown as the probe of a hook, which runs the programs of several probes."""

TYPES = {2: "kprobe", 5: "tracepoint", 7: "perf_event", 17: "raw_tracepoint", 26: "tracing"}
"""enum bpf_prog_type of Linux include/uapi/linux/bpf.h."""

_INFO = struct.Struct("=II8sII")  # struct bpf_prog_info: type, id, tag, jited_prog_len, xlated_prog_len


@frozen
class LiveProgram:
    """One program on the daemon's page; `runs` is None where the kernel does not count them.

    The kernel counts a hook's runs, which include the programs behind the hook, while kernel.bpf_stats_enabled is 1.
    """

    probe: str
    name: str
    attach: str
    id: int
    runs: int | None
    seconds: float | None


@frozen
class Code:
    """A program's code in the kernel: instructions after verification, bytes of machine code."""

    type: str
    instructions: int
    jited_bytes: int


def run(page: MetricsPage) -> int:
    """Print the table; return 0. Raises HostError where no daemon answers."""
    programs = parse(metrics_page.request(page, FAMILIES))
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


def parse(page: str) -> list[LiveProgram]:
    """Parse the programs of a metrics page in text format 0.0.4. Raises HostError."""
    samples = [(metrics_page.parse_series(series), value) for series, value in metrics_page.samples(page)]
    values = {
        (series.name, dict(series.labels).get("program", "")): value
        for series, value in samples
        if series.name in FAMILIES[1:]
    }
    infos = [dict(series.labels) for series, _ in samples if series.name == FAMILIES[0]]
    try:
        return [_program(labels, values) for labels in infos]
    except (KeyError, ValueError, OverflowError) as error:
        raise HostError(f"the metrics page has a program without a usable label or number ({error})") from error


def _program(labels: Mapping[str, str], values: Mapping[tuple[str, str], float]) -> LiveProgram:
    probe, name = labels["probe"] or HOOK, labels["program"]
    runs, seconds = (values.get((family, name)) if probe == HOOK else None for family in FAMILIES[1:])
    return LiveProgram(
        probe, name, labels["attach"], int(labels["id"]), int(runs) if runs is not None else None, seconds
    )


def code(program: int) -> Code:
    """Return a program's code. Raises OSError: EPERM without CAP_SYS_ADMIN, ENOENT for an unknown id."""
    fd = bpf.program_fd(program)
    try:
        kind, _, _, jited, translated = bpf.object_info(fd, _INFO)
    finally:
        os.close(fd)
    return Code(TYPES.get(kind, str(kind)), translated // 8, jited)


def table(programs: Sequence[LiveProgram], codes: dict[int, Code]) -> Iterator[str]:
    """Yield the lines of the table, with '-' for unknown values."""
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
    """Yield a note for each kind of missing value, with the remedy."""
    if len(codes) < len(programs):
        yield f"type, instructions and jited bytes: {unknown}; the kernel demands CAP_SYS_ADMIN: run as root"
    if all(program.runs is None for program in programs):
        yield "runs and seconds: the kernel counts none; run as root: sysctl kernel.bpf_stats_enabled=1"
