# SPDX-License-Identifier: Apache-2.0
"""`make deb` for another architecture finds the types in a kernel's image."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from support.unit.packaging_scripts import packaging_script


@pytest.fixture(scope="module")
def kernel_types() -> ModuleType:
    return packaging_script("kernel_types")


def btf(types: bytes, names: bytes) -> bytes:
    """Return BTF with sections side by side. Source: Linux Documentation/bpf/btf.rst."""
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names)) + types + names


SHORT, LONG = btf(b"t" * 12, b"\0int\0"), btf(b"t" * 24, b"\0int\0long\0")


def test_the_longest_types_of_an_image_are_the_kernel_s(kernel_types: ModuleType) -> None:
    image = b"code" + SHORT + b"data" + LONG + b"end" + LONG[:24]
    assert kernel_types.types_in(image) == LONG


@pytest.mark.parametrize(
    "image",
    [b"", b"code", LONG[:-1], LONG[:20], btf(b"t" * 12, b"int\0")],
    ids=["empty", "none", "cut", "cut header", "no names"],
)
def test_an_image_without_complete_types_is_an_error(kernel_types: ModuleType, image: bytes) -> None:
    with pytest.raises(kernel_types.NoTypes, match="has no BTF; expected an image that is not compressed"):
        kernel_types.types_in(image)


def package(folder: Path, files: dict[str, bytes]) -> Path:
    """Make a Debian package that dpkg-deb reads."""
    tree = folder / "tree"
    for name, content in {**files, "DEBIAN/control": CONTROL}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    path = folder / "linux.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, path], check=True, stdout=subprocess.DEVNULL)
    return path


CONTROL = b"Package: linux\nVersion: 1\nArchitecture: arm64\nMaintainer: a <a@example>\nDescription: a kernel\n"


def test_the_image_comes_out_of_the_package(kernel_types: ModuleType, tmp_path: Path) -> None:
    files = {"boot/config-6.1": b"CONFIG_A=y\n", "boot/vmlinuz-6.1": LONG, "lib/modules/large": b"m" * 1_000_000}
    assert kernel_types.image_in(package(tmp_path, files)) == LONG


def test_a_package_without_a_kernel_is_an_error(kernel_types: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(kernel_types.NoTypes, match=r"linux.deb: no kernel in /boot"):
        kernel_types.image_in(package(tmp_path, {"boot/config-6.1": b"CONFIG_A=y\n"}))
