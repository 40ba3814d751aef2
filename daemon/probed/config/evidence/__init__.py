# SPDX-License-Identifier: Apache-2.0
"""The key `evidence` of the site configuration."""
