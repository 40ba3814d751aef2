# SPDX-License-Identifier: Apache-2.0
"""Native buckets: exact indexes, exact counts, and at most so many buckets a row, whatever the batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probed.exporter.arrays.ledger import Ledger
from probed.exporter.exposition.family import NativeHistograms, SparseBuckets
from probed.exporter.histograms import native_buckets
from probed.exporter.histograms.exponential_buckets import coarser, indexes, values_of
from probed.exporter.histograms.native_buckets import LEAST_SCHEMA, NativeBuckets
from support.unit.series_tables import ledger, state

NS = 1e-9
ROWS = 5
FEW = 24
"""Most buckets of a row in these tests; a row at the least schema has at most 18."""

Shown = tuple[int, int, dict[int, int], dict[int, int]]
"""Schema, zero count, and the counts of positive and negative buckets by index."""


@contextmanager
def few_buckets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_buckets, "MOST_BUCKETS", FEW)
        yield


def index_of(value: Fraction, schema: int) -> int:
    """Return the least i with value <= 2**(i / 2**schema), in whole numbers."""
    power = value ** (1 << schema) if schema > 0 else value
    least = (power.numerator - 1) // power.denominator
    index = least.bit_length() if power > 1 else -((power.denominator // power.numerator).bit_length() - 1)
    assert Fraction(2) ** (index - 1) < power <= Fraction(2) ** index
    return index if schema > 0 else -(-index >> -schema)


def expected(observed: Iterable[int], schema: int, unit: Fraction = Fraction(1, 10**9)) -> Shown:
    """Return a row of observations one by one: the finest schema with at most `FEW` buckets."""
    values = list(observed)
    while True:
        positive = Counter(index_of(value * unit, schema) for value in values if value > 0)
        negative = Counter(index_of(-value * unit, schema) for value in values if value < 0)
        if len(positive) + len(negative) <= FEW or schema == LEAST_SCHEMA:
            return schema, values.count(0), dict(sorted(positive.items())), dict(sorted(negative.items()))
        schema -= 1


def shown(native: NativeHistograms) -> list[Shown]:
    positive, negative = (_by_row(buckets, len(native.schemas)) for buckets in (native.positive, native.negative))
    return list(zip(native.schemas.tolist(), native.zeros.tolist(), positive, negative, strict=True))


def _by_row(buckets: SparseBuckets, rows: int) -> list[dict[int, int]]:
    counts: list[dict[int, int]] = [{} for _ in range(rows)]
    for series, index, count in zip(buckets.series, buckets.indexes, buckets.counts, strict=True):
        assert int(index) > max(counts[series], default=-(2**20))
        counts[series][int(index)] = int(count)
    assert (np.diff(buckets.series) >= 0).all()
    return counts


magnitudes = st.one_of(
    st.integers(0, 2**62),
    st.integers(0, 2000),
    st.integers(0, 62).map(lambda bits: 1 << bits),
    st.integers(0, 9).map(lambda digits: 5**9 * 2**digits),  # powers of two in seconds, bounds of buckets
)
observations = st.builds(lambda value, sign: sign * value, magnitudes, st.sampled_from([1, 1, 1, -1]))


@given(st.lists(magnitudes.filter(bool), min_size=1), st.integers(-4, 4))
def test_the_index_is_the_one_of_exact_arithmetic(observed: list[int], schema: int) -> None:
    found = indexes(values_of(np.array(observed), NS), schema)
    assert found.tolist() == [index_of(Fraction(value, 10**9), schema) for value in observed]


@pytest.mark.parametrize("schema", range(-4, 9))
@pytest.mark.parametrize("exponent", [-30, -1, 0, 1, 33])
def test_a_power_of_two_ends_its_bucket(schema: int, exponent: int) -> None:
    index = exponent << schema if schema >= 0 else -(-exponent >> -schema)
    value = 2.0**exponent
    assert indexes(np.array([value, np.nextafter(value, np.inf)]), schema).tolist() == [
        index, index + 1 if schema >= 0 or exponent % (1 << -schema) == 0 else index,
    ]  # fmt: skip


@given(st.lists(magnitudes.filter(bool), min_size=1), st.integers(-3, 8))
def test_each_schema_has_half_the_buckets_of_the_next(observed: list[int], schema: int) -> None:
    values = values_of(np.array(observed), NS)
    assert coarser(indexes(values, schema), 1).tolist() == indexes(values, schema - 1).tolist()


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e-3, 1e-2, 1.0, 1024.0])
def test_a_value_in_base_units_is_rounded_once(unit: float) -> None:
    exact = Fraction(unit) if unit >= 1 else Fraction(1, round(1 / unit))
    observed = [1, 3, 10**9, 123_456_789_012_345, 2**53 - 1]
    assert values_of(np.array(observed), unit).tolist() == [float(value * exact) for value in observed]


batches = st.lists(st.tuples(st.integers(0, ROWS - 1), observations), min_size=1, max_size=30)
clears = st.sets(st.integers(0, ROWS - 1), min_size=1, max_size=2)
moves = st.tuples(st.sets(st.integers(1, ROWS - 1), min_size=1, max_size=2), st.just(0))
steps = st.lists(batches | clears | moves, max_size=12)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.integers(-4, 4), steps)
def test_rows_agree_with_observations_one_by_one(schema: int, steps: list[object]) -> None:
    """A step counts observations by row, clears rows, or merges rows into row 0; then the next exporter goes on."""
    with few_buckets(), state() as fd:
        memory = Ledger(fd, "a")
        buckets = NativeBuckets(memory, ROWS, schema, NS)
        rows: list[list[int]] = [[] for _ in range(ROWS)]
        finest = [schema] * ROWS
        for step in steps:
            if isinstance(step, list):
                buckets.add(np.array([row for row, _ in step]), np.array([value for _, value in step]), ROWS)
                for row, value in step:
                    rows[row].append(value)
            elif isinstance(step, set):
                buckets.clear(np.array(sorted(step)))
                for row in step:
                    rows[row], finest[row] = [], schema
            elif isinstance(step, tuple):
                buckets.merge(np.array(sorted(step[0])), 0)
                finest[0] = min(finest[row] for row in {0, *step[0]})
                for row in step[0]:
                    rows[0] += rows[row]
                    rows[row], finest[row] = [], schema
            wanted = [expected(values, least) for values, least in zip(rows, finest, strict=True)]
            finest = [each[0] for each in wanted]
            assert shown(buckets.of(np.arange(ROWS))) == wanted
            assert shown(buckets.of(np.array([3, 1]))) == [wanted[3], wanted[1]]
            memory.commit()
            memory = Ledger(fd, "a")
            buckets = NativeBuckets(memory, ROWS, schema, NS)
            assert shown(buckets.of(np.arange(ROWS))) == wanted


@given(st.lists(st.lists(observations, min_size=1, max_size=40), min_size=1, max_size=4), st.integers(-4, 4))
def test_the_resolution_does_not_depend_on_the_batches(parts: list[list[int]], schema: int) -> None:
    with few_buckets():
        one_by_one, together = (NativeBuckets(ledger(), 1, schema, NS) for _ in range(2))
        for part in parts:
            one_by_one.add(np.zeros(len(part), np.intp), np.array(part), 1)
        every = [value for part in parts for value in part]
        together.add(np.zeros(len(every), np.intp), np.array(every), 1)
        row = np.array([0])
        assert shown(one_by_one.of(row)) == shown(together.of(row)) == [expected(every, schema)]


def test_a_row_has_at_most_160_buckets() -> None:
    buckets = NativeBuckets(ledger(), 2, 8, NS)
    observed = np.geomspace(1, 1e18, 20_011).astype(np.int64)
    buckets.add(np.zeros(len(observed), np.intp), observed, 1)
    native = buckets.of(np.array([0]))
    assert native.schemas.tolist() == [1]
    assert 80 < len(native.positive.indexes) <= 160
    assert int(native.positive.counts.sum()) == 20_011
