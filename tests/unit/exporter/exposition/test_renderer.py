# SPDX-License-Identifier: Apache-2.0
"""The page equals the page of prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from probed.exporter.exposition.family import Family
from probed.exporter.exposition.protobuf_page import ProtobufPage
from probed.exporter.exposition.renderer import Page
from support.unit.page_families import Reference, families


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(families())
def test_a_page_is_byte_for_byte_that_of_prometheus_client(of_page: list[Family]) -> None:
    page, reference = Page(), Reference(of_page)
    for _ in "cold", "warm":
        assert page.render(of_page) == reference.text()
        assert page.render(of_page, openmetrics=True) == reference.openmetrics()


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(families())
def test_start_timestamps_show_where_asked_for_as_prometheus_client_shows_them(of_page: list[Family]) -> None:
    reference = Reference(of_page, created=True)
    assert Page().render(of_page, openmetrics=True, created=True) == reference.openmetrics()
    assert Page().render(of_page, created=True) == Reference(of_page).text()


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(families(), max_size=4))
def test_kept_label_text_never_shows_on_the_next_page(pages: list[list[Family]]) -> None:
    page = Page()
    for of_page in pages:
        assert page.render(of_page) == Reference(of_page).text()


SAMPLES = ["probed_c0_total", "probed_g1", "probed_h0_seconds_sum", "probed_h1_seconds_bucket"]
SAMPLES += [
    "probed_c1_created",
    "probed_h1_seconds_created",
    "probed_h2_seconds_count",
    "probed_h0_seconds_count",
    "probed_c2_total",
    "no_such_name",
]


@settings(deadline=None)
@given(families(), st.frozensets(st.sampled_from(SAMPLES), min_size=1))
def test_names_of_samples_restrict_a_page_as_prometheus_client_does(
    of_page: list[Family], names: frozenset[str]
) -> None:
    page = Page()
    text, open_text = Reference(of_page).restricted(names)
    assert page.render(of_page, names=names) == text
    assert page.render(of_page, openmetrics=True, names=names) == open_text
    names -= {"probed_c0_total", "probed_c2_total"}  # here names of families, with the start timestamps
    with_starts = Reference(of_page, created=True).restricted(names)[1]
    assert page.render(of_page, openmetrics=True, created=True, names=names) == with_starts


def _lifetimes(*comms: str) -> Family:
    return Family(
        "probed_lifetime_seconds",
        "histogram",
        "Lifetimes.",
        ("comm", "zone"),
        [(comm, "x") for comm in comms],
        bounds=(0.5, 10.0),
        buckets=np.array([[1, 0, 2]] * len(comms), np.uint64),
        sums=np.array([40.5] * len(comms)),
    )


def _execs(*comms: str) -> Family:
    return Family("probed_execs_total", "counter", "Execs.", ("comm",), [(c,) for c in comms], np.ones(len(comms), int))


def test_a_page_reads_like_this() -> None:
    assert Page().render([_execs("sh"), _lifetimes("sh")]).decode() == (
        "# HELP probed_execs_total Execs.\n"
        "# TYPE probed_execs_total counter\n"
        'probed_execs_total{comm="sh"} 1.0\n'
        "# HELP probed_lifetime_seconds Lifetimes.\n"
        "# TYPE probed_lifetime_seconds histogram\n"
        'probed_lifetime_seconds_bucket{comm="sh",le="0.5",zone="x"} 1.0\n'
        'probed_lifetime_seconds_bucket{comm="sh",le="10.0",zone="x"} 1.0\n'
        'probed_lifetime_seconds_bucket{comm="sh",le="+Inf",zone="x"} 3.0\n'
        'probed_lifetime_seconds_count{comm="sh",zone="x"} 3.0\n'
        'probed_lifetime_seconds_sum{comm="sh",zone="x"} 40.5\n'
    )


@pytest.mark.parametrize("name", ["probed_lifetime_seconds", "probed_execs_total", "probed_execs"])
def test_the_name_of_a_family_stands_for_all_its_samples(name: str) -> None:
    both = [_execs("sh"), _lifetimes("sh")]
    (wanted,) = [f for f in both if f.name.startswith(name)]
    assert Page().render(both, names=frozenset([name])) == Page().render([wanted])


def test_a_name_that_nothing_has_gives_an_empty_page() -> None:
    names = frozenset(["nothing"])
    assert Page().render([_execs("sh")], names=names) == b""
    assert Page().render([_execs("sh")], names=names, openmetrics=True) == b"# EOF\n"


def test_a_series_without_labels_has_no_braces() -> None:
    forks = Family("probed_forks_total", "counter", "Forks.", (), [()], np.array([7], np.uint64))
    assert Page().render([forks]).endswith(b"\nprobed_forks_total 7.0\n")


def _remembered(page: Page) -> set[tuple[str, ...]]:
    return {labels for known in page._known.values() for labels in known.labels}


def test_series_that_are_gone_are_forgotten() -> None:
    page = Page()
    page.render([_execs("old", "kept"), _lifetimes("old")])
    page.render([_execs("kept", "new")])
    assert _remembered(page) == {("kept",), ("new",)}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_only_the_text_before_the_values_is_kept(openmetrics: bool) -> None:
    page = Page()
    page.render([_execs("sh", "cat")], openmetrics=openmetrics)
    changes: list[dict[str, Any]] = [
        {"values": np.array([101, 103])}, {"help": "Other."}, {"labels": [("cat",), ("sh",)]},
    ]  # fmt: skip
    for changed in changes:
        again = replace(_execs("sh", "cat"), **changed)
        assert page.render([again], openmetrics=openmetrics) == Page().render([again], openmetrics=openmetrics)


def test_a_restricted_page_forgets_nothing_that_is_there() -> None:
    page = Page()
    both = [_execs("sh"), _lifetimes("sh")]
    page.render(both)
    page.render(both, names=frozenset(["probed_execs_total"]))
    assert _remembered(page) == {("sh",), ("sh", "x")}


@pytest.mark.parametrize("kind", [Page, ProtobufPage])
def test_an_error_in_the_families_leaves_the_page_as_it_was(kind: type[Page] | type[ProtobufPage]) -> None:
    def broken() -> Iterator[Family]:
        yield _execs("sh")
        raise OSError("no such map")

    page = kind()
    before = page.render([_execs("sh")])
    with pytest.raises(OSError, match="no such map"):
        page.render(broken())
    assert page.render([_execs("sh")]) == before


def test_openmetrics_parses_what_a_page_says() -> None:
    text = Page().render([_execs("sh", 'a"\\\n|é'), _lifetimes("sh")], openmetrics=True).decode()
    parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families
    execs, lifetimes = parse(text)
    assert [sample.labels["comm"] for sample in execs.samples] == ["sh", 'a"\\\n|é']
    assert lifetimes.type == "histogram"
