# SPDX-License-Identifier: Apache-2.0
"""The loader: reads files, compiles, loads and attaches probes, and exits.

The supervisor starts it as ``python -m probed.loader FD``. `ipc.loader_messages` has the messages and their order.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from probed.config import files
from probed.config.site import Site
from probed.errors import DeclarationError, HostError, LoadError
from probed.ipc.channel import Channel, Closed
from probed.ipc.loader_messages import (
    TO_LOADER,
    AllWanted,
    BccVersion,
    EndOfRequests,
    Failure,
    Files,
    FromLoader,
    Goal,
    HookArray,
    HookAttached,
    HostFailure,
    LoadBegun,
    LoadRequest,
    ProbeLoaded,
    ReadWebConfig,
    Refused,
    Settings,
    ToLoader,
    Wanted,
    WebConfigRead,
)
from probed.ipc.manifest import LoadedProbe
from probed.ipc.message import bounded
from probed.linux import privilege
from probed.linux.cpus import possible_cpus
from probed.linux.threads import max_threads
from probed.loader import canary, compiler, pipeline, preemption
from probed.loader.btf.reader import Btf
from probed.loader.headers.types import offsets_used
from probed.loader.hide_kallsyms import hide_kallsyms
from probed.loader.hook_chain import Chains

Answer = tuple[LoadedProbe, list[int]]
SupervisorChannel = Channel[FromLoader, ToLoader]


@dataclass(frozen=True, slots=True)
class LoadBatch:
    """Requests of one run, with their goal; `hooked` has the arrays behind attached hooks, by tracepoint."""

    requests: list[LoadRequest]
    hooked: dict[str, int]
    goal: Goal


class LoadSession:
    """Work on one batch; gathers the machine's facts and the canary's findings once."""

    def __init__(self, channel: SupervisorChannel, batch: LoadBatch, btf: Btf, root: Path = Path("/")) -> None:
        """Read the machine's facts. Raises HostError."""
        requests = batch.requests
        machine = os.uname().machine
        tries = batch.goal != "compile"
        kprobes, exchange = tries and preemption.needs_kprobes(btf), tries and preemption.has_exchange()
        self._host = pipeline.Host(
            btf, btf.raw_tracepoints(), possible_cpus(root), machine, max_threads(root), kprobes, exchange
        )
        self._channel = channel
        self._goal = batch.goal
        self._chains = Chains(batch.hooked, lambda name: preemption.kprobe_point(btf, name) if kprobes else None)
        self._used = {each.name: frozenset(self._members(each)) for each in requests}
        self._canary = None if self._goal == "compile" else self._start_canary(requests[0])

    def _start_canary(self, any_request: LoadRequest) -> canary.Watch:
        used = frozenset[canary.Member]().union(*self._used.values())
        return canary.Watch(used, any_request.header, any_request.canary, self._host)

    def answer(self, request: LoadRequest) -> Answer:
        """Go as far as the goal with one probe. Raises LoadError, DeclarationError, HostError."""
        checked = pipeline.check(request, self._host, self._chains)
        if self._canary is None:
            return pipeline.describe(checked), []
        canary.refuse(request.name, self._used[request.name], self._canary.wrong_members())
        loaded, fds = pipeline.load(checked, self._host, self._chains)
        for tracepoint, *hook in pipeline.hook(checked, self._host, self._chains):
            self._channel.send(HookAttached(tracepoint), hook)
        return loaded, fds if self._goal == "attach" else []

    def end(self) -> None:
        """Wait for the canary, for which no probe has waited if none compiled."""
        if self._canary is not None:
            self._canary.wait()

    def _members(self, request: LoadRequest) -> Iterable[canary.Member]:
        return offsets_used(self._host.btf, request.header.text + request.source.text)


def _receive_batch(channel: SupervisorChannel) -> LoadBatch:
    """Receive messages up to EndOfRequests; answer those that ask for files."""
    requests: list[LoadRequest] = []
    hooked: dict[str, int] = {}
    while True:
        packet = channel.receive()
        match packet.message:
            case Files() as asked:
                _read(channel, asked)
            case ReadWebConfig(path):
                _read_web(channel, path)
            case HookArray(tracepoint):
                hooked[tracepoint] = packet.fds[0]
            case LoadRequest() as request:
                requests.append(request)
            case EndOfRequests(goal):
                return LoadBatch(requests, hooked, goal)


def _read(channel: SupervisorChannel, asked: Files) -> None:
    try:
        configuration, text = files.read_site(asked.config_file)
        declared = files.declared_probes(configuration, text, asked.btf)
    except (DeclarationError, HostError) as error:
        channel.send(Refused(bounded(str(error))))
        return
    channel.send(_settings(configuration))
    for each in declared.values():
        channel.send(Wanted(each.probe.description, each.request))
    channel.send(AllWanted())


def _read_web(channel: SupervisorChannel, path: str) -> None:
    from probed.webconfig import reader  # imports ssl, which only sites with a web configuration need

    try:
        read = reader.read(path)
    except DeclarationError as error:
        channel.send(Refused(bounded(str(error))))
        return
    fd = reader.sealed_memory(read.settings)
    channel.send(WebConfigRead(read.summary), [fd])
    os.close(fd)


def _settings(configuration: Site) -> Settings:
    log = configuration.log
    folders = {"docker": configuration.container_names.docker, "podman": configuration.container_names.podman}
    return Settings(configuration.web_options, configuration.exporter.user, log.level, log.format, folders)


def _serve(channel: SupervisorChannel) -> None:
    batch = _receive_batch(channel)
    if not batch.requests:
        return
    bcc = compiler.import_bcc()
    channel.send(BccVersion(str(getattr(bcc, "__version__", "unknown"))))
    btf = Btf.read(Path(batch.requests[0].btf))
    os.chdir("/")  # BCC returns there after each compile, and the new user may not reach the starter's folder
    privilege.leave_root()  # a source may include any file that this process may read
    os.chdir("/")  # BCC leaves this folder for each probe, and comes back: an ordinary user may have no way back
    privilege.keep_only(privilege.LOADER)
    compiler.report_crashes(bcc)
    hide_kallsyms()
    session = LoadSession(channel, batch, btf)
    for request in batch.requests:
        channel.send(LoadBegun(request.name))
        try:
            loaded, fds = session.answer(request)
        except (LoadError, DeclarationError) as error:
            channel.send(_failure(request.name, error))
        except (HostError, Closed):
            raise
        except Exception as error:  # the border around one probe: any error costs this probe alone
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}; this is a mistake of probed: please report it with its log"
            channel.send(Failure(request.name, "internal", bounded(text), 0))
        else:
            channel.send(ProbeLoaded(loaded), fds)
    session.end()


def _failure(name: str, error: LoadError | DeclarationError) -> Failure:
    if isinstance(error, LoadError):
        return Failure(name, error.reason, bounded(error.text), error.errno)
    return Failure(name, "declaration", bounded(str(error)), 0)


def main(fd: int) -> None:
    """Serve the supervisor behind `fd`. Leaves by os._exit: BCC's clean-up would disturb the attached programs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = SupervisorChannel(socket.socket(fileno=fd), TO_LOADER)
    status = 1
    try:
        _serve(channel)
        status = 0
    except HostError as error:
        channel.send(HostFailure(error.reason, bounded(str(error))))
    except Closed:
        pass  # the supervisor has gone, and with it the reader of answers
    except BaseException:
        traceback.print_exc()
    os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
