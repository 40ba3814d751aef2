# SPDX-License-Identifier: Apache-2.0
"""A probe's declaration in YAML: its elements as types, checked without the C source and the host."""
