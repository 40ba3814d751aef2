# SPDX-License-Identifier: Apache-2.0
"""Loads probes: gives a loader the requests, and takes each result to hooks, exporter and states.

The supervisor's loop calls it at the start, at a reload and at a retry; one load runs at a time.
"""

from __future__ import annotations

import logging
import time

from probed.errors import HostError, LoadError
from probed.ipc.loader_messages import Refused
from probed.ipc.loader_process import HookHandle, LoaderProcess, ProbeHandle, Result, SiteRead
from probed.linux.os_errors import why_not
from probed.log import MessageId
from probed.supervisor.exporter_process import ExporterProcess
from probed.supervisor.hooks import Hooks
from probed.supervisor.probe_states import Probes
from probed.supervisor.reload_state import Reloads

LOG = logging.getLogger("supervisor")


class ProbeLoads:
    """The present load; between two loads `loader` is None."""

    def __init__(
        self, loader: LoaderProcess, probes: Probes, hooks: Hooks, exporter: ExporterProcess, reloads: Reloads
    ) -> None:
        self.loader: LoaderProcess | None = loader
        self.bcc_version = ""
        """That of the last loader with BCC."""
        self.first_has_ended = False
        """Whether the first load has ended."""
        self._probes = probes
        self._hooks = hooks
        self._exporter = exporter
        self._reloads = reloads

    def begin(self, loader: LoaderProcess, names: list[str]) -> None:
        """Load the wanted versions of these probes; the loader has read the files, or is new."""
        self.loader = loader
        requests = [wanted.request for wanted in self._probes.requests(names)]
        for each in requests:
            if each.unfit and each.loader == "auto":
                LOG.warning("probe '%s': BCC compiles it: %s", each.name, each.unfit, extra={"PROBE": each.name})
        loader.load(requests, "attach", self._hooks.arrays(), self._probes.renewed(names))

    def step(self) -> SiteRead | None:
        """Take the loader's next event, or its end; return the files, if it has read them for a reload.

        Raises HostError if nothing can be loaded at the start.
        """
        assert self.loader is not None
        try:
            event = self.loader.step()
        except HostError as error:
            self._nothing_can_be_loaded(error)
            event = None
        self.bcc_version = self.loader.bcc_version or self.bcc_version
        match event:
            case SiteRead():
                return event
            case Refused():
                self._reloads.refuse(event.text)
            case HookHandle():
                self._hooks.add(event)
            case Result(name, ProbeHandle() as handle):
                self._came_up(name, handle)
            case Result(_, LoadError() as failure):
                self.fail(failure)
        return None

    def end(self) -> bool:
        """Say whether the load has ended, and drop the loader if so."""
        if self.loader is not None and self.loader.done:
            self.loader = None
            return True
        return False

    def fail(self, error: LoadError) -> None:
        """Note and log that a probe could not be loaded; the states know the time of the retry."""
        wait = self._probes.failed(error, time.monotonic())
        fields = {"PROBE": error.probe, "REASON": error.reason, "MESSAGE_ID": MessageId.PROBE_FAILED}
        fields |= {"ERRNO": str(error.errno)} if error.errno else {}
        LOG.error("%s; the other probes run; trying again in %g s", error, wait, extra=fields)
        if self._reloads.under_way:
            self._reloads.fail(str(error))

    def _nothing_can_be_loaded(self, error: HostError) -> None:
        if not self.first_has_ended:
            raise error
        for name in self._probes.outdated():
            self.fail(LoadError(name, error.reason, str(error)))
        self._reloads.successful = False

    def _came_up(self, name: str, handle: ProbeHandle) -> None:
        other = self._probes.other_with_metric_of(handle)
        if other is not None:
            handle.close()
            self.fail(LoadError(name, "declaration", f"probe '{other}', which runs, has a metric of the same name"))
            return
        running = self._probes.with_maps_of(handle)
        try:
            self._hooks.attach(handle, self.bcc_version, running)
        except OSError as error:
            self.fail(LoadError(name, "attach_point", f"cannot join a chain of programs: {error}", error.errno or 0))
            return
        try:
            self._exporter.add(handle)
        except OSError as error:
            self._hooks.give_up(handle, self.bcc_version, running)
            self.fail(LoadError(name, "internal", f"it cannot be handed over: {why_not(error)}", error.errno or 0))
            return
        self._probes.came_up(name, handle)
        LOG.info("probe '%s' is up", name, extra={"PROBE": name, "LOADER": handle.loaded.loader})
