# SPDX-License-Identifier: Apache-2.0
"""Grafana dashboards of probed as code, made with Grafana's own foundation SDK.

`make dashboards` writes them to ../dashboards, where operators and Grafana's provisioning take them from; nothing of
this runs anywhere else. Each dashboard is a module: `process_storms`, `open_failures`, `system_calls`, `itself`.
"""
