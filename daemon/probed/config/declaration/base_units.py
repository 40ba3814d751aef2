# SPDX-License-Identifier: Apache-2.0
"""Units in the names of fields and metrics, and sizes in bytes.

`metrics` and `resolve` take the factor between a field and a metric from here, so that no declaration contains one.
The size types of `scalars` parse with `parse_size`. The module knows nothing about C or YAML.

Base units are those of https://prometheus.io/docs/practices/naming/#base-units.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, Literal, get_args

from probed.frozen import frozen
from probed.schema.suggestions import did_you_mean

BaseUnit = Literal["seconds", "bytes", "ratio"]

BASE_UNITS: Final[tuple[BaseUnit, ...]] = get_args(BaseUnit)


@frozen
class Unit:
    """A field's unit: one such unit is `factor` of `base`."""

    base: BaseUnit
    factor: float


_SUFFIXES: Final = {
    "ns": Unit("seconds", 1e-9),
    "us": Unit("seconds", 1e-6),
    "ms": Unit("seconds", 1e-3),
    "s": Unit("seconds", 1.0),
    "bytes": Unit("bytes", 1.0),
    "kib": Unit("bytes", 1024.0),
    "percent": Unit("ratio", 1e-2),
    "permille": Unit("ratio", 1e-3),
}

_LENGTH_VARIES: Final = "its length differs between kernels; take nanoseconds in the C and call the field '_ns'"

_REFUSED: Final = {
    "pages": "a page's size differs between machines; make it bytes in the C and call the field '_bytes'",
    "jiffies": _LENGTH_VARIES,
    "ticks": _LENGTH_VARIES,
    "cycles": _LENGTH_VARIES,
    "sectors": "make it bytes in the C (a kernel sector is 512 bytes) and call the field '_bytes'",
    "nsec": "call the field '_ns'",
    "usec": "call the field '_us'",
    "msec": "call the field '_ms'",
    "sec": "call the field '_s'",
    "seconds": "call the field '_s'",
    "kb": "kB are 1000 and KiB are 1024 bytes; call the field '_kib', or make it '_bytes' in the C",
    "ratio": "the kernel has no fractions; send '_percent' or '_permille'",
}

_SIZE_UNITS: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DECIMAL_UNITS: Final = {"kB": "KiB", "KB": "KiB", "MB": "MiB", "GB": "GiB", "K": "KiB", "M": "MiB", "G": "GiB"}

SIZE_PATTERN: Final = r"[0-9]+ ?(B|KiB|MiB|GiB)?"

_QUANTITY_UNITS: Final = {
    **{suffix: _SUFFIXES[suffix] for suffix in ("ns", "us", "ms", "s")},
    **{suffix: Unit("bytes", float(size)) for suffix, size in _SIZE_UNITS.items() if suffix},
}
QUANTITY_PATTERN: Final = rf"[0-9]+(\.[0-9]+)? ?({'|'.join(_QUANTITY_UNITS)})"


@frozen
class Quantity:
    """A number of base units; `base` is None where the document has a bare number."""

    value: Decimal
    base: BaseUnit | None

    def __str__(self) -> str:
        """Return the number in base units."""
        return f"{self.value:f}"


def says_unit(name: str) -> bool:
    """Return whether the last word of a C name is a unit, also one that probed refuses."""
    suffix = name.rpartition("_")[2]
    return suffix in _SUFFIXES or suffix in _REFUSED


def known_unit_of(name: str) -> Unit | None:
    """Return the unit of a field or map as `unit_of` does, None for a name without a usable one."""
    return _SUFFIXES.get(name.rpartition("_")[2])


def unit_of(name: str, kind: Literal["field", "map"] = "field") -> Unit:
    """Return the unit of a field or map by the last word of the name: ``lifetime_ns`` is 1e-9 seconds.

    Raises ValueError with the known suffixes for a name without a usable unit.
    """
    suffix = name.rpartition("_")[2]
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix in _REFUSED:
        raise ValueError(f"{kind} '{name}' has no usable unit: {_REFUSED[suffix].replace('field', kind)}")
    known = ", ".join(f"_{each}" for each in _SUFFIXES)
    raise ValueError(f"{kind} '{name}' does not say its unit; its name must end in one of {known}")


def base_unit_of(metric: str) -> BaseUnit | None:
    """Return the base unit at the end of a metric's name, or None."""
    return next((base for base in BASE_UNITS if metric.endswith(f"_{base}")), None)


def parse_size(written: int | str) -> int:
    """Parse a size in bytes: an integer, or text such as ``4096``, ``512 KiB``, ``1 MiB``, ``1 GiB``.

    Raises ValueError for other text. Decimal units (kB, MB) are refused, because some readers take kB for 1024 bytes.
    """
    if isinstance(written, int):
        return written
    found = re.fullmatch(r"([0-9]+) ?([A-Za-z]*)", written)
    if found is None:
        raise ValueError(f"expected a size such as 1 MiB, found '{written}'")
    number, suffix = int(found[1]), found[2]
    if suffix in _SIZE_UNITS:
        return number * _SIZE_UNITS[suffix]
    meant = _DECIMAL_UNITS.get(suffix)
    remedy = f"; did you mean '{number} {meant}'?" if meant else did_you_mean(suffix, _SIZE_UNITS)
    raise ValueError(f"expected a size in B, KiB, MiB or GiB, found '{written}'{remedy}")


def format_size(number: int) -> str:
    """Format a size in bytes with the largest unit that divides the number: ``1048576`` is ``1 MiB``."""
    for suffix in ("GiB", "MiB", "KiB"):
        if number and number % _SIZE_UNITS[suffix] == 0:
            return f"{number // _SIZE_UNITS[suffix]} {suffix}"
    return f"{number} B"


def parse_quantity(written: float | str) -> Quantity:
    """Parse a number of base units, or text such as ``1us``, ``0.5 ms``, ``4 KiB``.

    Raises ValueError for other text.
    """
    if not isinstance(written, str):
        return Quantity(Decimal(str(written)), None)
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)", written)
    if found is None:
        raise ValueError(f"expected a quantity such as 1us or 4 KiB, found '{written}'")
    number, suffix = Decimal(found[1]), found[2]
    if suffix not in _QUANTITY_UNITS:
        meant = _DECIMAL_UNITS.get(suffix)
        remedy = f"; did you mean '{number} {meant}'?" if meant else did_you_mean(suffix, _QUANTITY_UNITS)
        raise ValueError(f"expected a unit of {', '.join(_QUANTITY_UNITS)}, found '{written}'{remedy}")
    unit = _QUANTITY_UNITS[suffix]
    return Quantity(number * Decimal(str(unit.factor)), unit.base)
