# SPDX-License-Identifier: Apache-2.0
"""Builds frozen dataclasses from YAML and JSON, and JSON schemas from dataclasses."""
