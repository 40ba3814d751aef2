# SPDX-License-Identifier: Apache-2.0
"""HTTP client of `doctor`, `list --live` and `top` for a running daemon."""
