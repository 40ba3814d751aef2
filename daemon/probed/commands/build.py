# SPDX-License-Identifier: Apache-2.0
"""`probed build`: compiles probes into objects, which need no compiler where they run.

An object belongs to an architecture, and runs on every kernel with BTF: libbpf relocates it. clang compiles, bpftool
writes the kernel's types and strips the object. `check` calls the module too, for a machine with clang and without BCC.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from probed.config import files
from probed.config.files import DeclaredProbe
from probed.config.objects import ObjectSources, content_digest
from probed.errors import HostError, ProbedError
from probed.ipc.loader_messages import LoadRequest, ObjectFile, Text
from probed.ipc.loader_output import c_mistakes
from probed.loader.headers.c_names import find_names
from probed.loader.headers.syscall_numbers import numbers_for
from probed.terminal import complain, show

TOOLS = {"clang": "clang", "bpftool": "bpftool"}
"""Programs and the packages of Debian that have them."""
HEADERS = "/usr/include/bpf/bpf_helpers.h"
HEADERS_PACKAGE = "libbpf-dev"

NARROW = "-mcpu=v3"
"""Instructions on 32 bits (Linux 5.1): a tenth less code than with clang 14's default.

Trace probes do without: the verifier refuses their lengths in 32 bits as unbounded.
"""

REMEDIES: Final = {
    "redefinition of ": "an object has all types and constants of the kernel: choose a name that the kernel lacks",
    "builtin_preserve_access_index": "READ and LOAD do not nest: put the value of the inner one into a variable",
}
"""Texts of clang's errors in C that BCC takes, and remedies."""

ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
"""Names of `uname -m`, and of libbpf's headers."""


def run(folders: Sequence[str], btf: str, machine: str = os.uname().machine) -> int:
    """Build the object of each probe folder; return 0, or 1 if one failed. Raises HostError and DeclarationError.

    `btf` has types of a kernel of the architecture `machine`.
    """
    if missing := missing_tools():
        raise HostError(
            f"objects cannot be built here: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; "
            f"apt install {' '.join(missing.values())}",
            "compile",
        )
    failed = 0
    with workshop(btf) as directory:
        for sources in _wanted([Path(each) for each in folders], btf):
            path = sources.path(machine)
            try:
                compile_object(sources, directory, path, machine)
            except BuildError as error:
                complain(str(error))
                failed += 1
            else:
                show(f"{path}: {path.stat().st_size:,} bytes")
    return 1 if failed else 0


class BuildError(ProbedError):
    """A tool failed; the text is the tool's."""


def missing_tools() -> dict[str, str]:
    """Return what this machine lacks for building objects, with Debian's package of each."""
    missing = {tool: package for tool, package in TOOLS.items() if shutil.which(tool, path=_path()) is None}
    if not Path(HEADERS).exists():
        missing[HEADERS] = HEADERS_PACKAGE
    return missing


@contextmanager
def workshop(btf: str) -> Iterator[Path]:
    """Make a temporary folder with the kernel's types for `compile_object`. Raises BuildError."""
    with tempfile.TemporaryDirectory(prefix="probed-build-") as name:
        types = _run(["bpftool", "btf", "dump", "file", btf, "format", "c"])
        (Path(name) / "vmlinux.h").write_bytes(types)
        yield Path(name)


def _path() -> str:
    """Return PATH with the administrator's folders, where Debian has bpftool."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _wanted(folders: Sequence[Path], btf: str) -> Iterator[ObjectSources]:
    """Yield the sources of each folder: a probe's, or those of all its folders and of the canary beside them."""
    for folder in folders:
        if (folder / files.CANARY).is_file():
            yield files.canary_sources(folder)
        inner = sorted(path.parent for path in folder.glob("*/*.yaml") if path.stem == path.parent.name)
        is_probe = (folder / f"{folder.resolve().name}.yaml").exists()
        for each in [folder] if is_probe or not inner else inner:
            yield files.standalone_probe(each, btf).sources


