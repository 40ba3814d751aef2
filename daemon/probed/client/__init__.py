# SPDX-License-Identifier: Apache-2.0
"""Asks a running daemon over HTTP: the commands `doctor` and `list --live` use it."""
