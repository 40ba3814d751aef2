# SPDX-License-Identifier: Apache-2.0
"""Native histograms: exponential buckets, found by value and kept by row."""
