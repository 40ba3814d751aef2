# SPDX-License-Identifier: Apache-2.0
"""Reads the site configuration and the probe folders, and makes requests for the loader.

The loader calls the module at start and at every reload; `probed check` and `probed list` call it too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from probed.config import permissions, site
from probed.config.declaration.columns import declares_columns
from probed.config.declaration.probe import Probe, check_together, parse_declaration
from probed.config.objects import CORE_HEADER, ObjectSources, find_object
from probed.config.overrides import SiteDefaults, check_folded, override, with_defaults
from probed.config.site import Site
from probed.digests import digest
from probed.elf.files import identity_of
from probed.errors import DeclarationError, HostError, Problem
from probed.frozen import frozen
from probed.ipc.channel import MAX_BODY, encoded
from probed.ipc.loader_messages import Files, LoadRequest, ObjectFile, Text, Wanted
from probed.ipc.manifest import LoaderChoice
from probed.schema import structure
from probed.schema.suggestions import did_you_mean

HEADER = "include/probed.bpf.h"
CANARY = "include/canary.bpf.c"
MAX_BYTES = 4 << 20
"""Limit of a file's size: far above any configuration, declaration or C source."""

INSTALLED = (Path(__file__).parents[3] / "probes", Path("/usr/share/probed/probes"))
"""Folders with probes/include where no probe directory of the site has one: this source tree, or the package."""


@frozen
class DeclaredProbe:
    """One probe: the declaration with the site's changes, the request for the loader, and the object's sources."""

    probe: Probe
    request: LoadRequest
    sources: ObjectSources


def read(path: str, remedy: str) -> Text:
    """Read one file. Raises DeclarationError; the text ends in `remedy` where the kernel refuses the file."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) <= MAX_BYTES:
            return Text(path, data.decode().replace("\r\n", "\n").replace("\r", "\n"))
        text = f"has more than {MAX_BYTES >> 20} MiB; is it the right file?"
    except OSError as error:
        text = f"cannot be read: {error.strerror}; {remedy}"
    except UnicodeDecodeError as error:
        text = f"is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"
    raise DeclarationError([Problem(path, 0, "", text)])


def read_site(path: str) -> tuple[Site, Text]:
    """Read the site configuration. Raises DeclarationError."""
    text = read(path, "name the site configuration with --config.file")
    return site.parse(text.text, path), text


def declared_probes(
    configuration: Site, site_text: Text, btf: str, loader: LoaderChoice | None = None
) -> dict[str, DeclaredProbe]:
    """Read every probe of the site, by name. Raises DeclarationError with all problems of all files.

    `loader` replaces the site's choice.
    """
    shared = _Shared.find(_directories(configuration), site_text, btf, loader or configuration.loader)
    problems = _replaceable(site_text, shared.header, shared.core_header, shared.canary)
    read_probes: list[Probe] = []
    declared: dict[str, DeclaredProbe] = {}
    for name, overrides in configuration.probes.items():
        try:
            probe, text, source = _read_probe(_folder(configuration, name), name)
            read_probes.append(probe)
            sources = shared.sources(probe, source)
            if probe.columns:
                why = "a trace probe does not run in the daemon; remove it, and run 'probed tail'"
                problems.append(configuration.source.problem(("probes", name), why))
            problems += _replaceable(text, source)
            probe = override(probe, overrides, configuration.defaults, configuration.source)
            declared[name] = shared.declare(probe, text, source, sources)
            asked = declared[name].request
            problems += _replaceable(*filter(None, (asked.object, asked.canary_object)))
        except DeclarationError as error:
            problems += error.problems
    if len(read_probes) == len(configuration.probes):
        with_added = [*read_probes, *(each.probe for each in declared.values())]
        problems += check_folded(configuration.defaults, with_added, configuration.source)
    problems += check_together(each.probe for each in declared.values())
    if problems:
        raise DeclarationError(sorted(set(problems)))
    return declared


def _replaceable(*texts: Text | ObjectFile) -> list[Problem]:
    """Return a problem for each file that any user could replace."""
    return [Problem(each.path, 0, "", why) for each in texts if (why := permissions.why_replaceable(each.path))]


def standalone_probe(folder: Path, btf: str, loader: LoaderChoice = "auto") -> DeclaredProbe:
    """Read one probe folder without a site. Raises DeclarationError."""
    shared = _Shared.find([folder.parent], None, btf, loader)
    probe, text, source = _read_probe(folder, folder.resolve().name)
    return shared.declare(with_defaults(probe, SiteDefaults()), text, source, shared.sources(probe, source))


def canary_sources(directory: Path) -> ObjectSources:
    """Return the sources of the canary's object in a probe directory. Raises DeclarationError."""
    header, core_header, canary = (read(str(directory / name), "") for name in (HEADER, CORE_HEADER, CANARY))
    return ObjectSources(header, core_header, canary)


def trace_probe(name: str, asked: Files) -> DeclaredProbe:
    """Read the trace probe `name`: of the site's probe directories, or of the shipped ones. Raises DeclarationError."""
    configuration = read_site(asked.config_file)[0] if Path(asked.config_file).exists() else None
    places = [*(_directories(configuration) if configuration is not None else ()), *INSTALLED]
    folder = next((each / name for each in places if (each / name / f"{name}.yaml").is_file()), None)
    if folder is None:
        there = {probe.name for probe in trace_probes(places)}
        listed = f"there: {', '.join(sorted(there))}" if there else "there is none"
        problem = Problem(name, 0, "", f"no trace probe has this name; {listed}{did_you_mean(name, there)}")
        raise DeclarationError([problem])
    loader = asked.loader or (configuration.loader if configuration is not None else "auto")
    declared = standalone_probe(folder, asked.btf, loader)
    request = declared.request
    objects = filter(None, (request.object, request.canary_object))
    problems = _replaceable(request.declaration, request.source, request.header, request.canary, *objects)
    if not declared.probe.columns:
        text = f"probe '{name}' has metrics; only a trace probe, with columns, can be tailed"
        problems.append(declared.probe.source.problem(("metrics",), text))
    if problems:
        raise DeclarationError(problems)
    return declared


