# SPDX-License-Identifier: Apache-2.0
"""The loader: reads files, compiles, loads and attaches probes, and exits.

The supervisor starts it as ``python -m probed.loader FD``. `ipc.loader_messages` has the messages and their order.
Modules that only sources need are imported for sources only.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from probed.config import files
from probed.config.declaration.columns import declares_columns
from probed.config.exporter_user import exporter_user
from probed.config.objects import content_digest
from probed.config.site import Site
from probed.errors import DeclarationError, HostError, LoadError
from probed.frozen import frozen
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
    ObjectFile,
    ProbeLoaded,
    ReadWebConfig,
    Refused,
    RunningVersion,
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
from probed.loader import pipeline
from probed.loader.btf.format import Kind
from probed.loader.common import canary, preemption
from probed.loader.common.hook_chain import Chains
from probed.loader.common.host import ALLOCATOR, Host
from probed.loader.common.module import Module
from probed.loader.core.objects import ObjectContent, Running, kernel_types, open_canary, open_probe
from probed.loader.headers.c_names import find_names

Answer = tuple[LoadedProbe, list[int]]
SupervisorChannel = Channel[FromLoader, ToLoader]


@frozen
class LoadBatch:
    """Requests of one run, with their goal.

    `hooked` has the arrays behind attached hooks by attach point; `running` the versions whose maps and slots the
    object of the same probe takes over; `objects` the fds of the requests' objects.
    """

    requests: list[LoadRequest]
    hooked: dict[str, int]
    running: dict[str, Running]
    objects: dict[ObjectFile, int | LoadError]
    goal: Goal


TRACE_PART = "#ifdef TRACE\n"
"""The first line of the header's part for trace probes."""


