# SPDX-License-Identifier: Apache-2.0
"""The supervisor's loop: signals, answers of the loader, the end of the exporter, retries, reloads.

`probed run` makes one Supervisor and calls `run`. Signal handlers only queue; the loop acts, one event after another.
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import time
from dataclasses import replace

from probed import log
from probed.errors import ConfigurationError, HostError, LoadError
from probed.evidence.sampler import EvidenceSampler
from probed.ipc import manifest
from probed.ipc.exporter_messages import Start, Status
from probed.ipc.first_children import FirstChildren
from probed.ipc.loader_messages import Refused
from probed.ipc.loader_process import LoaderProcess, SiteRead, wait
from probed.linux import privilege
from probed.log import MessageId
from probed.supervisor import listeners
from probed.supervisor.exporter_process import ExporterProcess
from probed.supervisor.hooks import Hooks
from probed.supervisor.options import Options
from probed.supervisor.probe_loads import ProbeLoads
from probed.supervisor.probe_states import Probes
from probed.supervisor.reload_state import Reloads
from probed.supervisor.signals import Signals
from probed.supervisor.systemd import listen_fds
from probed.supervisor.systemd.fdstore import Store
from probed.supervisor.systemd.notify import Notifier, sender, status_line, watchdog_seconds
from probed.supervisor.watchers.container_names import ContainerNames
from probed.supervisor.watchers.web_config import WebConfigWatcher

LOG = logging.getLogger("supervisor")


def _read_first(loader: LoaderProcess) -> SiteRead:
    """Wait until a loader has read the files. Raises ConfigurationError and HostError."""
    while True:
        event = wait(loader)
        if isinstance(event, SiteRead):
            return event
        if isinstance(event, Refused):
            raise ConfigurationError(event.text)


class Supervisor:
    """Owner of all long-lived objects. Runs once."""

    def __init__(self, options: Options, children: FirstChildren) -> None:
        """Take the configuration from the first loader, check the privileges, and listen.

        Raises ConfigurationError and HostError.
        """
        self._options = options
        self._supervisor_start = time.time()
        reading = _read_first(children.loader)
        self._settings = options.apply_to(reading.settings)
        log.start("supervisor", self._settings.log_level, self._settings.log_format)
        privilege.require_bpf()
        send = sender()
        self._notices = Notifier(send)
        self._store = Store(send)
        given = listen_fds.receive()
        self._start_time = self._store.take_over_start(given.others)
        self._hooks = Hooks(self._store, given.others)
        self._probes = Probes(self._hooks.let_go)
        self._names_to_load = self._probes.start(reading.wanted, self._hooks.take_over(given.others))
        self._sockets = self._listen(given)
        patience = watchdog_seconds() / 3
        self._exporter = ExporterProcess(
            self._start_message(), self._sockets, patience, self._hooks, self._reload_wanted
        )
        self._exporter.waiting = children.exporter
        self._web = self._read_web()
        self._containers = self._read_containers()
        self._evidence = self._make_evidence()
        privilege.keep_only(privilege.SUPERVISOR)
        self._reloads = Reloads(self._notices, self._exporter.tell_reloaded)
        self._loads = ProbeLoads(children.loader, self._probes, self._hooks, self._exporter, self._reloads)
        self._loads.bcc_version = self._store.bcc_version
        self._reload_again = False
        self._stopping = False

    def _read_web(self) -> WebConfigWatcher | None:
        path = self._settings.web.config_file
        if path is None:
            return None
        web = WebConfigWatcher(path, self._exporter.tell_web)
        self._exporter.web_fd = web.fd
        return web

    def _read_containers(self) -> ContainerNames | None:
        folders = self._settings.container_state
        if not any(folders.values()):
            return None
        containers = ContainerNames(
            folders["docker"], folders["podman"], self._exporter.name_containers, time.monotonic()
        )
        self._exporter.known_containers = containers.messages
        return containers

    def _make_evidence(self) -> EvidenceSampler | None:
        if self._settings.evidence is None:
            return None
        sampler = EvidenceSampler(
            self._settings.evidence, self._settings, self._options.files, self._exporter.tell_evidence
        )
        self._exporter.on_wanted_evidence = sampler.want
        self._exporter.known_evidence = lambda: sampler.report
        return sampler

    def _listen(self, given: listen_fds.InheritedFds) -> list[socket.socket]:
        if self._options.systemd_socket:
            return listeners.activated(given.activated)
        if given.kept:
            self._store.forget_listeners()
        sockets = listeners.bind(self._settings.web.listen_addresses, given.kept)
        self._store.keep_listeners([each.fileno() for each in sockets])
        return sockets

    def _start_message(self) -> Start:
        settings = self._settings
        return Start(
            manifest.VERSION, settings.web, settings.user, settings.log_level, settings.log_format,
            watchdog_seconds() / 6, self._start_time, self._supervisor_start,
            settings.evidence.rules if settings.evidence else {},
        )  # fmt: skip

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit status. Raises HostError when the start can load no probe."""
        self._signals = Signals()
        try:
            self._notices.status(f"loading {len(self._names())} probes")
            self._exporter.launch(self._probes.handles(), None if self._names_to_load else self._status())
            assert self._loads.loader is not None
            self._load(self._loads.loader, self._names_to_load)
            while not self._stopping:
                self._turn()
        except BaseException:
            self._shut_down()
            raise
        return 1 if self._shut_down() else 0

    def _names(self) -> list[str]:
        return [state.wanted.request.name for state in self._probes]

    def _turn(self) -> None:
        """Wait for the next event, and act."""
        with selectors.PollSelector() as selector:  # needs no descriptor: there may be none left
            selector.register(self._signals, selectors.EVENT_READ, self._on_signals)
            if self._loads.loader is not None:
                selector.register(self._loads.loader.fileno(), selectors.EVENT_READ, self._on_loader)
            if self._web is not None and self._web.reading:
                selector.register(self._web.fileno(), selectors.EVENT_READ, self._on_web)
            if self._evidence is not None and self._evidence.child is not None:
                selector.register(self._evidence.child.channel, selectors.EVENT_READ, self._evidence.step)
            child = self._exporter.child
            if child is not None:
                selector.register(child.pidfd, selectors.EVENT_READ, self._on_exporter_end)
                if self._exporter.is_heard:
                    selector.register(child.channel, selectors.EVENT_READ, self._on_exporter_word)
            ready = [key.data for key, _ in selector.select(self._timeout())]
        for act in sorted(ready, key=self._on_exporter_end.__eq__):  # the exporter's last messages come before its end
            act()
        self._on_clock()

    def _timeout(self) -> float | None:
        loader = self._loads.loader.deadline if self._loads.loader else None
        retry = None if loader else self._probes.next_retry()
        web = self._web.due() if self._web else None
        containers = self._containers.due() if self._containers else None
        evidence = self._evidence.deadline if self._evidence else None
        moments = [loader, retry, web, containers, evidence, self._exporter.restart_at, self._exporter.stuck_at]
        due = [moment for moment in moments if moment is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _on_web(self) -> None:
        if self._web is not None and self._web.on_answer():
            self._web_was_read()

    def _web_was_read(self) -> None:
        if self._loads.first_has_ended:
            self._exporter.tell_status(self._status())
        self._answer_reload()

    def _answer_reload(self) -> None:
        """Answer a reload by HTTP once loader and web configuration have been read."""
        if self._loads.loader is None and not (self._web and self._web.reading):
            self._reloads.answer([self._web.fault] if self._web and self._web.fault else [])

    def _on_clock(self) -> None:
        now = time.monotonic()
        if self._web is not None and self._web.on_clock(now):
            self._web_was_read()
        if self._containers is not None:
            self._containers.on_clock(now)
        if self._evidence is not None:
            self._evidence.on_clock(now)
        if self._loads.loader is not None and self._loads.loader.deadline <= now:
            self._on_loader()
        if self._exporter.stuck_at is not None and self._exporter.stuck_at <= now:
            self._exporter.end_stuck()
        if self._exporter.restart_at is not None and self._exporter.restart_at <= now:
            self._exporter.launch(self._probes.handles(), self._status() if self._loads.first_has_ended else None)
        if self._loads.loader is None:
            due = self._probes.due(now)
            if due:
                self._try_again(due)

    def _try_again(self, names: list[str]) -> None:
        try:
            loader = LoaderProcess()
        except HostError as error:
            for name in names:
                self._loads.fail(LoadError(name, "internal", str(error)))
            self._exporter.tell_status(self._status())
        else:
            self._load(loader, names)

    def _on_signals(self) -> None:
        for each in self._signals.read():
            if each == signal.SIGHUP:
                self._reload()
            else:
                LOG.info("%s: stopping", each.name)
                self._stopping = True

    def _on_exporter_end(self) -> None:
        self._exporter.died()

    def _on_exporter_word(self) -> None:
        """Pass the exporter's sign of life on to systemd: this line is reached only while the loop moves."""
        pulse = self._exporter.heard()
        if pulse is None:
            return
        line = status_line(self._status().probes, pulse)
        self._notices.heartbeat(line, settled=pulse.informed and not self._reloads.under_way)

    # Loads: at start, at a reload, at a retry.

    def _load(self, loader: LoaderProcess, names: list[str]) -> None:
        self._loads.begin(loader, names)
        self._look_whether_done()

    def _on_loader(self) -> None:
        reading = self._loads.step()
        if reading is not None:
            self._reload_with(reading)
        else:
            self._look_whether_done()

    def _look_whether_done(self) -> None:
        if self._loads.end():
            self._loaded_all()

    def _loaded_all(self) -> None:
        self._hooks.keep_only(self._probes.handles())
        if not self._loads.first_has_ended:
            for listener in self._sockets:
                scheme = "https" if self._web and self._web.summary.tls else "http"
                LOG.info("serving %s", listeners.url(listener, self._settings.web.telemetry_path, scheme))
            self._log_states("started", {"MESSAGE_ID": MessageId.STARTED})
        elif self._reloads.under_way:
            self._log_states("reloaded", {"MESSAGE_ID": MessageId.RELOADED})
        else:
            self._log_states("probes", {})
        self._loads.first_has_ended = True
        self._reloads.end()
        self._exporter.tell_status(self._status())
        if self._reload_again:
            self._reload_again = False
            self._reload()
        self._answer_reload()

    def _log_states(self, what: str, extra: dict[str, str]) -> None:
        up, wanted = len(self._probes.handles()), len(self._names())
        level = logging.INFO if up == wanted else logging.WARNING
        LOG.log(level, "%s: %d of %d probes up", what, up, wanted, extra=extra)

    def _status(self) -> Status:
        return Status(
            probes=self._probes.statuses(),
            bcc_version=self._loads.bcc_version,
            reload_successful=self._reloads.successful,
            reload_success_time=self._reloads.success_time,
            exporter_restarts=self._exporter.restarts,
            web=self._web.status() if self._web else None,
        )

    # Reload.

    def _reload_wanted(self) -> None:
        """Reload for a client of the exporter; ReloadEnded tells the result."""
        self._reloads.ask()
        self._reload()

    def _reload(self) -> None:
        if self._loads.loader is not None:
            self._reload_again = True
            return
        self._reloads.begin()
        if self._web is not None:
            self._web.read()
        try:
            self._loads.loader = LoaderProcess()
        except HostError as error:
            self._reloads.refuse(str(error))
            self._loaded_all()
        else:
            self._loads.loader.read(self._options.files)

    def _reload_with(self, reading: SiteRead) -> None:
        loader = self._loads.loader
        assert loader is not None
        settings = self._options.apply_to(reading.settings)
        if replace(settings, user=None) != replace(self._settings, user=None):
            loader.abort()
            self._reloads.refuse(
                "'web', 'exporter', 'container_names', 'evidence' and 'log' cannot change while probed runs: restart "
                "it, or put them back"
            )
            self._look_whether_done()
            return
        names, gone = self._probes.want(reading.wanted)
        for name in gone:
            self._exporter.remove(name)
            LOG.info("probe '%s' is removed", name, extra={"PROBE": name})
        self._reloads.accept()
        LOG.info("reloading: %d probes to load, %d unchanged", len(names), len(reading.wanted) - len(names))
        self._load(loader, names)

    def _shut_down(self) -> str:
        """Detach, let the exporter drain once more, and end it; return the exporter's fault, or ""."""
        self._notices.stopping()
        if self._loads.loader is not None:
            self._loads.loader.abort()
        if self._web is not None:
            self._web.close()
        if self._evidence is not None:
            self._evidence.close()
        self._hooks.end()
        how = self._exporter.stop()
        if how:
            LOG.error("the exporter %s", how)
        if not self._store.keeps:
            self._probes.close()
        for listener in self._sockets:
            listener.close()
        return how
