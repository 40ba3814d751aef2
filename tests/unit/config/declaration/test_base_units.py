# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.declaration import base_units
from probed.config.declaration.base_units import Unit


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("lifetime_ns", Unit("seconds", 1e-9)),
        ("wait_us", Unit("seconds", 1e-6)),
        ("wait_ms", Unit("seconds", 1e-3)),
        ("uptime_s", Unit("seconds", 1.0)),
        ("bytes", Unit("bytes", 1.0)),
        ("read_bytes", Unit("bytes", 1.0)),
        ("rss_kib", Unit("bytes", 1024.0)),
        ("load_percent", Unit("ratio", 0.01)),
    ],
)
def test_a_fields_last_word_is_its_unit(field: str, unit: Unit) -> None:
    assert base_units.unit_of(field) == unit


def test_pages_are_refused_because_their_size_differs() -> None:
    with pytest.raises(ValueError, match=r"a page's size differs.*call the field '_bytes'"):
        base_units.unit_of("rss_pages")


def test_a_field_without_unit_is_told_the_suffixes_there_are() -> None:
    with pytest.raises(ValueError, match=r"'latency' does not say its unit; .* _ns, _us, _ms, _s, _bytes"):
        base_units.unit_of("latency")


def test_a_metrics_base_unit_is_the_end_of_its_name() -> None:
    assert base_units.base_unit_of("probed_x_seconds") == "seconds"
    assert base_units.base_unit_of("probed_x_bytes") == "bytes"
    assert base_units.base_unit_of("probed_x_milliseconds") is None
    assert base_units.base_unit_of("probed_x_total") is None


@pytest.mark.parametrize(
    ("written", "number"),
    [(4096, 4096), ("4096", 4096), ("4096 B", 4096), ("4 KiB", 4096), ("1MiB", 1 << 20), ("2 GiB", 2 << 30)],
)
def test_sizes_are_read_in_binary_units(written: int | str, number: int) -> None:
    assert base_units.parse_size(written) == number


@pytest.mark.parametrize("written", ["", "MiB", "-1 MiB", "1.5 MiB", "1  MiB", "1 MiB ", "0x10", "1 mib"])
def test_other_text_than_a_size_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        base_units.parse_size(written)


def test_a_decimal_unit_is_refused_with_the_binary_one() -> None:
    with pytest.raises(ValueError, match="did you mean '8 MiB'"):
        base_units.parse_size("8 MB")


@given(st.integers(min_value=0, max_value=1 << 62))
def test_a_size_that_was_written_is_read_back(number: int) -> None:
    assert base_units.parse_size(base_units.format_size(number)) == number


@pytest.mark.parametrize(
    ("written", "value", "base"),
    [
        ("1us", "0.000001", "seconds"), ("0.5 ms", "0.0005", "seconds"), ("4 KiB", "4096", "bytes"),
        (0.1, "0.1", None), (3, "3", None),
    ],
)  # fmt: skip
def test_quantities_are_decimal_numbers_of_base_units(written: float | str, value: str, base: str | None) -> None:
    quantity = base_units.parse_quantity(written)
    assert (quantity.value, quantity.base) == (Decimal(value), base)


@pytest.mark.parametrize("written", ["", "us", "-1us", "1e3us", "1 us "])
def test_other_text_than_a_quantity_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity"):
        base_units.parse_quantity(written)


def test_an_unknown_unit_of_a_quantity_is_refused_with_the_near_one() -> None:
    with pytest.raises(ValueError, match=r"expected a unit of ns, us, ms, s, .*did you mean '1 KiB'"):
        base_units.parse_quantity("1kB")
