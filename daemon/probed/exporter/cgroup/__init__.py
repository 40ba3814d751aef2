# SPDX-License-Identifier: Apache-2.0
"""Control groups: the path of an id, and the unit, container or pod behind a path."""
