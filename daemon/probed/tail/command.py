# SPDX-License-Identifier: Apache-2.0
"""`probed tail NAME`: loads a trace probe, prints a row for each event, and lets the probe go.

The command runs without the daemon or beside it, with the privileges of a loader. After the load it keeps only those
that reading takes.
"""

from __future__ import annotations

import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from probed.config import files
from probed.errors import HostError
from probed.exporter.decoders import Context
from probed.ipc.loader_messages import Files, LoadRequest
from probed.linux import privilege
from probed.linux.os_errors import why_not
from probed.tail import filters
from probed.tail.attachment import AttachedTrace, attached
from probed.tail.cells import cell_decoder
from probed.tail.cgroup_units import CgroupUnits
from probed.tail.ending import Ending, ending
from probed.tail.formats import JsonLines, RowFormat, Table
from probed.tail.options import TailOptions
from probed.tail.record_ring import RecordRing
from probed.tail.rows import RowReader
from probed.terminal import complain, show

BATCH: Final = 1024
"""Most records between two writes."""

PAUSE_SECONDS: Final = 0.01
"""Pause after a batch: the next one then has more records."""

LOSS_SECONDS: Final = 1.0
"""Time between two looks at the number of lost rows."""

KEPT: Final = frozenset({privilege.CAP_BPF, privilege.CAP_DAC_READ_SEARCH})
"""Capabilities after the load: for the count of lost rows, and for the names of cgroups."""


def run(name: str, asked: Files, options: TailOptions) -> int:
    """Print rows until the count, the time or Ctrl-C; return 0. Raises ProbedError and OutputError."""
    privilege.require_bpf()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), attached(partial(_request, name, asked, options)) as attachment:
            privilege.keep_only(KEPT)
            with ending() as end:
                _Tail(attachment, options, end).run()
    except OSError as error:
        raise HostError(f"the events of '{name}' cannot be read: {why_not(error)}") from error
    return 0


def _request(name: str, asked: Files, options: TailOptions) -> LoadRequest:
    """Read the trace probe, and return the request for the loader. Raises DeclarationError and HostError."""
    trace = files.trace_probe(name, asked)
    filters.check(options.filters, name, trace.probe.resolved_columns)
    if trace.request.unfit and trace.request.loader == "auto":
        complain(f"probed: BCC compiles '{name}': {trace.request.unfit}")
    return replace(trace.request, constants=filters.constants(options))


class _Tail:
    """The rows of one attached trace probe."""

    def __init__(self, attachment: AttachedTrace, options: TailOptions, end: Ending) -> None:
        loaded = attachment.loaded
        assert loaded.event is not None
        context = Context(CgroupUnits().attribution)
        boot_time = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        decoders = {column.name: cell_decoder(column, context, boot_time) for column in loaded.columns}
        self._attachment = attachment
        self._options = options
        self._end = end
        self._ring = RecordRing.map(attachment.ring, loaded.ring_bytes)
        self._read = RowReader(loaded.event, loaded.columns).read
        self._wants = filters.predicate(options.filters, loaded.columns, decoders)
        characters = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self._format: RowFormat = (
            JsonLines(decoders) if options.format == "json" else Table(loaded.columns, decoders, characters)
        )
        self._rows = 0
        self._lost = 0
        self._look_at = 0.0

    def run(self) -> None:
        """Print rows until the count, the time or Ctrl-C; then print the rows that still wait in the ring."""
        complain(f"probed: '{self._attachment.loaded.name}' is attached; Ctrl-C ends the tail")
        for line in self._format.head():
            show(line)
        self._follow()
        self._attachment.stop()
        while self._is_wanted and self._print_batch():
            pass
        self._tell_losses()

    @property
    def _is_wanted(self) -> bool:
        return self._options.count is None or self._rows < self._options.count

    def _follow(self) -> None:
        remaining = _countdown(self._options.seconds)
        poller = select.poll()
        poller.register(self._attachment.ring, select.POLLIN)
        poller.register(self._end.fd, select.POLLIN)
        while not self._end.is_wanted and self._is_wanted and (seconds := remaining()) > 0:
            poller.poll(min(seconds, LOSS_SECONDS) * 1000)
            if self._print_batch() < BATCH:
                time.sleep(min(PAUSE_SECONDS, max(0.0, remaining())))
            if time.monotonic() >= self._look_at:
                self._tell_losses()

    def _print_batch(self) -> int:
        """Print the wanted rows of a batch; return the number of records."""
        records = self._ring.take(BATCH)
        rows = [row for row in map(self._read, records) if self._wants(row)]
        if self._options.count is not None:
            rows = rows[: self._options.count - self._rows]
        if rows:
            show("\n".join(map(self._format.line, rows)))
            self._rows += len(rows)
        return len(records)

    def _tell_losses(self) -> None:
        """Tell how many rows were lost since the last time."""
        self._look_at = time.monotonic() + LOSS_SECONDS
        lost = self._attachment.lost()
        if lost != self._lost:
            complain(f"probed: {lost - self._lost} rows lost: the ring was full; filters let fewer rows through")
            self._lost = lost


def _countdown(seconds: float | None) -> Callable[[], float]:
    """Return a function that returns the seconds that remain."""
    if seconds is None:
        return lambda: float("inf")
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
