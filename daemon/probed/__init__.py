# SPDX-License-Identifier: Apache-2.0
"""probed: counts what samplers of /proc never see, with BPF programs declared in YAML."""

from probed.lean_dataclasses import import_dataclasses

__version__ = "0.1.0"

import_dataclasses()
