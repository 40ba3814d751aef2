# SPDX-License-Identifier: Apache-2.0
"""Files that the supervisor reads again when they change."""
