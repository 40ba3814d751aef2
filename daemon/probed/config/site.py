# SPDX-License-Identifier: Apache-2.0
"""The site configuration: the running probes, their changes and limits, the HTTP server and the log.

The loader and `probed check` call `parse` with the text of ``/etc/probed/probed.yaml``. The module reads no files and
looks for no probes; `declaration` describes a probe.
"""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Annotated, Literal

from probed.config.declaration.decoders import UnitDecoderName
from probed.config.declaration.histograms import HistogramForm
from probed.config.declaration.scalars import LabelName, ProbeName
from probed.config.evidence.options import EvidenceOptions
from probed.config.folding.fold_rules import FoldRules
from probed.config.overrides import Overrides, Series, SiteDefaults
from probed.frozen import frozen
from probed.ipc.manifest import LoaderChoice
from probed.schema import strict_yaml
from probed.schema.rules import NOT_EMPTY_LIST, NOT_EMPTY_MAPPING, Line
from probed.schema.structure import Given, Source, pattern
from probed.webconfig.options import WebOptions

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["logfmt", "json"]


UserName = Annotated[
    str,
    pattern(
        r"(?![0-9]+$|\.{1,2}$|[- ])[^\x00-\x1f\x7f:/]{0,255}[^\x00-\x20\x7f:/]",
        "a user's name (no number, no ':' or '/', no '-' or blank before)",
    ),
]
"""As systemd accepts users that others made: adduser, Samba and directories permit dots, capitals, '$' and '@'.

Source: https://systemd.io/USER_NAMES, relaxed mode.
"""


@frozen
class ExporterOptions:
    """The exporter process."""

    user: Annotated[
        UserName | None,
        "The exporter's user where the supervisor is root; by default 'probed' if such a user exists, else 'nobody'.",
    ] = None


Folder = Annotated[str, pattern(r"/[^\x00-\x1f\x7f]*", "an absolute path")]


@frozen
class RuntimeFolders:
    """State of container runtimes, from which the supervisor reads the names of containers."""

    docker: Annotated[tuple[Folder, ...], "Data roots of Docker: /var/lib/docker.", NOT_EMPTY_LIST] = ()
    podman: Annotated[
        tuple[Folder, ...],
        "Storages of Podman: /var/lib/containers/storage, and /run/containers/storage for short-lived containers.",
        NOT_EMPTY_LIST,
    ] = ()


@frozen
class LogOptions:
    """The log."""

    level: Annotated[LogLevel, "The least severe level of logged messages."] = "info"
    format: Annotated[LogFormat, "logfmt for people, json for programs."] = "logfmt"


@frozen
class Site:
    """The site configuration."""

    source: Given[Source]
    probe_directories: Annotated[
        tuple[Line, ...],
        "Directories with probe folders, in the order of the search; relative to this file.",
        NOT_EMPTY_LIST,
    ]
    probes: Annotated[
        Mapping[ProbeName, Overrides],
        "The probes that run, each with this site's changes; no changes: as declared.",
        NOT_EMPTY_MAPPING,
    ]
    series: Annotated[Series, "Limits of a metric's series, for all metrics."] = dataclasses.field(
        default_factory=Series
    )
    fold: Annotated[
        Mapping[LabelName, Annotated[FoldRules, NOT_EMPTY_LIST]],
        "Rules by declared label name. The first match counts, before the rules of the probe.",
    ] = dataclasses.field(default_factory=dict)
    fold_defaults: Annotated[
        bool, "Whether to fold numbered names of the kernel, systemd and desktops (kworker, session-*.scope)."
    ] = True
    loader: Annotated[
        LoaderChoice,
        "How probes are loaded: core from objects, bcc from sources, auto from objects where there are some.",
    ] = "auto"
    unit_labels: Annotated[
        Mapping[LabelName, UnitDecoderName],
        "Further labels of each metric with a label by cgroup_unit: label name to decoder.",
        NOT_EMPTY_MAPPING,
    ] = dataclasses.field(default_factory=dict)
    histogram_form: Annotated[
        HistogramForm, "The form of histograms that have both: classic buckets, native ones, or both."
    ] = "both"
    web: Annotated[WebOptions, "The HTTP server's options."] = dataclasses.field(default_factory=WebOptions)
    exporter: Annotated[ExporterOptions, "The exporter process."] = dataclasses.field(default_factory=ExporterOptions)
    container_names: Annotated[
        RuntimeFolders, "State of container runtimes, for the decoder container_name; by default none is read."
    ] = dataclasses.field(default_factory=RuntimeFolders)
    evidence: Annotated[
        EvidenceOptions | Literal["off"], "Evidence: a sample of single events in the log when a storm begins, or off."
    ] = dataclasses.field(default_factory=EvidenceOptions)
    log: Annotated[LogOptions, "The log."] = dataclasses.field(default_factory=LogOptions)

    @property
    def defaults(self) -> SiteDefaults:
        """The site's settings for all probes."""
        return SiteDefaults(self.series, self.fold, self.fold_defaults, self.histogram_form, self.unit_labels)

    @property
    def directories(self) -> tuple[str, ...]:
        """The probe directories as paths that can be opened; relative paths start at the file's folder."""
        here = PurePath(self.source.path).parent
        return tuple(os.path.normpath(here / path) for path in self.probe_directories)

    @property
    def web_options(self) -> WebOptions:
        """The web options with a `config_file` that can be opened; relative paths start at the file's folder."""
        file = self.web.config_file
        here = PurePath(self.source.path).parent
        return dataclasses.replace(self.web, config_file=os.path.normpath(here / file) if file else None)


@lru_cache(maxsize=64)
def parse(text: str, path: str) -> Site:
    """Parse the site configuration; the loader does so for each probe.

    `path` is the file as the user named it. Raises DeclarationError with every Problem.
    """
    return strict_yaml.parse(Site, text, path)
