# SPDX-License-Identifier: Apache-2.0
"""The exporter's parts, and its course from the first message to the last.

`__main__` imports it and calls `main`. `ipc.exporter_messages` has the messages.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress

from probed import __version__, log
from probed.errors import DeclarationError, HostError
from probed.exporter.collection.collector import Collector
from probed.exporter.drain_loop import Loop
from probed.exporter.exposition.family import Family
from probed.exporter.heartbeat import Heartbeat
from probed.exporter.http_server.messages import Peer
from probed.exporter.http_server.server import Server
from probed.exporter.pages.application import Application
from probed.exporter.pages.landing_page import Landing
from probed.exporter.pages.reload_requests import ReloadRequests
from probed.exporter.seccomp_filter import confine
from probed.exporter.self_metrics import http
from probed.exporter.self_metrics.daemon import Build
from probed.exporter.self_metrics.metric import families
from probed.exporter.self_metrics.process import Process
from probed.ipc import manifest
from probed.ipc.channel import Channel, Closed, Packet
from probed.ipc.exporter_messages import (
    TO_EXPORTER,
    CannotServe,
    Confined,
    FromExporter,
    NewWebSettings,
    ReloadEnded,
    RequestReload,
    Start,
    Stopped,
    ToExporter,
)
from probed.linux import memfd, privilege
from probed.linux.cpus import possible_cpus
from probed.memory_order import barrier
from probed.schema import structure
from probed.webconfig.settings import WebSettings

LOG = logging.getLogger("exporter")

SupervisorChannel = Channel[FromExporter, ToExporter]

DESCRIPTORS = 1024
"""Places in the table of descriptors from the start: some 20 for a probe, and those of HTTP clients."""

_OTHER_VERSION = "supervisor and exporter are of different versions: probed was upgraded while it ran; restart it"


class Exporter:
    """The parts of the process, wired together; `serve` runs them to the end."""

    def __init__(
        self, channel: SupervisorChannel, start: Start, statm: int, web: int | None, listeners: list[socket.socket]
    ) -> None:
        build = Build(__version__, sys.version.split()[0], "", os.uname().release)
        self._start = start
        self._channel = channel
        self._collector = Collector(build, Process(start.start_time, start.supervisor_start), possible_cpus(), statm)
        self._collector.storms.rules = start.evidence
        self._reloads = ReloadRequests(lambda: channel.send(RequestReload()))
        reload = self._reloads.reload if start.web.enable_lifecycle else None
        application = Application(start.web.telemetry_path, self.scrape, self.readiness, self.landing, reload)
        self._server = Server(listeners, application, start.web)
        if web is not None:
            self._server.configure(_web_settings(web))
        heartbeat = Heartbeat(channel, self._collector, self._server, start.pulse_seconds)
        self._loop = Loop(channel, self._collector, heartbeat, self._on_message)

    def serve(self) -> str:
        """Serve until the supervisor's message ``stop``; return the sums of the last drain as text."""
        self._loop.prepare()
        self._server.start()
        self._loop.run()
        self._server.stop()
        totals = self._collector.totals()
        delivered = sum(probe.delivered for probe in totals)
        lost = sum(sum(probe.lost.values()) for probe in totals)
        return f"{delivered} events delivered, {lost} lost"

    def _on_message(self, packet: Packet[ToExporter]) -> None:
        match packet.message:
            case NewWebSettings():
                (fd,) = packet.fds
                self._server.configure(_web_settings(fd))
            case ReloadEnded(fault):
                self._reloads.ended(fault)
            case other:
                raise ValueError(f"the supervisor sent a message of kind '{type(other).__name__}'")

    def scrape(self, scraper: Peer | None) -> list[Family]:
        """Return the families of this moment, for a scraper's connection or for another client (None)."""
        return [*self._collector.scrape(scraper), *families(http.METRICS, self._server.stats())]

    def readiness(self) -> str:
        """Return why a scrape would be incomplete, "" when ready."""
        if not self._loop.is_alive():
            return "the drain loop does not move"
        status = self._collector.status.current
        if status is None:
            return "the probes are not attached yet"
        if not any(probe.up for probe in status.probes):
            return "no probe is up; the landing page and the log say why"
        return ""

    def landing(self) -> Landing:
        """Return the content of the landing page."""
        status = self._collector.status.current
        return Landing(
            version=__version__,
            telemetry_path=self._start.web.telemetry_path,
            unready=self.readiness(),
            probes=status.probes if status else (),
            evidence=self._collector.evidence.latest,
        )


def _web_settings(fd: int) -> WebSettings:
    """Read the settings that the loader wrote, and close the descriptor."""
    try:
        data = memfd.read(fd)
    finally:
        os.close(fd)
    return structure.build(WebSettings, json.loads(data), structure.Source("the web configuration's memory"))


def _start(channel: SupervisorChannel) -> tuple[Start, int, int | None, list[socket.socket]]:
    try:
        packet = channel.receive()
    except (ValueError, DeclarationError) as error:
        raise HostError(f"{_OTHER_VERSION}: {error}") from error
    start = packet.message
    if not isinstance(start, Start) or start.version != manifest.VERSION:
        raise HostError(_OTHER_VERSION)
    statm, *rest = packet.fds
    web = rest.pop(0) if start.web.config_file else None
    return start, statm, web, [socket.socket(fileno=fd) for fd in rest]


def _make_room_for_descriptors(fd: int) -> None:
    """Let the kernel enlarge the table of descriptors while the process has one thread.

    With more threads the kernel waits for all CPUs at each doubling, 10 to 30 ms: expand_fdtable() in Linux fs/file.c.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError):  # of a limit that is nearly reached
        os.close(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, min(DESCRIPTORS, most) - 1))


def _give_up_privilege(start: Start) -> None:
    keep = frozenset[int]()
    if privilege.maps_are_for_bpf_only():
        keep = frozenset({privilege.CAP_BPF})
        LOG.info("this kernel (Linux before 5.19) lets only CAP_BPF read the maps of BPF, so the exporter keeps that")
    privilege.become(start.user, keep)


def main(fd: int) -> int:
    """Serve the supervisor behind `fd`; return the exit status."""
    # Both signals reach every process of a terminal or of a systemd unit: the supervisor decides on the last drain.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    channel = SupervisorChannel(socket.socket(fileno=fd), TO_EXPORTER)
    try:
        start, statm, web, listeners = _start(channel)
    except Closed:  # the supervisor has refused its configuration
        return 1
    if web is not None:
        importlib.import_module(
            "probed.exporter.http_server.secured_policy"
        )  # readable now, perhaps not as another user
    log.start("exporter", start.log_level, start.log_format)
    try:
        barrier()  # raises HostError on other machines
        _make_room_for_descriptors(fd)
        _give_up_privilege(start)
        exporter = Exporter(channel, start, statm, web, listeners)
        confine()
        channel.send(Confined())
        channel.send(Stopped(exporter.serve()))
    except HostError as error:
        channel.send(CannotServe(str(error)))
        return 1
    except Closed:
        LOG.warning("the supervisor has gone, so the exporter ends too")
        return 1
    return 0
