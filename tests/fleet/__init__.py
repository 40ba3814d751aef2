# SPDX-License-Identifier: Apache-2.0
"""Many hosts that run probed, played by one process, and a real Prometheus that scrapes them: `make fleet`."""
