# SPDX-License-Identifier: Apache-2.0
"""The client's parser of metrics pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.client.metrics_page import PageSeries, parse_series, samples
from probed.errors import HostError
from support.top.pages import series


def test_samples_are_the_lines_without_comments() -> None:
    page = '# HELP a text 1\n# TYPE a counter\na_total{x="b c"} 3.0\nup 1\n# EOF\n'
    assert list(samples(page)) == [('a_total{x="b c"}', 3.0), ("up", 1.0)]


def test_a_series_has_name_and_labels() -> None:
    assert parse_series('a_total{x="1",y="2"}') == PageSeries("a_total", (("x", "1"), ("y", "2")))
    assert parse_series("up") == PageSeries("up")


@given(st.dictionaries(st.sampled_from(["comm", "unit", "parent"]), st.text()))
def test_labels_come_back_as_the_exporter_wrote_them(labels: dict[str, str]) -> None:
    assert parse_series(series("a_total", **labels)) == PageSeries("a_total", tuple(sorted(labels.items())))


@pytest.mark.parametrize("page", ["<html>no page</html>", "a_total", "a_total x", "\x00\n"])
def test_another_text_is_an_error_with_the_line(page: str) -> None:
    with pytest.raises(HostError, match="line 1 of the metrics page is no sample"):
        list(samples(page))


@pytest.mark.parametrize("text", ['a{x="1"', "a{x=1}", 'a{x="1"}b', 'a{x="1"y="2"}', "1a", 'a{x="1" ,}'])
def test_a_wrong_series_is_an_error(text: str) -> None:
    with pytest.raises(HostError, match="wrong syntax"):
        parse_series(text)
