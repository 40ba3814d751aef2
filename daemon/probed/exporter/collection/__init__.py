# SPDX-License-Identifier: Apache-2.0
"""The collector and its running probes: each probe's ring, sources and tables."""
