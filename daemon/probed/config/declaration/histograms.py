# SPDX-License-Identifier: Apache-2.0
"""Forms of a histogram: classic buckets by list or rule, native ones by growth factor. Pure.

`metrics` and `overrides` use the options; `resolve` takes bounds and schema for the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import floor, isinf, log2
from typing import Annotated, Final, Literal

from probed.config.declaration.base_units import QUANTITY_PATTERN, BaseUnit, Quantity, parse_quantity
from probed.frozen import frozen
from probed.schema.rules import NOT_EMPTY_LIST, between
from probed.schema.structure import Fault, Given, Key, Rule

HistogramForm = Literal["both", "classic", "native"]

FINEST_SCHEMA: Final = 8
COARSEST_SCHEMA: Final = -4
MAX_FACTOR: Final = 65536.0
"""Growth of the coarsest schema's buckets."""

MAX_BUCKETS: Final = 200
"""Most buckets of a rule: each is a series of every label set."""


def _factor(factor: float) -> float:
    if not 1 < factor <= MAX_FACTOR:
        raise ValueError(f"expected a factor above 1, up to {MAX_FACTOR:g}, found {factor:g}; 1.1 would do")
    return factor


Factor = Annotated[float, Rule(_factor, {"exclusiveMinimum": 1, "maximum": MAX_FACTOR})]


@frozen
class NativeOptions:
    """The native form of a histogram."""

    at: Given[Key]
    factor: Annotated[Factor, "The most by which a bucket's bound exceeds the bound before, such as 1.1."]

    @property
    def schema(self) -> int:
        """The coarsest schema with such a growth, 2**(2**-schema); the finest one for a smaller factor.

        Source: client_golang prometheus/histogram.go, `pickSchema`.
        """
        return min(-floor(log2(log2(self.factor))), FINEST_SCHEMA)


def _positive(quantity: Quantity) -> Quantity:
    if quantity.value <= 0:
        raise ValueError(f"expected a quantity above 0, found {quantity}")
    return quantity


Bound = Annotated[
    Quantity, Rule(parse_quantity, {"pattern": f"^{QUANTITY_PATTERN}$"}, raw=float | str), Rule(_positive)
]
Count = Annotated[int, between(1, MAX_BUCKETS, "buckets")]


@frozen
class ExponentialBuckets:
    """Buckets of which each bound is a multiple of the bound before."""

    at: Given[Key]
    first: Annotated[Bound, "The first upper bound: a quantity such as 1us or 4 KiB, or a number of base units."]
    factor: Annotated[Factor, "The ratio of each bound to the bound before, such as 2."]
    count: Annotated[Count, "The number of bounds; +Inf is one bucket more."]

    @property
    def quantities(self) -> tuple[tuple[str, Quantity], ...]:
        """The keys with a unit."""
        return (("first", self.first),)

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds in base units, each the number nearest to the decimal one."""
        factor = Decimal(str(self.factor))
        return tuple(float(self.first.value * factor**index) for index in range(self.count))


@frozen
class LinearBuckets:
    """Buckets of equal width."""

    at: Given[Key]
    first: Annotated[Bound, "The first upper bound: a quantity such as 1ms or 4 KiB, or a number of base units."]
    width: Annotated[Bound, "The difference of each bound to the bound before: a quantity, or a number of base units."]
    count: Annotated[Count, "The number of bounds; +Inf is one bucket more."]

    @property
    def quantities(self) -> tuple[tuple[str, Quantity], ...]:
        """The keys with a unit."""
        return ("first", self.first), ("width", self.width)

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds in base units, each the number nearest to the decimal one."""
        return tuple(float(self.first.value + self.width.value * index) for index in range(self.count))


