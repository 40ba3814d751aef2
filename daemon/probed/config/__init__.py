# SPDX-License-Identifier: Apache-2.0
"""The site configuration and the declarations of probes, as frozen dataclasses."""
