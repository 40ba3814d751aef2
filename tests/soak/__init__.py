# SPDX-License-Identifier: Apache-2.0
"""The soak: `make soak`. README.md describes the course and the results."""
