# SPDX-License-Identifier: Apache-2.0
"""Measures the cost of probed: ``make bench``. See README.md beside this file."""
