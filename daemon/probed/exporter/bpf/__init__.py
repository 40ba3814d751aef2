# SPDX-License-Identifier: Apache-2.0
"""Kernel objects read from the exporter: the ring buffer, maps and programs."""
