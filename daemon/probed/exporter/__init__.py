# SPDX-License-Identifier: Apache-2.0
"""The process that drains, counts and serves: no capability, no BCC, no YAML."""
