# SPDX-License-Identifier: Apache-2.0
"""`make deb ARCHITECTURE=arm64`: writes the types of Debian's kernel of another architecture into a file.

The types are BTF inside the kernel's image, which is compressed for x86-64 and not for arm64. apt fetches the image
from this machine's mirrors into a temporary folder. `probed build` compiles objects with these types, and libbpf
relocates the objects for the running kernel. Source of the format: Linux Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

HEADER = struct.Struct("<HBBIIIII")
"""struct btf_header: magic, version, flags and length, then offset and length of types and of strings behind."""
BEGIN = struct.pack("<HBBI", 0xEB9F, 1, 0, HEADER.size)


class NoTypes(Exception):
    """There is no kernel, or no types in the kernel; the text has the reason."""


def types_in(image: bytes) -> bytes:
    """Return the BTF of a kernel's image: the longest that is complete. Raises NoTypes."""
    found = max(_complete(image), key=len, default=b"")
    if not found:
        raise NoTypes("the kernel's image has no BTF; expected an image that is not compressed")
    return found


def _complete(image: bytes) -> Iterator[bytes]:
    """Yield everything in the image that is BTF by its header, and begins its strings with an empty one."""
    for place in re.finditer(re.escape(BEGIN), image):
        if len(image) - place.start() < HEADER.size:
            return
        *_, types, types_length, strings, strings_length = HEADER.unpack_from(image, place.start())
        names = place.end() - len(BEGIN) + HEADER.size + strings
        end = names + strings_length
        if types == 0 and types_length == strings and end <= len(image) and image[names : names + 1] == b"\0":
            yield image[place.start() : end]


def fetch(architecture: str, folder: Path) -> Path:
    """Download the package of Debian's usual kernel of an architecture into a folder. Raises NoTypes."""
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = [
        f"-oAPT::Architecture={architecture}", f"-oAPT::Architectures={architecture}", "-oAPT::Sandbox::User=",
        f"-oDir::State::lists={folder}/lists", f"-oDir::Cache={folder}/cache", "-oDir::State::status=/dev/null",
    ]  # fmt: skip
    _run(["apt-get", "-qq", *options, "update"], folder)
    usual = _run(["apt-cache", *options, "depends", f"linux-image-{architecture}"], folder)
    named = re.search(r"Depends: (linux-image-\S+)", usual)
    if named is None:
        raise NoTypes(f"the package linux-image-{architecture} names no kernel:\n{usual}")
    _run(["apt-get", "-qq", *options, "download", named[1]], folder)
    return next(folder.glob("*.deb"))


def _run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise NoTypes(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout


def image_in(package: Path) -> bytes:
    """Return the kernel's image of a package. Raises NoTypes."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpack,
        tarfile.open(fileobj=unpack.stdout, mode="r|") as files,
    ):
        for file in files:
            content = files.extractfile(file) if re.fullmatch(r"\./boot/vmlinuz-.*", file.name) else None
            if content is not None:
                unpack.kill()  # the modules behind the image are most of the package
                return content.read()
    raise NoTypes(f"{package.name}: no kernel in /boot")


def main() -> int:
    """Write the file; return 0, or 1 after an error."""
    architecture, target = sys.argv[1], Path(sys.argv[2])
    try:
        with tempfile.TemporaryDirectory(prefix="probed-kernel-") as folder:
            types = types_in(image_in(fetch(architecture, Path(folder))))
    except NoTypes as error:
        print(f"no types of a kernel of {architecture}: {error}", file=sys.stderr)
        return 1
    target.write_bytes(types)
    return 0


if __name__ == "__main__":
    sys.exit(main())
