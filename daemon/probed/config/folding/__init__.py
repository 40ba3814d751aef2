# SPDX-License-Identifier: Apache-2.0
"""Fold rules: which label texts become one."""
