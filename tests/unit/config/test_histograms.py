# SPDX-License-Identifier: Apache-2.0
"""The schema of a growth factor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.histograms import COARSEST_SCHEMA, FINEST_SCHEMA, MAX_FACTOR, NativeOptions


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
