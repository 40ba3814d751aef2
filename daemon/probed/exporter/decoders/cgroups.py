# SPDX-License-Identifier: Apache-2.0
"""Owners of control groups: the decoders `cgroup_unit` and `pod_uid`. Pure; callers hand in the look-up of ids."""

from __future__ import annotations

from collections.abc import Callable

from probed.exporter.cgroup.attribution import Attribution

AttributionOf = Callable[[int], Attribution]


def unit(attribution: AttributionOf) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to its systemd unit or container."""
    return lambda value: attribution(int(value)).unit


def pod_uid(attribution: AttributionOf) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to the uid of its Kubernetes pod, empty outside of pods."""
    return lambda value: attribution(int(value)).pod_uid