def _run(command: Sequence[str]) -> bytes:
    """Run a tool; return its output. Raises BuildError."""
    result = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"PATH": _path()})
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip()
        mistakes = map(with_remedy, c_mistakes(said)[:20])
        raise BuildError("\n".join(mistakes) or said or f"{command[0]} failed without a word")
    return result.stdout


def with_remedy(mistake: str) -> str:
    """Return a mistake that only an object's C can have with cause and remedy, every other as it is."""
    remedy = next((remedy for said, remedy in REMEDIES.items() if said in mistake), "")
    return f"{mistake}; {remedy}" if remedy else mistake


def compile_object(sources: ObjectSources, directory: Path, path: Path, machine: str = os.uname().machine) -> None:
    """Compile one object in a workshop, and put the complete file in place. Raises BuildError."""
    text = "".join(each.text for each in (sources.header, sources.core_header, sources.source))
    (directory / "syscall_numbers.h").write_text(numbers_for(find_names(text).names, machine))
    main, compiled, stripped = directory / "main.c", directory / "compiled.o", directory / path.name
    main.write_text(_main_text(sources))
    folder = Path(sources.source.path).resolve().parent
    _run([
        "clang", "-g", "-O2", "-target", "bpf", "-Wall", "-Wno-unused-function",
        "-Werror=implicit-function-declaration", "-Werror=int-conversion",
        f"-D__TARGET_ARCH_{ARCHITECTURES[machine]}", "-DPROBED_CORE",
        *(["-DPROBED_RING"] if sources.ring else []), *([f"-DSLOTS={sources.slots}"] if sources.slots else []),
        "-DTRACE" if sources.trace else NARROW, *(["-DPROBED_USDT"] if sources.usdt else []),
        *(["-DPROBED_ROWS"] if sources.rows else []),
        *(f"-D{macro}" for macro in sources.macros),
        f'-DPROBED_SOURCES="{sources.digest}"',
        f"-I{directory}", *_include(sources.header), *_include(sources.core_header), f"-I{_multiarch()}",
        f"-fdebug-prefix-map={folder.parent}/=", f"-fdebug-prefix-map={directory}/=",
        "-c", str(main), "-o", str(compiled),
    ])  # fmt: skip
    _run(["bpftool", "gen", "object", str(stripped), str(compiled)])
    placed = path.with_name(f".{path.name}.new")
    shutil.copyfile(stripped, placed)
    placed.replace(path)


def with_object(declared: DeclaredProbe, directory: Path) -> LoadRequest:
    """Return the request for a probe with objects in a workshop, of probe and canary. Raises BuildError."""
    request, core_header = declared.request, declared.sources.core_header
    own = ObjectSources.of_probe(declared.probe, request.header, core_header, request.source)
    canary = ObjectSources(request.header, core_header, request.canary)
    objects = [_built(sources, directory, name) for name, sources in ((request.name, own), ("canary", canary))]
    return replace(request, object=objects[0], canary_object=objects[1])


def _built(sources: ObjectSources, directory: Path, name: str) -> ObjectFile:
    path = directory / f"{name}.bpf.o"
    compile_object(sources, directory, path)
    return ObjectFile(str(path), content_digest(path.read_bytes()))


def _include(header: Text) -> list[str]:
    return [f"-I{Path(header.path).resolve().parent}"]


def _multiarch() -> str:
    """Return Debian's folder of the architecture's headers, which clang does not search for BPF."""
    return f"/usr/include/{os.uname().machine}-linux-gnu"


def _main_text(sources: ObjectSources) -> str:
    """Return C that includes the source, and puts event, row and constants into the object's BTF.

    The compiler describes only types of variables, so a variable has event and row, and an enum of the constants.
    """
    values = "".join(f"probed_value_{name} = ({name}), " for name in sources.constants)
    structs = ("struct event event; " if sources.ring else "") + ("struct row row; " if sources.rows else "")
    return (
        f'#include "{Path(sources.source.path).resolve()}"\n'
        f"enum probed_values {{ {values}probed_no_value }};\n"
        f"const volatile struct {{ {structs}enum probed_values values; }} probed_types;\n"
    )
