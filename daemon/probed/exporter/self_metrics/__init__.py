# SPDX-License-Identifier: Apache-2.0
"""Metrics about the daemon itself."""
