# SPDX-License-Identifier: Apache-2.0
"""The pages behind the HTTP server."""
