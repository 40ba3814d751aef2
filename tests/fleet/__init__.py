# SPDX-License-Identifier: Apache-2.0
"""One process plays many hosts with probed to a real Prometheus: `make fleet`."""
