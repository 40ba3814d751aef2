# SPDX-License-Identifier: Apache-2.0
"""What strangers do to a web server, on a loopback only, and what a well-behaved client sees meanwhile.

`http` has what needs no TLS but goes through it too, `tls` what goes against TLS itself; `onlooker` is the client.
By hand, against a daemon that runs, from the folder of the tests: see `__main__`.
"""
