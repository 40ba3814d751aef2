# SPDX-License-Identifier: Apache-2.0
"""Programs and libraries of attach points."""
