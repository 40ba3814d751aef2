# SPDX-License-Identifier: Apache-2.0
"""Events with a weight: slots of each CPU, and maps for events without room in the ring."""
