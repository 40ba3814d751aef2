# SPDX-License-Identifier: Apache-2.0
"""The HTTP/1.1 server: connections, TLS, access policy. The package knows no metric."""
