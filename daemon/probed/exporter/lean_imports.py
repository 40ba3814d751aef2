# SPDX-License-Identifier: Apache-2.0
"""Leaves out unused modules of numpy and prometheus_client: 10 MB.

`__main__` enters `left_out` around the exporter's imports. Inside, these modules are empty, with None for each name
that is imported from them, so the packages' own imports succeed; afterwards they are removed, and a later import gets
the real module. Newer versions of numpy import most of them at first use. Where a version fails without a module,
`__main__` starts again with whole packages.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final

PARTS: Final = (
    # urllib.parse checks hosts of URLs with ipaddress; the exporter reads no URL but a request target.
    "ipaddress",
    "numpy.random", "numpy.fft", "numpy.linalg", "numpy.polynomial", "numpy.ma", "numpy.ctypeslib",
    "numpy.lib.npyio", "numpy.lib.nanfunctions", "numpy.lib.arraypad", "numpy.lib.histograms", "numpy.core.einsumfunc",
    "numpy.core.defchararray", "numpy._core.defchararray",
    # Docstrings of the parts in C.
    "numpy.core._add_newdocs", "numpy.core._add_newdocs_scalars",
    "numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars",
    # numpy reads and writes pickles on request only.
    "pickle",
)  # fmt: skip

PACKAGES: Final = ("prometheus_client",)
"""Packages with needed modules and unneeded imports of the package itself: an HTTP server, ssl, urllib.request."""


@contextmanager
def left_out() -> Iterator[None]:
    """Replace `PARTS` with empty modules, and `PACKAGES` with a bare path to their modules, inside the context."""
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
    module: Any = ModuleType(name)
    module.__all__ = []
    module.__getattr__ = _nothing
    empty: ModuleType = module
    return empty


def _nothing(name: str) -> None:
    """Stand for a name in an empty module. Raises AttributeError for the names that the import system asks for."""
    if name.startswith("__"):
        raise AttributeError(name)
