# SPDX-License-Identifier: Apache-2.0
"""The web configuration: TLS, users, headers."""
