# SPDX-License-Identifier: Apache-2.0
"""Loading of objects, through libbpf."""
