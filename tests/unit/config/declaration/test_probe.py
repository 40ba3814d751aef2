# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.declaration.labels import Label
from probed.config.declaration.metrics import Metric
from probed.config.declaration.probe import Probe, check_together, parse_declaration
from probed.errors import DeclarationError

TEXT = """\
description: Starts of programs.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
ring: {bytes: 1 MiB}
metrics:
  probed_execs_total:
    type: counter
    help: Execs.
    when: {kind: KIND_EXEC, cpu: 0}
    labels:
      parent: {field: parent, decoder: comm}
      comm: {field: comm, decoder: comm}
  probed_age_seconds:
    type: histogram
    help: Ages.
    when:
      kind: KIND_EXIT
    value: age_ns
    buckets: [0.5, 1, 2.5]
    labels:
      how:
        field: how
        decoder: enum
        table:
          HOW_OK: ok
          KIND_EXEC: odd
          9: nine
"""


def parse(text: str = TEXT, name: str = "starts") -> Probe:
    return parse_declaration(text, f"{name}/{name}.yaml", name)


def test_a_declaration_becomes_a_probe() -> None:
    probe = parse()
    assert (probe.name, probe.description, probe.source.path) == (
        "starts",
        "Starts of programs.",
        "starts/starts.yaml",
    )
    assert probe.programs["on_exec"].raw_tracepoint == "sched_process_exec"
    assert probe.ring is not None
    assert probe.ring.bytes == 1 << 20
    assert probe.metrics["probed_age_seconds"] == Metric(
        at=("metrics", "probed_age_seconds"),
        type="histogram",
        help="Ages.",
        when={"kind": "KIND_EXIT"},
        value="age_ns",
        buckets=(0.5, 1.0, 2.5),
        labels={
            "how": Label(
                at=("metrics", "probed_age_seconds", "labels", "how"),
                field="how",
                decoder="enum",
                table={"HOW_OK": "ok", "KIND_EXEC": "odd", 9: "nine"},
            )
        },
    )


def test_labels_keep_their_order() -> None:
    assert list(parse().metrics["probed_execs_total"].labels) == ["parent", "comm"]


def test_every_element_knows_its_line() -> None:
    probe = parse()
    age = probe.metrics["probed_age_seconds"]
    assert probe.source.line(age.at) == 13
    assert probe.source.line((*age.at, "value")) == 18
    assert probe.source.line(age.labels["how"].at) == 21


def test_problems_of_name_text_and_shape_come_together() -> None:
    with pytest.raises(DeclarationError) as caught:
        parse(TEXT.replace("KIND_EXEC, cpu", "yes, cpu").replace("help: Ages.", "hlep: Ages."), "Starts")
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (1, ""),
        (9, "metrics.probed_execs_total.when.kind"),
        (13, "metrics.probed_age_seconds.help"),
        (15, "metrics.probed_age_seconds.hlep"),
    ]


def test_a_probe_may_do_without_ring_when_maps_hold_its_counts() -> None:
    probe = parse(
        "description: Calls.\n"
        "programs: {on_enter: {raw_tracepoint: sys_enter}}\n"
        "metrics: {probed_calls_total: {type: counter, help: Calls., maps: [calls]}}\n"
    )
    assert probe.ring is None
    assert probe.metrics["probed_calls_total"].maps == ("calls",)


def test_a_metric_of_two_probes_is_a_problem_of_the_second() -> None:
    first, second = parse(), parse(name="again")
    problems = check_together([first, second])
    assert [(p.path, p.line, p.key) for p in problems] == [
        ("again/again.yaml", 6, "metrics.probed_execs_total"),
        ("again/again.yaml", 13, "metrics.probed_age_seconds"),
    ]
    assert "of probe 'starts' (starts/starts.yaml:6) has this name; choose another" in problems[0].text
    assert check_together([first]) == []


def test_a_counter_and_a_histogram_of_one_openmetrics_family_do_not_go_together() -> None:
    text = TEXT.replace("probed_age_seconds", "probed_other_seconds")
    other = parse(text.replace("probed_execs_total", "probed_age_seconds_total"), "other")
    (problem,) = check_together([parse(), other])
    assert problem.key == "metrics.probed_age_seconds_total"


SURPRISES = st.sampled_from(
    ["yes", "~", "[", "}", ": ", "- ", "*a ", "&a ", "!!str ", "1e3", "\t", "\n", "'", "é", "| "]
)


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 10), SURPRISES), min_size=1, max_size=3))
def test_any_mistyped_declaration_is_parsed_or_refused_with_lines(edits: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    try:
        assert parse(text).metrics
    except DeclarationError as error:
        assert all(0 < problem.line <= text.count("\n") + 2 for problem in error.problems)
