# SPDX-License-Identifier: Apache-2.0
"""The kernel's type information (BTF), read and compared."""
