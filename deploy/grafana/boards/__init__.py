# SPDX-License-Identifier: Apache-2.0
"""Grafana dashboards of probed as code, with Grafana's foundation SDK.

`make dashboards` writes JSON files to ../dashboards for operators and Grafana's provisioning. Each dashboard is a
module: `process_storms`, `open_failures`, `system_calls`, `further_probes`, `itself`.
"""