def trace_probes(directories: Iterable[Path]) -> list[Probe]:
    """Read the declarations of the trace probes in these directories, by name. Raises DeclarationError."""
    found: dict[str, Probe] = {}
    for path in (path for directory in directories for path in sorted(directory.glob("*/*.yaml"))):
        if path.stem == path.parent.name and path.stem not in found:
            text = read(str(path), "a probe's folder needs a declaration of the same name")
            if declares_columns(text.text):
                found[path.stem] = parse_declaration(text.text, text.path, path.stem)
    return [found[name] for name in sorted(found)]


def _read_probe(folder: Path, name: str) -> tuple[Probe, Text, Text]:
    """Read a probe's declaration and C source. Raises DeclarationError with the problems of both."""
    problems: list[Problem] = []
    try:
        text = read(str(folder / f"{name}.yaml"), "a probe's folder needs a declaration of the same name")
        probe = parse_declaration(text.text, text.path, name)
    except DeclarationError as error:
        problems += error.problems
    try:
        source = read(str(folder / f"{name}.bpf.c"), "a probe's folder needs a C source of the same name")
    except DeclarationError as error:
        problems += error.problems
    if problems:
        raise DeclarationError(problems)
    return probe, text, source


@frozen
class _Shared:
    """The parts that the requests for all probes share."""

    site: Text | None
    header: Text
    core_header: Text
    canary: Text
    btf: str
    loader: LoaderChoice

    @classmethod
    def find(cls, directories: Iterable[Path], site_text: Text | None, btf: str, loader: LoaderChoice) -> _Shared:
        places = [*directories, *INSTALLED]
        header, core_header, canary = (_first(places, name) for name in (HEADER, CORE_HEADER, CANARY))
        return cls(site_text, header, core_header, canary, btf, loader)

    def sources(self, probe: Probe, source: Text) -> ObjectSources:
        """Return the sources of a probe's object; a site's changes leave the object as it is."""
        return ObjectSources.of_probe(probe, self.header, self.core_header, source)

    def declare(self, probe: Probe, text: Text, source: Text, sources: ObjectSources) -> DeclaredProbe:
        """Make the request for one probe. Raises DeclarationError for files too large for a message."""
        found, canary, unfit = self._objects(probe, sources)
        request = LoadRequest(
            probe.name, text, self.site, source, self.header, self.canary, self.btf,
            self._fingerprint(probe, source), found, canary, unfit, self.loader,
        )  # fmt: skip
        _check_size(Wanted(probe.description, request))
        return DeclaredProbe(probe, request, sources)

    def _objects(self, probe: Probe, sources: ObjectSources) -> tuple[ObjectFile | None, ObjectFile | None, str]:
        """Return the objects of probe and canary, or neither and why an object that exists is not used."""
        if self.loader == "bcc":
            return None, None, ""
        machine = os.uname().machine
        found, unfit = find_object(sources, machine)
        unfit = unfit or (sources.why_unfit(probe) if found else "")
        if found is None or unfit:
            return None, None, unfit
        own = ObjectSources(self.header, self.core_header, self.canary)
        canary, unfit = find_object(own, machine)
        if canary is None:
            return None, None, unfit or f"{own.path(machine)}: is missing: without the canary's object none is used"
        return found, canary, ""

    def _fingerprint(self, probe: Probe, source: Text) -> str:
        """Return a digest of all inputs of the counts, whichever way the probe comes.

        A comment in the YAML does not change the digest; a comment in C does.
        """
        parts = [json.dumps(structure.to_data(probe)), source.text, self.header.text, self.btf, *_identities(probe)]
        return digest("\0".join(parts).encode(errors="surrogateescape"))


def _identities(probe: Probe) -> list[str]:
    """Return the identities of the files of attach points; "" for one that is missing, which the loader reports."""
    names = [program.attach_point.file for program in probe.programs.values()]
    return [identity_of(name) for name in names if name]


def _check_size(wanted: Wanted) -> None:
    """Refuse files that one message to the loader cannot hold; the largest file has the problem."""
    size = len(encoded(wanted))
    if size <= MAX_BODY:
        return
    request = wanted.request
    own = [request.source, request.declaration, *([request.site] if request.site is not None else [])]
    largest = max(own, key=lambda each: len(each.text))
    text = (
        f"is too large: with the probe's other files {size >> 10} KiB go to the loader, {MAX_BODY >> 10} KiB are the "
        "most; shorten it; types of the kernel need neither vmlinux.h nor a copy"
    )
    raise DeclarationError([Problem(largest.path, 0, "", text)])


def _first(places: Iterable[Path], name: str) -> Text:
    for place in places:
        if (place / name).is_file():
            return read(str(place / name), "the shipped probes include this file")
    raise HostError(f"no probe directory has {name}: install probed anew, the shipped probes include this file")


def _directories(configuration: Site) -> list[Path]:
    return list(map(Path, configuration.directories))


def _folder(configuration: Site, name: str) -> Path:
    for directory in _directories(configuration):
        if (directory / name / f"{name}.yaml").is_file():
            return directory / name
    there = {path.stem for directory in _directories(configuration) for path in directory.glob("*/*.yaml")}
    searched = ", ".join(map(str, configuration.directories))
    text = f"no probe '{name}': expected {name}/{name}.yaml in {searched}{did_you_mean(name, there)}"
    raise DeclarationError([configuration.source.problem(("probes", name), text)])
