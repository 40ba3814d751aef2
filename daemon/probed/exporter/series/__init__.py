# SPDX-License-Identifier: Apache-2.0
"""Series of one metric: label sets, rows, values, budgets."""
