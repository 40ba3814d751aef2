# SPDX-License-Identifier: Apache-2.0
"""Imports programs of packaging/, which is no package."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from support.running_daemon import ROOT


def packaging_script(name: str) -> ModuleType:
    """Import packaging/NAME.py."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"packaging/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
