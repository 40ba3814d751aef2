# SPDX-License-Identifier: Apache-2.0
"""Objects beside sources: found, stale, missing and unreadable ones, and the request that follows."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from probed.config import files
from probed.config.objects import ObjectSources, find_object
from probed.errors import DeclarationError
from probed.ipc.loader_messages import Files, LoadRequest
from probed.ipc.manifest import LoaderChoice
from support.running_daemon import PROBES

MACHINE = os.uname().machine


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the shipped probes without objects."""
    return Path(shutil.copytree(PROBES, tmp_path / "probes", ignore=shutil.ignore_patterns("*.bpf.o")))


def place_object(sources: ObjectSources, digest: str | None = None) -> Path:
    """Write a file with the digest that `probed build` puts into an object."""
    path = sources.path(MACHINE)
    path.write_bytes(b"\x7fELF probed sources " + (digest or sources.digest).encode() + b"\0")
    return path


def sources(directory: Path) -> ObjectSources:
    return files.standalone_probe(directory / "process", "/btf").sources


def request(directory: Path, loader: str = "auto") -> LoadRequest:
    return files.standalone_probe(directory / "process", "/btf", loader).request  # type: ignore[arg-type]


def test_an_object_is_named_after_probe_and_architecture(directory: Path) -> None:
    assert sources(directory).path("aarch64") == directory / "process" / "process.aarch64.bpf.o"


def test_an_object_of_these_sources_is_used_with_the_canarys(directory: Path) -> None:
    place_object(sources(directory))
    assert request(directory).object is None
    assert "canary" in request(directory).unfit
    place_object(files.canary_sources(directory))
    asked = request(directory)
    assert asked.object is not None
    assert asked.canary_object is not None
    assert asked.object.path == str(directory / "process" / f"process.{MACHINE}.bpf.o")
    assert asked.unfit == ""


def test_without_an_object_nothing_is_said(directory: Path) -> None:
    assert find_object(sources(directory), MACHINE) == (None, "")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("process/process.bpf.c", "PROGRAM(on_fork)", "PROGRAM(on_fork) "),
        ("include/probed.bpf.h", "STAT_SENT", "STAT_SENT "),
        ("include/core.bpf.h", "PROBED_SLOTS 32", "PROBED_SLOTS 31"),
        ("process/process.yaml", "when: {kind: KIND_FORK}", "when: {kind: KIND_THREAD_2}"),
    ],
)
def test_other_sources_make_an_object_stale(directory: Path, file: str, old: str, new: str) -> None:
    place_object(sources(directory))
    place_object(files.canary_sources(directory))
    path = directory / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    asked = request(directory)
    assert asked.object is None
    assert "is stale" in asked.unfit
    assert "probed build" in asked.unfit


def test_a_comment_in_the_declaration_leaves_the_object(directory: Path) -> None:
    place_object(sources(directory))
    before = sources(directory).digest
    path = directory / "process" / "process.yaml"
    path.write_text("# a comment\n" + path.read_text())
    assert sources(directory).digest == before


def test_a_file_without_a_digest_is_stale(directory: Path) -> None:
    sources(directory).path(MACHINE).write_bytes(b"no object")
    assert "is stale" in find_object(sources(directory), MACHINE)[1]


def test_the_loader_bcc_ignores_objects(directory: Path) -> None:
    place_object(sources(directory))
    place_object(files.canary_sources(directory))
    assert request(directory, "bcc").object is None


def test_an_object_counts_as_its_source_does_and_each_content_has_its_own_digest(directory: Path) -> None:
    before = request(directory)
    path = place_object(sources(directory))
    place_object(files.canary_sources(directory))
    first = request(directory)
    path.write_bytes(path.read_bytes() + b"more")
    second = request(directory)
    assert {before.fingerprint, first.fingerprint, second.fingerprint} == {before.fingerprint}
    assert first.object is not None
    assert second.object is not None
    assert first.object.digest != second.object.digest


def test_without_libbpf_no_object_is_used(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_object(sources(directory))
    place_object(files.canary_sources(directory))
    monkeypatch.setattr("probed.config.objects.has_libbpf", lambda: False)
    asked = request(directory)
    assert asked.object is None
    assert "apt install libbpf1" in asked.unfit


def trace_request(directory: Path, loader: LoaderChoice | None = None, of_site: str = "auto") -> LoadRequest:
    """Return the request of a tail of `execs`, with the choice of command line and site."""
    configuration = directory.parent / "probed.yaml"
    configuration.write_text(f"probe_directories: [probes]\nloader: {of_site}\nprobes: {{process: }}\n")
    return files.trace_probe("execs", Files(str(configuration), "/btf", loader)).request


@pytest.fixture
def traced(directory: Path) -> Path:
    """The shipped probes with an object of the trace probe `execs`."""
    place_object(files.standalone_probe(directory / "execs", "/btf").sources)
    place_object(files.canary_sources(directory))
    return directory


@pytest.mark.parametrize(
    ("loader", "of_site", "expected"),
    [(None, "auto", True), (None, "core", True), (None, "bcc", False), ("bcc", "core", False), ("core", "bcc", True)],
)
def test_a_tail_takes_an_object_as_command_line_and_site_say(
    traced: Path, loader: LoaderChoice | None, of_site: str, expected: bool
) -> None:
    asked = trace_request(traced, loader, of_site)
    assert (asked.object is not None) == (asked.canary_object is not None) == expected
    assert asked.loader == (loader or of_site)


def test_a_tail_says_why_it_takes_no_stale_object(traced: Path) -> None:
    source = traced / "execs/execs.bpf.c"
    source.write_text(f"{source.read_text()}\n")
    asked = trace_request(traced)
    assert asked.object is None
    assert "is stale" in asked.unfit


def test_an_object_of_a_trace_probe_that_any_user_could_replace_is_a_problem(traced: Path) -> None:
    (traced / f"execs/execs.{MACHINE}.bpf.o").chmod(0o666)
    with pytest.raises(DeclarationError, match=r"execs\.\w+\.bpf\.o: .*every user may write to"):
        trace_request(traced)


def test_an_object_with_the_trace_part_of_the_header_differs(directory: Path) -> None:
    of_trace = files.standalone_probe(directory / "execs", "/btf").sources
    assert of_trace.trace
    assert not sources(directory).trace
    assert replace(of_trace, trace=False).digest != of_trace.digest


def test_an_object_with_other_rules_of_buckets_differs(directory: Path) -> None:
    of_rules = [replace(sources(directory), macros=(f"LOG2_FIRST_wait_ns={first}UL",)) for first in (1000, 2000)]
    assert len({each.digest for each in (sources(directory), *of_rules)}) == 3


def test_an_object_with_programs_at_iterators_differs(directory: Path) -> None:
    assert not sources(directory).rows
    assert replace(sources(directory), rows=True).digest != sources(directory).digest


def test_an_object_that_any_user_could_replace_is_a_problem(directory: Path) -> None:
    path = place_object(sources(directory))
    place_object(files.canary_sources(directory))
    path.chmod(0o666)
    configuration = directory.parent / "probed.yaml"
    configuration.write_text("probe_directories: [probes]\nprobes: {process: }\n")
    with pytest.raises(DeclarationError, match="every user may write to"):
        files.declared_probes(*files.read_site(str(configuration)), btf="/btf")
