# SPDX-License-Identifier: Apache-2.0
"""Owners of control groups: the decoders `cgroup_unit` and `pod_uid`, and those of names. Pure.

Callers hand in the look-ups of ids.
"""

from __future__ import annotations

from collections.abc import Callable

from probed.exporter.cgroup.attribution import Attribution
from probed.exporter.cgroup.pod_names import PodNames

AttributionOf = Callable[[int], Attribution]
PodNamesOf = Callable[[int], PodNames]


def unit(attribution: AttributionOf) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to its systemd unit or container."""
    return lambda value: attribution(int(value)).unit


def pod_uid(attribution: AttributionOf) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to the uid of its Kubernetes pod, empty outside of pods."""
    return lambda value: attribution(int(value)).pod_uid


def namespace(names: PodNamesOf) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to the Kubernetes namespace of its pod, empty where unknown."""
    return lambda value: names(int(value)).namespace


def pod(names: PodNamesOf) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to the name of its Kubernetes pod, empty where unknown."""
    return lambda value: names(int(value)).pod


def container(names: PodNamesOf) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to the name of the container in its pod, empty where unknown."""
    return lambda value: names(int(value)).container


def container_name(names: Callable[[int], str]) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to the name that Docker or Podman gave the container, empty where unknown."""
    return lambda value: names(int(value))
