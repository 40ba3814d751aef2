# SPDX-License-Identifier: Apache-2.0
"""The process that compiles, loads and attaches, and is gone a second later: the only one that imports bcc."""
