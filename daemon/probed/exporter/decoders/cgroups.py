# SPDX-License-Identifier: Apache-2.0
"""Whose cgroup an id is: the decoders `cgroup_unit` and `pod_uid`. Pure; who knows the ids is handed in."""

from __future__ import annotations

from collections.abc import Callable

from probed.exporter.cgroup.attribution import Attribution

Whose = Callable[[int], Attribution]


def unit(whose: Whose) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to its systemd unit or container."""
    return lambda value: whose(int(value)).unit


def pod_uid(whose: Whose) -> Callable[[int | bytes], str]:
    """Return the decoder from a cgroup id to the uid of its Kubernetes pod, empty outside of pods."""
    return lambda value: whose(int(value)).pod_uid
