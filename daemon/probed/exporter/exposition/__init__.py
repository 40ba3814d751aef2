# SPDX-License-Identifier: Apache-2.0
"""Metric families, and the text formats of Prometheus."""