class LoadSession:
    """Work on one batch; gathers the machine's facts and the canary's findings once."""

    def __init__(self, channel: SupervisorChannel, batch: LoadBatch, root: Path = Path("/")) -> None:
        """Read the machine's facts, while the loader has its first rights. Raises HostError."""
        machine = os.uname().machine
        self._host = Host(Path(batch.requests[0].btf), possible_cpus(root), machine, max_threads(root))
        self._channel = channel
        self._goal = batch.goal
        self._requests = batch.requests
        self._running = batch.running
        self._objects = batch.objects
        self._used: dict[str, frozenset[canary.Member]] = {}
        self._object_canary: canary.Watch | None = None
        self._source_canary: canary.Watch | None = None
        self._is_bcc_ready = False
        self._for_bcc = _for_bcc(self._requests)
        if self._for_bcc:
            _import_modules_for_bcc()
        if self._for_bcc or self._host.has_other_types:
            self._host.read_types()
        if batch.goal != "compile":
            with kernel_types(self._host) as types:
                preempts = preemption.preempts(types)
                release = os.uname().release
                self._host.may_preempt = preemption.tracepoints_may_be_preempted(preempts, release)
                self._host.uses_kprobes = bool(preempts) and preemption.runs_kprobes(lambda: self._host.btf)
                self._host.allocates_on_demand = bool(types(Kind.STRUCT, ALLOCATOR))
        makes_arrays = batch.goal != "compile" or bool(self._for_bcc)
        self._chains = Chains(batch.hooked, self._host.kprobe, makes_arrays)
        if self._for_bcc:
            self._host.has_exchange = batch.goal != "compile" and preemption.has_exchange()

    def begin(self) -> None:
        """Start the canary of the objects."""
        with_object = next((each for each in self._requests if each.object), None)
        if with_object is not None and self._goal != "compile":
            self._object_canary = canary.Watch(partial(self._open_canary, with_object))

    @property
    def requests(self) -> list[LoadRequest]:
        """The requests, those with an object first: libbpf cannot open its files once BCC is ready."""
        return sorted(self._requests, key=lambda each: each.object is None)

    def _open_canary(self, request: LoadRequest) -> Module:
        assert request.canary_object is not None
        return open_canary(self._content("canary", request.canary_object), self._host)

    def _content(self, probe: str, file: ObjectFile) -> bytes:
        """Read an opened object, for this load only: all objects together take a megabyte. Raises LoadError."""
        return _read_object(probe, file, self._objects[file])

    def _make_bcc_ready(self) -> None:
        """Import BCC, and start a canary for the sources. Raises HostError."""
        from probed.loader.bcc import compiler, sources
        from probed.loader.bcc.hide_kallsyms import hide_kallsyms

        requests = self._for_bcc
        bcc = compiler.import_bcc()
        self._channel.send(BccVersion(str(getattr(bcc, "__version__", "unknown"))))
        compiler.report_crashes(bcc)
        hide_kallsyms()
        if self._goal != "compile":
            self._used = {each.name: frozenset(self._members(each)) for each in requests}
            used, texts = frozenset[canary.Member]().union(*self._used.values()), requests[0]
            make = partial(sources.compile_canary, used, texts.header, texts.canary, self._host)
            self._source_canary = canary.Watch(make)
        self._is_bcc_ready = True

    def answer(self, request: LoadRequest) -> Answer:
        """Go as far as the goal with one probe. Raises LoadError, DeclarationError, HostError."""
        checked = self._check(request)
        watch = self._source_canary if request.object is None else self._object_canary
        if watch is None:
            return pipeline.describe(checked), []
        try:
            loaded, fds = pipeline.load(checked, self._chains)
        except LoadError as error:
            self._refuse_wrong_members(request, watch)
            raise pipeline.explain(error, checked, self._host) from error
        self._refuse_wrong_members(request, watch)  # after the load, so that the canary runs beside the first one
        for attach_point, hook in pipeline.hook(checked, self._host, self._chains):
            self._channel.send(HookAttached(attach_point), hook)
        watch.release()
        return loaded, fds if self._goal == "attach" else []

    def _refuse_wrong_members(self, request: LoadRequest, watch: canary.Watch) -> None:
        """Raise LoadError when the canary has found a member of the probe wrong, or could not run."""
        wrong = watch.wrong_members()
        if wrong:
            canary.refuse(request.name, self._uses(request), wrong)

    def _check(self, request: LoadRequest) -> pipeline.CompiledProbe:
        if request.object is not None:
            data, running = self._content(request.name, request.object), self._running.get(request.name)
            make = partial(open_probe, ObjectContent(data, running, request.constants), self._host, self._chains)
            return pipeline.check(request, make, self._host)
        if request.loader == "core":
            raise LoadError(request.name, "compile", request.unfit or _no_object(request))
        if not self._is_bcc_ready:
            self._make_bcc_ready()
        from probed.loader.bcc import sources

        return pipeline.check(request, partial(sources.compile_probe, request, self._host, self._chains), self._host)

    def end(self) -> None:
        """Wait for the canaries, for which no probe has waited if none compiled."""
        for each in (self._object_canary, self._source_canary):
            if each is not None:
                each.wait()

    def _members(self, request: LoadRequest) -> Iterable[canary.Member]:
        from probed.loader.headers.types import offsets_used

        return offsets_used(self._host.btf, _c_text(request))

    def _uses(self, request: LoadRequest) -> Callable[[canary.Member], bool]:
        """Return a function that tells whether a probe may read a struct's member."""
        if request.object is None:
            return self._used[request.name].__contains__
        names = find_names(_c_text(request)).names
        return names.issuperset


def _c_text(request: LoadRequest) -> str:
    """Return the C of a probe; the functions in the header's last part read more members, for trace probes alone."""
    header = request.header.text
    if not declares_columns(request.declaration.text):
        header, _, _ = header.partition(TRACE_PART)
    return header + request.source.text


def _for_bcc(requests: Iterable[LoadRequest]) -> list[LoadRequest]:
    """Return the requests for BCC."""
    return [each for each in requests if each.object is None and each.loader != "core"]


def _import_modules_for_bcc() -> None:
    """Import probed's own modules for sources, which are perhaps not readable for the user of `leave_root`."""
    import probed.loader.bcc.hide_kallsyms
    import probed.loader.bcc.sources
    import probed.loader.headers.types  # noqa: F401


def _no_object(request: LoadRequest) -> str:
    return (
        f"there is no object of it, and the loader 'core' takes no source: build one with "
        f"'probed build {Path(request.source.path).parent}'"
    )


