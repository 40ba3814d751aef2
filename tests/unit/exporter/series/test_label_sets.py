# SPDX-License-Identifier: Apache-2.0
"""Label sets from keys: every value unchanged, without dropped ones, and none equal to the overflow's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probed.exporter.arrays.dtypes import dtype, key_words
from probed.exporter.series.label_sets import key_columns, label_sets
from probed.ipc.manifest import Field, Record

FIELDS = (
    Field("lifetime_ns", "u64", 0, 1),
    Field("comm", "char", 8, 16),
    Field("tag", "char", 24, 5),
    Field("delta", "s16", 30, 1),
    Field("stack", "u64", 32, 3),
)
RECORD = Record(56, FIELDS)

rows = st.lists(
    st.tuples(
        st.integers(0, 2**64 - 1),
        st.binary(max_size=16),
        st.binary(max_size=5),
        st.integers(-(2**15), 5),
        st.binary(min_size=24, max_size=24),
    )
)


@given(rows)
def test_the_values_of_a_key_are_what_went_into_its_words(data: list[tuple[int, bytes, bytes, int, bytes]]) -> None:
    records = np.zeros(len(data), dtype(RECORD))
    for at, (lifetime, comm, tag, delta, stack) in enumerate(data):
        records[at] = (lifetime, np.void(comm.ljust(16, b"\0")), np.void(tag.ljust(5, b"\0")), delta, np.void(stack))
    lifetimes, comms, tags, deltas, stacks = key_columns(key_words(records, FIELDS), FIELDS)
    assert lifetimes == [row[0] for row in data]
    assert comms == [row[1].ljust(16, b"\0") for row in data]
    assert tags == [row[2].ljust(5, b"\0") for row in data]
    assert deltas == [row[3] for row in data]
    assert stacks == [row[4] for row in data]


NUMBERS = (Field("first", "u32", 0, 1), Field("second", "u32", 4, 1))


def texts_of(table: list[tuple[str | None, ...]]) -> list[tuple[str, ...] | None]:
    """Make label sets of two labels with just these texts."""
    keys = np.array([range(len(table))] * 2, np.uint64)
    return label_sets(keys, NUMBERS, [lambda n: table[int(n)][0], lambda n: table[int(n)][1]])


def test_a_key_that_any_decoder_drops_has_no_label_set() -> None:
    assert texts_of([("a", "b"), (None, "b"), ("a", None), ("", "")]) == [("a", "b"), None, None, ("", "")]


texts = st.sampled_from(["other", r"\other", r"\\other", "another", "other ", "", "a"])


def test_a_label_set_that_says_other_throughout_is_told_apart_by_a_backslash() -> None:
    assert texts_of([("other", "other"), ("other", "a"), ("a", "other"), (r"\other", "other")]) == [
        (r"\other", r"\other"),
        ("other", "a"),
        ("a", "other"),
        (r"\\other", r"\other"),
    ]


@given(st.lists(st.tuples(texts, texts), unique=True))
def test_distinct_label_sets_stay_distinct_and_none_is_that_of_the_overflow(table: list[tuple[str, str]]) -> None:
    sets = texts_of(list(table))
    assert len(set(sets)) == len(table)
    assert ("other", "other") not in sets
