# SPDX-License-Identifier: Apache-2.0
"""Numpy arrays: dtypes of kernel records, an index of keys, and rows that survive a crash."""