@frozen
class BucketRule:
    """A rule for the buckets' upper bounds, instead of a list."""

    at: Given[Key]
    exponential: Annotated[
        ExponentialBuckets | None, "Bounds that grow by a factor: {first: 1us, factor: 2, count: 27}."
    ] = None
    linear: Annotated[LinearBuckets | None, "Bounds at equal distances: {first: 10ms, width: 10ms, count: 20}."] = None

    def check(self) -> Iterator[Fault]:
        """Yield the fault of no rule, or of two."""
        if self.exponential and self.linear:
            yield ("linear",), "buckets have one rule; remove 'linear' or 'exponential'"
        if not self.exponential and not self.linear:
            yield (), "expected a rule: 'exponential: {first: 1us, factor: 2, count: 27}', or 'linear: {…}'"

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds in base units, ascending."""
        rule = self.exponential or self.linear
        return rule.bounds if rule else ()


Buckets = Annotated[tuple[float, ...], NOT_EMPTY_LIST] | BucketRule


def bounds_of(buckets: tuple[float, ...] | BucketRule) -> tuple[float, ...]:
    """Return the upper bounds in base units."""
    return buckets.bounds if isinstance(buckets, BucketRule) else buckets


def bucket_faults(buckets: tuple[float, ...] | BucketRule) -> Iterator[Fault]:
    """Yield the bounds that are not above 0 or the previous bound; key paths start at ``buckets``."""
    below = 0.0
    if any(map(isinf, bounds_of(buckets))):
        yield ("buckets",), "the rule's last bounds are above every number; take a smaller factor or count"
        return
    for index, bound in enumerate(bounds_of(buckets)):
        if bound <= below:
            least = f"the previous bound {below:g}" if index else "0"
            text = f"bucket {bound:g} is not above {least}"
            if isinstance(buckets, BucketRule):
                yield ("buckets",), f"{text}: the rule's bounds are too close together; take another rule"
                return
            yield ("buckets", index), f"{text}; list upper bounds in ascending order"
        below = max(below, bound)


def bucket_unit_faults(buckets: tuple[float, ...] | BucketRule, base: BaseUnit | None) -> Iterator[Fault]:
    """Yield the quantities of a rule with another base unit than the metric's name; key paths start at ``buckets``."""
    if not isinstance(buckets, BucketRule):
        return
    end, remedy = (f"'_{base}'", f"a quantity in {base}, or a number") if base else ("no unit", "a number")
    for name, rule in (("exponential", buckets.exponential), ("linear", buckets.linear)):
        for key, quantity in rule.quantities if rule else ():
            if quantity.base not in (None, base):
                text = f"the quantity is in {quantity.base}, but the metric's name ends in {end}"
                yield ("buckets", name, key), f"{text}; write {remedy}"


def bucket_numbering(buckets: tuple[float, ...] | BucketRule, factor: float) -> dict[str, Decimal]:
    """Return the numbers by which the C finds a value's bucket, none for a list.

    Value and numbers are in units of `factor` base units. The C has the numbers as macros, by these names with that of
    the map: see LOG2_BUCKET and LINEAR_BUCKET of probes/include/probed.bpf.h.
    """
    unit = Decimal(str(factor))
    if isinstance(buckets, BucketRule) and buckets.exponential:
        return {"LOG2_FIRST": buckets.exponential.first.value / unit}
    if isinstance(buckets, BucketRule) and buckets.linear:
        return {"LINEAR_FIRST": buckets.linear.first.value / unit, "LINEAR_WIDTH": buckets.linear.width.value / unit}
    return {}


def kernel_bucket_faults(buckets: tuple[float, ...] | BucketRule) -> Iterator[Fault]:
    """Yield a rule whose bounds no macro of the C numbers; key paths start at ``buckets``."""
    if isinstance(buckets, BucketRule) and buckets.exponential and buckets.exponential.factor != 2:
        text = f"LOG2_BUCKET() numbers buckets whose bounds double, and the factor is {buckets.exponential.factor:g}"
        yield (
            ("buckets", "exponential", "factor"),
            f"{text}; write 'factor: 2', or list the bounds of the C's own bucket numbers",
        )


def kernel_bound_faults(buckets: tuple[float, ...] | BucketRule, factor: float, name: str) -> Iterator[Fault]:
    """Yield a rule with fractions of the unit of map `name`; key paths start at ``buckets``."""
    for macro, number in bucket_numbering(buckets, factor).items():
        if number != int(number):
            rule, _, key = macro.lower().partition("_")
            text = f"the quantity is {number.normalize():f} units of map '{name}', whose values are whole"
            yield (
                ("buckets", "exponential" if rule == "log2" else rule, key),
                f"{text}; take a multiple, or a map of a smaller unit",
            )
