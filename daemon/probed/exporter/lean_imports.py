# SPDX-License-Identifier: Apache-2.0
"""Leaves out what numpy and prometheus_client import for others: 9 MB of modules that nothing here uses.

`__main__` enters `left_out` around the exporter's imports. In it these modules are there but empty, and the packages
that import them are content; after it they are gone, so that whoever asks for one gets the real one. Newer versions of
numpy import most of them only when they are asked for. What a version does not bear, `__main__` takes whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Final

PARTS: Final = (
    "numpy.random", "numpy.fft", "numpy.polynomial", "numpy.ma", "numpy.ctypeslib",
    "numpy.lib.npyio", "numpy.lib.nanfunctions", "numpy.lib.arraypad", "numpy.core.einsumfunc",
    # Docstrings of what is written in C.
    "numpy.core._add_newdocs", "numpy.core._add_newdocs_scalars",
    "numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars",
)  # fmt: skip

PACKAGES: Final = ("prometheus_client",)
"""Whose own modules are needed, but not what the package itself imports: an HTTP server, ssl, urllib.request."""


@contextmanager
def left_out() -> Iterator[None]:
    """Let `PARTS` be empty, and `PACKAGES` nothing but the place of their modules, as long as this lasts."""
    empty = {name: _empty(name) for name in PARTS}
    specs = [spec for name in PACKAGES if (spec := find_spec(name)) is not None]
    empty |= {spec.name: module_from_spec(spec) for spec in specs}
    there = {name: module for name, module in empty.items() if name not in sys.modules}
    sys.modules.update(there)
    try:
        yield
    finally:
        for name in there:
            del sys.modules[name]


def _empty(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__all__ = []  # type: ignore[attr-defined]
    return module
