# SPDX-License-Identifier: Apache-2.0
"""Canned pages for `probed top`, a terminal for the command, and pictures of the screen."""
