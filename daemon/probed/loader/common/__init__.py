# SPDX-License-Identifier: Apache-2.0
"""Facts on the machine, hooks and interfaces, for objects and sources alike."""
