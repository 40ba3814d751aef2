# SPDX-License-Identifier: Apache-2.0
"""Namespace, pod and container in the names of kubelet's log folders and links. Pure.

Users of the cluster choose namespaces and names; the API server admits labels and subdomains of RFC 1123 only, without
underscores. Other names are left out.

Sources: Kubernetes pkg/kubelet/kuberuntime/helpers.go (BuildPodLogsDirectory), legacy.go (logSymlink).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from probed.frozen import frozen


@frozen
class PodNames:
    """Namespace and name of a pod, and the name of a container in it; each empty where unknown."""

    namespace: str = ""
    pod: str = ""
    container: str = ""


NAMELESS = PodNames()

Parse = Callable[[str], tuple[str, PodNames] | None]
"""From the name of an entry to its key and names; None for an entry that kubelet did not make."""

_LABEL = "([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)"
_SUBDOMAIN = "([a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?)"
_UID = "([0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12})"  # a static pod's is a hash without dashes
_POD_FOLDER = re.compile(f"{_LABEL}_{_SUBDOMAIN}_{_UID}")
_CONTAINER_LINK = re.compile(rf"{_SUBDOMAIN}_{_LABEL}_{_LABEL}-([0-9a-f]{{64}})\.log")


def of_pod_folder(entry: str) -> tuple[str, PodNames] | None:
    """Return uid and names of the pod of a folder ``NAMESPACE_POD_UID``."""
    found = _POD_FOLDER.fullmatch(entry)
    return (found[3], PodNames(found[1], found[2])) if found else None


def of_container_link(entry: str) -> tuple[str, PodNames] | None:
    """Return id and names of the container of a link ``POD_NAMESPACE_CONTAINER-ID.log``.

    kubelet cuts the name at 255 characters, and a cut id is no id: part of a container's name may look like one.
    """
    found = _CONTAINER_LINK.fullmatch(entry)
    return (found[4], PodNames(found[2], found[1], found[3])) if found else None
