# SPDX-License-Identifier: Apache-2.0
"""A subset of kustomize for the folders of deploy/kubernetes.

Reads `resources`, `images` and JSON patches (`add` and `replace`), and refuses everything else. Where kubectl is
installed, a test compares both outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from support.running_daemon import ROOT

KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
BASE: Final = KUBERNETES / "base"
VARIANTS: Final = ("base", "localhost-seccomp", "selinux")

Manifest = dict[str, Any]


def build(folder: Path) -> list[Manifest]:
    """Return the manifests of a kustomization, in order. Raises AssertionError for an unknown key."""
    wanted = yaml.safe_load((folder / "kustomization.yaml").read_text())
    known = {"apiVersion", "kind", "resources", "images", "patches"}
    assert wanted.keys() <= known, f"{folder}: this reader does not know {wanted.keys() - known}"
    manifests = [manifest for name in wanted["resources"] for manifest in _resource(folder / name)]
    for patch in wanted.get("patches", ()):
        _patch(manifests, patch)
    for manifest in manifests:
        _name_images(manifest, wanted.get("images", ()))
    return manifests


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the only manifest of a kind."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def _resource(path: Path) -> Iterator[Manifest]:
    if path.is_dir():
        yield from build(path)
    else:
        yield yaml.safe_load(path.read_text())


def _patch(manifests: list[Manifest], patch: Manifest) -> None:
    target = patch["target"]
    assert target.keys() == {"kind", "name"}
    (manifest,) = (
        each for each in manifests if (each["kind"], each["metadata"]["name"]) == (target["kind"], target["name"])
    )
    for operation in yaml.safe_load(patch["patch"]):
        assert operation["op"] in ("add", "replace")
        *way, last = operation["path"].strip("/").split("/")
        at = manifest
        for key in way:
            at = at[key]
        assert (last in at) is (operation["op"] == "replace"), f"{operation['path']} cannot {operation['op']}"
        at[last] = copy.deepcopy(operation["value"])


def _name_images(manifest: Manifest, images: list[dict[str, str]]) -> None:
    names = {image["name"]: _full_name(image) for image in images}
    for container in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        container["image"] = names.get(container["image"], container["image"])


def _full_name(image: dict[str, str]) -> str:
    """Return an image's name with its digest, or else with its tag."""
    return f"{image['newName']}@{image['digest']}" if "digest" in image else f"{image['newName']}:{image['newTag']}"
