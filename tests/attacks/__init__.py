# SPDX-License-Identifier: Apache-2.0
"""Attacks on an HTTP server on a loopback, and the scrapes of a well-behaved client meanwhile.

`http` has attacks on HTTP, with or without TLS, `tls` attacks on TLS, `scraping` the client. `__main__` runs attacks by
hand against a running daemon.
"""
