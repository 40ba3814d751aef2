# SPDX-License-Identifier: Apache-2.0
"""What probed costs, measured: ``make bench``. See README.md beside this file."""
