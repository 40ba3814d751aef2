# SPDX-License-Identifier: Apache-2.0
"""The page equals the page of prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import exposition
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from probed.exporter.exposition.family import Family
from probed.exporter.exposition.renderer import Page

T = TypeVar("T")


class Reference:
    """The same families as prometheus_client's own, from a custom collector."""

    def __init__(self, families: list[Family]) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        yield from map(_metric, self.families)

    def text(self) -> bytes:
        return exposition.generate_latest(_registry(self))

    def openmetrics(self) -> bytes:
        return _openmetrics(_registry(self))

    def restricted(self, names: frozenset[str]) -> tuple[bytes, bytes]:
        registry: Any = _registry(self).restricted_registry(names)
        return exposition.generate_latest(registry), _openmetrics(registry)


def _registry(collector: Reference) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(collector)  # type: ignore[arg-type]
    return registry


def _openmetrics(registry: Any) -> bytes:
    generate: Callable[[Any], bytes] = openmetrics.generate_latest
    return generate(registry)


def _metric(family: Family) -> Metric:
    if family.type == "histogram":
        return _histogram(family)
    kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.label_names)
    for labels, value in zip(family.labels, family.values.tolist(), strict=True):
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
    text: Callable[[float], str] = floatToGoString
    bounds = [text(bound) for bound in (*family.bounds, float("inf"))]
    for row, labels in enumerate(family.labels):
        counts = [sum(family.buckets[row].tolist()[: n + 1]) for n in range(len(bounds))]
        metric.add_metric(labels, list(zip(bounds, counts, strict=True)), float(family.sums[row]))
    return metric


HOSTILE = [
    '"',
    "\\",
    "\n",
    '\\"',
    "\\n",
    "|",
    "{",
    "}",
    ",",
    "=",
    "",
    " ",
    "%s",
    "%",
    "{0}",
    "\r",
    "\x00",
    "\x85",
]
HOSTILE += ["\u2028", "ü", "名", "🐝", "\ufffd", '",le="0"} 1\n', "# EOF\n", "\x1b[2J"]
valid = st.characters(exclude_categories=["Cs"])
label_value = st.one_of(st.sampled_from(HOSTILE), st.text(valid, max_size=8))
label_names = st.lists(
    st.sampled_from(["comm", "errno", "kind", "le_", "l", "parent", "zz", "_a"]), unique=True, max_size=3
)
counts = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2_000_000),
    st.sampled_from([0, 999_999, 10**6, 10**9, 10**10, 2**53, 2**53 + 1, 10**16, 2**64 - 1]),
)
signed = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-999_999, -(10**6), -(10**16)]))
help_text = st.text(valid, max_size=20)


def _exactly(size: int, of: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    return st.lists(of, min_size=size, max_size=size)


@st.composite
def families(draw: st.DrawFn) -> list[Family]:
    return [draw(family(number)) for number in range(draw(st.integers(0, 3)))]


@st.composite
def family(draw: st.DrawFn, number: int) -> Family:
    kind = draw(st.sampled_from(["counter", "gauge", "histogram"]))
    names = tuple(draw(label_names))
    values = st.tuples(*[label_value] * len(names))
    labels = draw(st.lists(values, unique=True, max_size=4))
    text = draw(help_text)
    if kind == "counter":
        array = np.array(draw(_exactly(len(labels), counts)), np.uint64)
        return Family(f"probed_c{number}_total", "counter", text, names, labels, array)
    if kind == "gauge":
        floats = _exactly(len(labels), st.floats()).map(lambda numbers: np.array(numbers, float))
        integers = _exactly(len(labels), signed).map(lambda numbers: np.array(numbers, np.int64))
        unsigned = _exactly(len(labels), counts).map(lambda numbers: np.array(numbers, np.uint64))
        return Family(f"probed_g{number}", "gauge", text, names, labels, draw(st.one_of(floats, integers, unsigned)))
    bounds = draw(st.lists(st.floats(1e-9, 1e18), unique=True, max_size=4).map(sorted))
    row = _exactly(len(bounds) + 1, st.integers(0, 2**60))
    return Family(
        f"probed_h{number}_seconds",
        "histogram",
        text,
        names,
        labels,
        bounds=tuple(bounds),
        buckets=np.array(draw(_exactly(len(labels), row)), np.uint64).reshape(len(labels), len(bounds) + 1),
        sums=np.array(draw(_exactly(len(labels), st.floats(0, 1e300))), float),
    )


@settings(deadline=None, max_examples=300)
@given(families())
def test_a_page_is_byte_for_byte_that_of_prometheus_client(of_page: list[Family]) -> None:
    page, reference = Page(), Reference(of_page)
    for _ in "cold", "warm":
        assert page.render(of_page) == reference.text()
        assert page.render(of_page, openmetrics=True) == reference.openmetrics()


@settings(deadline=None)
@given(st.lists(families(), max_size=4))
def test_kept_label_text_never_shows_on_the_next_page(pages: list[list[Family]]) -> None:
    page = Page()
    for of_page in pages:
        assert page.render(of_page) == Reference(of_page).text()


SAMPLES = ["probed_c0_total", "probed_g1", "probed_h0_seconds_sum", "probed_h1_seconds_bucket"]
SAMPLES += ["probed_h2_seconds_count", "probed_h0_seconds_count", "probed_c2_total", "no_such_name"]


@settings(deadline=None)
@given(families(), st.frozensets(st.sampled_from(SAMPLES), min_size=1))
def test_names_of_samples_restrict_a_page_as_prometheus_client_does(
    of_page: list[Family], names: frozenset[str]
) -> None:
    page = Page()
    text, open_text = Reference(of_page).restricted(names)
    assert page.render(of_page, names=names) == text
    assert page.render(of_page, openmetrics=True, names=names) == open_text


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
    return {labels for prefixes in page._known.values() for labels in prefixes}


def test_series_that_are_gone_are_forgotten() -> None:
    page = Page()
    page.render([_execs("old", "kept"), _lifetimes("old")])
    page.render([_execs("kept", "new")])
    assert _remembered(page) == {("kept",), ("new",)}


def test_a_restricted_page_forgets_nothing_that_is_there() -> None:
    page = Page()
    both = [_execs("sh"), _lifetimes("sh")]
    page.render(both)
    page.render(both, names=frozenset(["probed_execs_total"]))
    assert _remembered(page) == {("sh",), ("sh", "x")}


def test_an_error_in_the_families_leaves_the_page_as_it_was() -> None:
    def broken() -> Iterator[Family]:
        yield _execs("sh")
        raise OSError("no such map")

    page = Page()
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
