# SPDX-License-Identifier: Apache-2.0
"""The process that is always there: owns every BPF fd and the listening sockets, starts and restarts the others."""
