# SPDX-License-Identifier: Apache-2.0
"""Refusals of the kernel, with cause and remedy."""
