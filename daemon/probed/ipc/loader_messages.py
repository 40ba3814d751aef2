# SPDX-License-Identifier: Apache-2.0
"""Messages between supervisor and loader, one dataclass per kind. Pure.

The supervisor sends Files or ReadWebConfig where the loader is to read files; then a HookArray for each attached hook,
a RunningVersion for each probe that an object renews, LoadRequests and one EndOfRequests. The loader answers Files with
Settings, a Wanted per probe and AllWanted, or with Refused; ReadWebConfig with WebConfigRead or Refused. After
EndOfRequests come, per request, LoadBegun, a HookAttached per missing hook, and ProbeLoaded or Failure: first the
requests with an object. BccVersion follows the LoadBegun of the first request for BCC. A machine without the means to
load any probe gets HostFailure instead.

The supervisor sends back the LoadRequests out of the Wanted messages: so the loader loads the same texts that the
supervisor compared, even if the files change meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from probed.errors import Reason
from probed.frozen import frozen
from probed.ipc.evidence_messages import EvidenceSettings
from probed.ipc.manifest import LoadedProbe, LoaderChoice
from probed.linux.privilege import User
from probed.webconfig.options import WebOptions
from probed.webconfig.settings import WebSummary

Goal = Literal["compile", "verify", "attach"]
"""How far the loader goes: compile, verify (and attach for a moment), or attach for good."""


@frozen
class Text:
    """Content of one file, and the path as the user knows the file."""

    path: str
    text: str


@frozen
class Files:
    """Asks for the site configuration with the declarations; `btf` has the kernel's types.

    `loader` replaces the site's choice.
    """

    config_file: str
    btf: str
    loader: LoaderChoice | None = None


@frozen
class ReadWebConfig:
    """Asks for the web configuration at `path`."""

    path: str


@frozen
class HookArray:
    """Names an attached hook's attach point. Fd: the array of programs behind the hook."""

    attach_point: str


@frozen
class ObjectFile:
    """An object built from today's sources, and the digest of the file."""

    path: str
    digest: str


ANY: Final = (1 << 64) - 1
"""A number that lets all events through."""


@frozen
class TraceConstants:
    """Constants of a trace probe, with the defaults of probes/include/probed.bpf.h: mostly filters.

    Two masks and two words compare the 16 bytes of a name. `most_strings` bounds the arguments of a failed exec.
    """

    only_cgroup: int = ANY
    only_pid: int = ANY
    only_ppid: int = ANY
    only_uid: int = ANY
    only_errno: int = ANY
    only_failed: int = 0
    least_lifetime_ns: int = 0
    with_all: int = 0
    comm_mask_0: int = 0
    comm_word_0: int = 0
    comm_mask_1: int = 0
    comm_word_1: int = 0
    parent_mask_0: int = 0
    parent_word_0: int = 0
    parent_mask_1: int = 0
    parent_word_1: int = 0
    most_strings: int = 512

    def by_name(self) -> dict[str, int]:
        """Return the values by the names in the C."""
        return {name: getattr(self, name) for name in self.__match_args__}


@frozen
class LoadRequest:
    """Asks for one probe: the declaration, the site configuration with overrides, and the C.

    `btf` is the file with the kernel's types. `fingerprint` covers every input of the counts: with equal fingerprints
    and equal objects nothing has changed. With `object`, libbpf loads the probe and its canary from objects; without,
    BCC compiles both. `unfit` says why an object that exists is not used. `loader` is the choice of site and command
    line. `constants` are those of a trace probe.
    """

    name: str
    declaration: Text
    site: Text | None
    source: Text
    header: Text
    canary: Text
    btf: str
    fingerprint: str
    object: ObjectFile | None = None
    canary_object: ObjectFile | None = None
    unfit: str = ""
    loader: LoaderChoice = "auto"
    constants: TraceConstants = TraceConstants()


@frozen
class RunningVersion:
    """A running probe whose maps and slots an object of the same sources takes over. Fds: as in `loaded.fd_names`."""

    loaded: LoadedProbe


@frozen
class EndOfRequests:
    """The last message to the loader."""

    goal: Goal


@frozen
class Settings:
    """Settings of the site configuration for the supervisor; the path in `web` can be opened.

    `user` is that of the exporter under a root supervisor, else None; `user_name` is the site's own value.
    `container_state` has the folders with names of containers, by runtime. Without `evidence` none is taken.
    """

    web: WebOptions
    user: User | None
    log_level: str
    log_format: str
    container_state: Mapping[str, tuple[str, ...]]
    evidence: EvidenceSettings | None = None
    user_name: str | None = None


@frozen
class Wanted:
    """One probe that the site wants."""

    description: str
    request: LoadRequest


@frozen
class AllWanted:
    """Ends the answer to Files."""


@frozen
class WebConfigRead:
    """Answers ReadWebConfig. Fd: the WebSettings in sealed memory."""

    summary: WebSummary


@frozen
class Refused:
    """Lists the problems of files that cannot be used."""

    text: str


@frozen
class BccVersion:
    """Version of BCC."""

    version: str


@frozen
class LoadBegun:
    """Names the probe that the loader begins to work on."""

    name: str


@frozen
class HookAttached:
    """Names the attach point of a new hook. Fds: the array of programs, the program and the links."""

    attach_point: str


@frozen
class ProbeLoaded:
    """Describes a loaded probe. Fds: see `probe.fd_names`; none if the goal was not to attach."""

    probe: LoadedProbe


@frozen
class Failure:
    """Explains why one probe could not be loaded; `errno` is 0 where the cause has none."""

    name: str
    reason: Reason
    text: str
    errno: int


@frozen
class HostFailure:
    """Cause for a machine without the means to load any probe."""

    reason: Reason
    text: str


ToLoader = Files | ReadWebConfig | HookArray | RunningVersion | LoadRequest | EndOfRequests
FromLoader = (
    Settings
    | Wanted
    | AllWanted
    | WebConfigRead
    | Refused
    | BccVersion
    | LoadBegun
    | HookAttached
    | ProbeLoaded
    | Failure
    | HostFailure
)

TO_LOADER: Final[tuple[type[ToLoader], ...]] = get_args(ToLoader)
FROM_LOADER: Final[tuple[type[FromLoader], ...]] = get_args(FromLoader)
