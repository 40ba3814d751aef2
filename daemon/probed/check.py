# SPDX-License-Identifier: Apache-2.0
"""`probed check`: everything that can be known of declarations and configurations without running them.

The same three checks as at start and reload: the shape, against the C, and with ``--host`` against the host.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from probed import declaration, sources
from probed.errors import DeclarationError, LoadError, Problem
from probed.manifest import Field, LoadedProbe, Map
from probed.sources import Declared
from probed.supervisor.loading import load_all

NAMES_ITS_PLACE = ("declaration", "attach_point")
"""Reasons whose texts begin with file and line."""


@dataclass(slots=True)
class Findings:
    """What was read, and everything that was wrong so far, as text."""

    declared: dict[str, Declared] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, declared: Iterable[Declared]) -> None:
        """Take probes that have the right shape; one folder is checked once."""
        for each in declared:
            self.declared.setdefault(each.request.declaration.path, each)


def run(paths: Sequence[str], btf: str, host: bool) -> int:
    """Check every path and print what was found; return 0 when all is well, else 1. Raises HostError."""
    findings = Findings()
    for path in paths:
        try:
            findings.add(_read(Path(path), btf))
        except DeclarationError as error:
            findings.wrong.append(str(error))
    problems = declaration.check_together(each.probe for each in findings.declared.values())
    findings.wrong += [str(problem) for problem in problems]
    if not problems:
        _compile(findings, host)
    if findings.wrong:
        print("\n".join(findings.wrong), file=sys.stderr)
    return 1 if findings.wrong else 0


def _read(path: Path, btf: str) -> list[Declared]:
    """Read a probe folder, a folder of probe folders, a probe's declaration or a site configuration."""
    if path.is_dir():
        folders = [path] if (path / f"{path.resolve().name}.yaml").exists() else sorted(_probe_folders(path))
        return _all_of(folders or [path], btf)
    text = sources.read(str(path), "name a probe's folder, a declaration or a site configuration")
    if _is_declaration(path, text.text):
        return [sources.lone_probe(path.parent, btf)]
    configuration, text = sources.read_site(str(path))
    return list(sources.declared_probes(configuration, text, btf).values())


def _probe_folders(path: Path) -> Iterator[Path]:
    return (folder for folder in path.iterdir() if (folder / f"{folder.name}.yaml").exists())


def _all_of(folders: Iterable[Path], btf: str) -> list[Declared]:
    declared: list[Declared] = []
    problems: list[Problem] = []
    for folder in folders:
        try:
            declared.append(sources.lone_probe(folder, btf))
        except DeclarationError as error:
            problems += error.problems
    if problems:
        raise DeclarationError(problems)
    return declared


def _is_declaration(path: Path, text: str) -> bool:
    if path.suffix != ".yaml":
        return False
    return path.resolve().parent.name == path.stem or bool(re.search(r"^(programs|metrics):", text, re.MULTILINE))


def _compile(findings: Findings, host: bool) -> None:
    by_name = {each.request.name: each for each in findings.declared.values()}
    results = load_all([each.request for each in by_name.values()], "verify" if host else "compile")
    for name, result in results.items():
        if isinstance(result, LoadError):
            findings.wrong.append(result.text if result.reason in NAMES_ITS_PLACE else str(result))
        else:
            print("\n".join(_shown(by_name[name], result.loaded, host)), end="\n\n")


def _shown(declared: Declared, loaded: LoadedProbe, host: bool) -> Iterator[str]:
    probe = declared.probe
    yield f"{probe.name}: {probe.description}"
    for name, program in probe.programs.items():
        yield f"  program {name} at raw tracepoint {program.raw_tracepoint}{' (attaches here)' if host else ''}"
    if loaded.event is not None:
        stride = 8 + (loaded.event.size + 7) // 8 * 8
        room = loaded.ring_bytes // stride
        yield f"  event of {loaded.event.size} bytes; the ring of {loaded.ring_bytes:,} bytes has room for {room:,}"
        yield from map(_member, loaded.event.fields)
    for layout in loaded.maps:
        yield from _map(layout)
    for metric in loaded.metrics:
        labels = ", ".join(label.name for label in metric.labels)
        buckets = f", {len(metric.bounds) + 1} buckets" if metric.bounds else ""
        yield f"  {metric.type} {metric.name}{f'{{{labels}}}' if labels else ''}{buckets}"


def _map(layout: Map) -> Iterator[str]:
    yield f"  map {layout.name}, {layout.kind}, {layout.entries:,} entries, key of {layout.key.size} bytes"
    yield from map(_member, layout.key.fields)


def _member(member: Field) -> str:
    kind = f"{member.type}[{member.count}]" if member.count > 1 else member.type
    return f"    {member.offset:4}  {kind:<9} {member.name}"
