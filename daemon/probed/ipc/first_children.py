# SPDX-License-Identifier: Apache-2.0
"""Starts the first loader and the first exporter, before the supervisor imports its other modules.

`probed run` calls it. Both processes import their modules beside the supervisor's own imports; the loader then reads
the site configuration, and the exporter waits for the message Start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from probed.frozen import frozen
from probed.ipc.child_process import Child
from probed.ipc.exporter_messages import FROM_EXPORTER, FromExporter, ToExporter
from probed.ipc.loader_messages import Files
from probed.ipc.loader_process import LoaderProcess

ExporterChild = Child[ToExporter, FromExporter]

FRUGAL = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "OPENBLAS_NUM_THREADS": "1",
}
"""One heap for the few threads, and no threads of numpy for linear algebra: 6 MB less after a storm of events."""

END_SECONDS = 5.0


def start_exporter() -> ExporterChild:
    """Start an exporter, which waits for the message Start. Raises OSError."""
    return Child("probed.exporter", FROM_EXPORTER, FRUGAL)


@frozen
class FirstChildren:
    """A loader that reads the site configuration, and an exporter that waits; None where no process starts."""

    loader: LoaderProcess
    exporter: ExporterChild | None


@contextmanager
def first_children(files: Files) -> Iterator[FirstChildren]:
    """Start both processes, and kill them if the context fails. Raises HostError when no loader starts."""
    loader, exporter = LoaderProcess(), _try_exporter()
    loader.read(files)
    try:
        yield FirstChildren(loader, exporter)
    except BaseException:
        loader.abort()
        if exporter is not None:
            exporter.kill()
            exporter.reap(END_SECONDS)
        raise


def _try_exporter() -> ExporterChild | None:
    try:
        return start_exporter()
    except OSError:  # `ExporterProcess.launch` starts one, or says why not
        return None
