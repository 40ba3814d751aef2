# SPDX-License-Identifier: Apache-2.0
"""Evidence: a bounded sample of single events of a unit, in the log, when a storm begins."""
