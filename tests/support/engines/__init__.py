# SPDX-License-Identifier: Apache-2.0
"""Debian's container engines in a booted system, and kubelet's folders beside containerd."""
