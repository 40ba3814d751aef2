# SPDX-License-Identifier: Apache-2.0
"""What `probed build` does before clang runs."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from probed.commands import build
from probed.errors import HostError
from support.running_daemon import PROBES


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(build, "HEADERS", "/nonexistent/bpf_helpers.h")
    with pytest.raises(HostError, match="apt install clang bpftool libbpf-dev"):
        build.run(["probes"], "/btf")


def test_every_shipped_probe_gets_an_object_trace_probes_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    probes = shutil.copytree(PROBES, tmp_path / "probes", ignore=shutil.ignore_patterns("*.bpf.o"))
    monkeypatch.setattr(build, "missing_tools", dict)
    monkeypatch.setattr(build, "workshop", lambda _: nullcontext(tmp_path))
    monkeypatch.setattr(build, "compile_object", lambda _, __, path, ___: path.touch())
    assert build.run([str(probes)], "/btf", "x86_64") == 0
    built = {path.name.removesuffix(".x86_64.bpf.o") for path in probes.glob("*/*.bpf.o")}
    assert built == {path.stem for path in PROBES.glob("*/*.yaml")} | {"canary"}
    assert {"execs", "exits", "opens"} < built


def test_a_tool_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "bpftool"
    tool.write_text("#!/bin/sh\necho no such file >&2\nexit 2\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(build.BuildError, match="no such file"), build.workshop("/btf"):
        pass


def test_mistakes_in_the_c_are_quoted_alone_and_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "bpftool"
    said = "echo 'a.bpf.c:7:3: error: no such thing [-Werror]' >&2\n"
    tool.write_text(f"#!/bin/sh\n{said}{said}echo '   x' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(build.BuildError) as raised, build.workshop("/btf"):
        pass
    assert str(raised.value) == "a.bpf.c:7: no such thing [-Werror]"
