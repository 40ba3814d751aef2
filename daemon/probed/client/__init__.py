# SPDX-License-Identifier: Apache-2.0
"""HTTP client of `doctor` and `list --live` for a running daemon."""
