# SPDX-License-Identifier: Apache-2.0
"""`probed check`: checks declarations and configurations without running the probes.

The checks are those of start and reload: the structure, the C source, and with ``--host`` the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from probed.commands import build
from probed.config import files, site
from probed.config.declaration.probe import check_together
from probed.config.exporter_user import exporter_user
from probed.config.files import DeclaredProbe
from probed.errors import DeclarationError, LoadError, Problem
from probed.ipc.attach_points import AttachPoint
from probed.ipc.loader_process import load_all
from probed.ipc.manifest import COUNT, MOST_ROW_BYTES, Field, LoadedProbe, LoaderChoice, Map, Record
from probed.loader.btf import prototypes
from probed.loader.btf.reader import Btf
from probed.terminal import complain, show
from probed.webconfig import reader

HAS_PLACE = re.compile(r".*\.yaml:\d+: ")
"""Matches errors whose texts begin with file and line."""


WEB_CONFIGURATION_KEYS = "^(tls_server_config|http_server_config|basic_auth_users|rate_limit):"
"""Keys that only a web configuration has."""


def run(paths: Sequence[str], btf: str, host: bool, loader: LoaderChoice | None = None) -> int:
    """Check every path and print the results; return 0 for no problem, else 1. Raises HostError."""
    wrong = 0
    for path in paths:
        declared, problems = _read(Path(path), btf, loader)
        problems += check_together(each.probe for each in declared)
        wrong += _report(map(str, problems))
        wrong += _report(_compile(declared, host))
    return 1 if wrong else 0


def _report(texts: Iterable[str]) -> int:
    """Print each problem at once; return their number."""
    wrong = 0
    for text in texts:
        complain(text)
        wrong += 1
    return wrong


def _read(path: Path, btf: str, loader: LoaderChoice | None) -> tuple[list[DeclaredProbe], list[Problem]]:
    """Read a probe folder, a folder of probe folders, a declaration, a site or a web configuration."""
    if path.is_dir():
        folders = [path] if (path / f"{path.resolve().name}.yaml").exists() else sorted(_probe_folders(path))
        return _probes(folders or [path], btf, loader)
    try:
        text = files.read(str(path), "name a probe's folder, a declaration or a site configuration")
        if _is_declaration(path, text.text):
            return _probes([path.parent], btf, loader)
        if re.search(WEB_CONFIGURATION_KEYS, text.text, re.MULTILINE):
            return [], list(_web_problems(str(path), text.text))
        configuration = site.parse(text.text, text.path)
        exporter_user(configuration)
        web_config = configuration.web_options.config_file
        web = _web_problems(web_config) if web_config else ()
        return list(files.declared_probes(configuration, text, btf, loader).values()), list(web)
    except DeclarationError as error:
        return [], list(error.problems)


def _web_problems(path: str, content: str | None = None) -> tuple[Problem, ...]:
    """Read a web configuration with its certificates, and print a summary."""
    try:
        summary = reader.read(path, content).summary
    except DeclarationError as error:
        return error.problems
    show(f"{path}: {'TLS' if summary.tls else 'no TLS'}, {summary.users} users\n")
    return ()


def _probe_folders(path: Path) -> Iterator[Path]:
    return (folder for folder in path.iterdir() if (folder / f"{folder.name}.yaml").exists())


def _probes(
    folders: Iterable[Path], btf: str, loader: LoaderChoice | None
) -> tuple[list[DeclaredProbe], list[Problem]]:
    declared: list[DeclaredProbe] = []
    problems: list[Problem] = []
    for folder in folders:
        try:
            declared.append(files.standalone_probe(folder, btf, loader or "auto"))
        except DeclarationError as error:
            problems += error.problems
    return declared, problems


def _is_declaration(path: Path, text: str) -> bool:
    if path.suffix != ".yaml" or re.search(r"^(probe_directories|probes):", text, re.MULTILINE):
        return False  # /etc/probed/probed.yaml has the name of its folder, as a declaration has
    return path.resolve().parent.name == path.stem or bool(
        re.search(r"^(programs|metrics|columns):", text, re.MULTILINE)
    )


def _compile(declared: Sequence[DeclaredProbe], host: bool) -> Iterator[str]:
    """Compile probes of the right structure: print the layouts, yield the errors."""
    if any(map(_may_have_object, declared)) and find_spec("bcc") is None and not build.missing_tools():
        yield from _compile_with_clang(declared, host)
    elif declared:
        yield from _load(declared, host)


def _may_have_object(declared: DeclaredProbe) -> bool:
    """Say whether a probe has no object, and may have one."""
    return declared.request.object is None and declared.request.loader == "auto"


def _compile_with_clang(declared: Sequence[DeclaredProbe], host: bool) -> Iterator[str]:
    """Build objects for this check alone, as BCC is missing; then go on as `_load`."""
    built: list[DeclaredProbe] = []
    with build.workshop(declared[0].request.btf) as directory:
        for each in declared:
            try:
                request = build.with_object(each, directory) if _may_have_object(each) else each.request
                built.append(replace(each, request=request))
            except build.BuildError as error:
                yield f"probe '{each.request.name}': the C does not compile:\n{error}"
        if built:
            yield from _load(built, host)


def _load(declared: Sequence[DeclaredProbe], host: bool) -> Iterator[str]:
    """Compile or open probes in the loader: print the layouts, yield the errors."""
    by_name = {each.request.name: each for each in declared}
    results = load_all([each.request for each in by_name.values()], "verify" if host else "compile")
    for name, result in results.items():
        if isinstance(result, LoadError):
            yield result.text if HAS_PLACE.match(result.text) else str(result)
        else:
            show("\n".join(_shown(by_name[name], result.loaded, host)) + "\n")


def _shown(declared: DeclaredProbe, loaded: LoadedProbe, host: bool) -> Iterator[str]:
    probe = declared.probe
    yield f"{probe.name}: {probe.description}"
    yield f"  loader {loaded.loader}{_origin(declared)}"
    for name, program in probe.programs.items():
        point = program.attach_point
        needs = "; the unit needs the drop-in perf-events.conf" if point.kind == "perf_event" else ""
        runs = ", at each scrape" if point.kind == "iterator" else ""
        yield f"  program {name} at {point.title}{runs}{' (attaches here)' if host else ''}{needs}"
        yield from _arguments(declared.request.btf, point)
    if loaded.event is not None:
        yield f"  event of {loaded.event.size} bytes{'' if loaded.columns else _room(loaded, loaded.event)}"
        yield from map(_member, loaded.event.fields)
    if loaded.row is not None:
        yield f"  row of {loaded.row.size} bytes; a scrape reads at most {MOST_ROW_BYTES // loaded.row.size:,}"
        yield from map(_member, loaded.row.fields)
    for layout in loaded.maps:
        yield from _map(layout)
    if loaded.columns:
        yield f"  trace of {', '.join(column.name for column in loaded.columns)}"
    for metric in loaded.metrics:
        labels = ", ".join(label.name for label in metric.labels)
        buckets = f", {len(metric.bounds) + 1} buckets" if metric.bounds else ""
        native = f", native of schema {metric.schema}" if metric.schema is not None else ""
        yield f"  {metric.type} {metric.name}{f'{{{labels}}}' if labels else ''}{buckets}{native}"


def _arguments(btf: str, point: AttachPoint) -> Iterator[str]:
    """Yield what ``ctx->args`` has, where the kernel's types tell."""
    if text := prototypes.arguments(_types(btf), point):
        yield f"    args: {text}"


@lru_cache(maxsize=1)
def _types(btf: str) -> Btf:
    """Return the kernel's types, read once for all programs."""
    return Btf.read(btf)


def _origin(declared: DeclaredProbe) -> str:
    request = declared.request
    if request.object is None:
        return f": {request.unfit}" if request.unfit else ""
    if Path(request.object.path).parent == Path(request.source.path).parent:
        return f", object {request.object.path}"
    return ", compiled with clang for this check, because BCC is not installed"


def _room(loaded: LoadedProbe, event: Record) -> str:
    stride = 8 + (event.size + 7) // 8 * 8
    return f"; the ring of {loaded.ring_bytes:,} bytes has room for {loaded.ring_bytes // stride:,}"


def _map(layout: Map) -> Iterator[str]:
    yield f"  map {layout.name}, {layout.kind}, {layout.entries:,} entries, key of {layout.key.size} bytes"
    yield from map(_member, layout.key.fields)
    if layout.value != COUNT:
        yield f"    its values have {layout.value.size} bytes"
        yield from map(_member, layout.value.fields)


def _member(member: Field) -> str:
    kind = f"{member.type}[{member.count}]" if member.count > 1 else member.type
    return f"    {member.offset:4}  {kind:<9} {member.name}"