def _receive_batch(channel: SupervisorChannel) -> LoadBatch:
    """Receive messages up to EndOfRequests; answer those that ask for files."""
    requests: list[LoadRequest] = []
    hooked: dict[str, int] = {}
    running: dict[str, Running] = {}
    objects: dict[ObjectFile, int | LoadError] = {}
    while True:
        packet = channel.receive()
        match packet.message:
            case Files() as asked:
                _read(channel, asked)
            case ReadWebConfig(path):
                _read_web(channel, path)
            case HookArray(attach_point):
                hooked[attach_point] = packet.fds[0]
            case RunningVersion(loaded):
                running[loaded.name] = Running(loaded, dict(zip(loaded.fd_names, packet.fds, strict=True)))
            case LoadRequest() as request:
                requests.append(request)
                for each in (request.object, request.canary_object):
                    if each is not None and each not in objects:
                        objects[each] = _open_object(request.name, each)
            case EndOfRequests(goal):
                return LoadBatch(requests, hooked, running, objects, goal)


def _open_object(probe: str, file: ObjectFile) -> int | LoadError:
    """Open an object, while the loader has root's right to; return the fd or the error."""
    try:
        return os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return _unreadable(probe, file, error)


def _read_object(probe: str, file: ObjectFile, opened: int | LoadError) -> bytes:
    """Read the object that `_open_object` has opened. Raises LoadError."""
    if isinstance(opened, LoadError):
        raise opened
    try:
        data = os.pread(opened, os.fstat(opened).st_size, 0)
    except OSError as error:
        raise _unreadable(probe, file, error) from error
    if content_digest(data) != file.digest:
        raise LoadError(probe, "compile", f"{file.path}: has changed since it was chosen: reload probed")
    return data


def _unreadable(probe: str, file: ObjectFile, error: OSError) -> LoadError:
    return LoadError(probe, "compile", f"{file.path}: cannot be read: {error.strerror}", error.errno or 0)


def _read(channel: SupervisorChannel, asked: Files) -> None:
    try:
        configuration, text = files.read_site(asked.config_file)
        declared = files.declared_probes(configuration, text, asked.btf, asked.loader)
        settings = _settings(configuration)
    except (DeclarationError, HostError) as error:
        channel.send(Refused(bounded(str(error))))
        return
    channel.send(settings)
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
    """Return the settings for the supervisor. Raises DeclarationError as `exporter_user`."""
    log = configuration.log
    folders = {"docker": configuration.container_names.docker, "podman": configuration.container_names.podman}
    evidence = None if configuration.evidence == "off" else configuration.evidence.settings()
    user = exporter_user(configuration)
    return Settings(
        configuration.web_options, user, log.level, log.format, folders, evidence, configuration.exporter.user
    )


def _serve(channel: SupervisorChannel) -> None:
    batch = _receive_batch(channel)
    if not batch.requests:
        return
    session = LoadSession(channel, batch)
    privilege.leave_root()  # a source may include any file that this process may read
    os.chdir("/")  # BCC leaves this folder for each probe, and comes back: an ordinary user may have no way back
    privilege.keep_only(privilege.LOADER)
    session.begin()
    for request in session.requests:
        channel.send(LoadBegun(request.name))
        try:
            loaded, fds = session.answer(request)
        except (LoadError, DeclarationError) as error:
            channel.send(_failure(request.name, error))
        except HostError as error:
            if error.reason != "compile" or not any(each.object for each in batch.requests):
                raise
            text = "; ".join(filter(None, (str(error), request.unfit)))
            channel.send(Failure(request.name, error.reason, bounded(text), 0))
        except Closed:
            raise
        except Exception as error:  # the border around one probe: any error costs this probe alone
            _print_traceback()
            text = f"{type(error).__name__}: {error}; this is a mistake of probed: please report it with its log"
            channel.send(Failure(request.name, "internal", bounded(text), 0))
        else:
            channel.send(ProbeLoaded(loaded), fds)
    session.end()


def _print_traceback() -> None:
    import traceback  # with three more modules, which no load needs

    traceback.print_exc()


def _failure(name: str, error: LoadError | DeclarationError) -> Failure:
    if isinstance(error, LoadError):
        return Failure(name, error.reason, bounded(error.text), error.errno)
    return Failure(name, "declaration", bounded(str(error)), 0)


def main(fd: int) -> None:
    """Serve the supervisor behind `fd`. Leaves by os._exit: BCC's clean-up would disturb the attached programs."""
    gc.disable()  # the process ends before its cycles take memory
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
        _print_traceback()
    os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
