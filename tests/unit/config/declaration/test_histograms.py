# SPDX-License-Identifier: Apache-2.0
"""The schema of a growth factor, and the bounds of a bucket rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.declaration.histograms import COARSEST_SCHEMA, FINEST_SCHEMA, MAX_FACTOR, BucketRule, NativeOptions
from probed.schema.structure import Source, build


@pytest.mark.parametrize(
    ("factor", "schema"),
    [(1.0001, 8), (1.002, 8), (1.003, 8), (1.01, 7), (1.1, 3), (1.5, 1), (2, 0), (4, -1), (65535, -3), (65536, -4)],
)
def test_a_factor_has_the_schema_of_client_golang(factor: float, schema: int) -> None:
    assert NativeOptions((), factor).schema == schema


@given(st.floats(1, MAX_FACTOR, exclude_min=True))
def test_the_schema_is_the_coarsest_with_such_a_growth(factor: float) -> None:
    schema = NativeOptions((), factor).schema
    assert COARSEST_SCHEMA <= schema <= FINEST_SCHEMA
    assert schema == FINEST_SCHEMA or 2.0 ** (2.0**-schema) <= factor * (1 + 1e-12)
    assert schema == COARSEST_SCHEMA or 2.0 ** (2.0 ** -(schema - 1)) > factor * (1 - 1e-12)


def bounds(rule: dict[str, dict[str, object]]) -> tuple[float, ...]:
    return build(BucketRule, rule, Source("a.yaml"), at=()).bounds


def test_an_exponential_rule_multiplies_in_decimal_and_keeps_short_numbers() -> None:
    assert bounds({"exponential": {"first": "1us", "factor": 2, "count": 5}}) == (1e-6, 2e-6, 4e-6, 8e-6, 1.6e-5)
    powers = bounds({"exponential": {"first": "1us", "factor": 2, "count": 27}})
    assert (len(powers), powers[10], powers[-1]) == (27, 0.001024, 67.108864)
    assert bounds({"exponential": {"first": "4 KiB", "factor": 1.5, "count": 3}}) == (4096.0, 6144.0, 9216.0)


def test_a_linear_rule_adds_in_decimal() -> None:
    assert bounds({"linear": {"first": "100ms", "width": "100ms", "count": 4}}) == (0.1, 0.2, 0.3, 0.4)
    assert bounds({"linear": {"first": 0.5, "width": 1, "count": 2}}) == (0.5, 1.5)
