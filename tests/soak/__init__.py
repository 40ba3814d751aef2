# SPDX-License-Identifier: Apache-2.0
"""The soak: `make soak`. What it does, and what came of it, is in README.md."""
