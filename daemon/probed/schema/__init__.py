# SPDX-License-Identifier: Apache-2.0
"""Data into frozen dataclasses, strictly: YAML, JSON, and JSON schemas for editors."""
