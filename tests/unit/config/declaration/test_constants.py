# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from probed.config.declaration.constants import WHEN_MEMBERS, enum_constants, macros_of
from probed.config.declaration.probe import parse_declaration

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
  probed_ages_total:
    type: counter
    help: Ages.
    when: {kind: KIND_EXIT}
    labels:
      how: {field: how, decoder: enum, table: {HOW_OK: ok, KIND_EXEC: odd, 9: nine}}
"""


def test_enum_constants_have_the_line_that_names_them_first() -> None:
    probe = parse_declaration(TEXT, "starts/starts.yaml", "starts")
    lines = {name: line for name, (_, line) in enum_constants(probe).items()}
    assert lines == {"KIND_EXEC": 9, "KIND_EXIT": 13, "HOW_OK": 15}


HISTOGRAMS_OF_MAPS = """\
description: Waits.
programs: {on_exit: {raw_tracepoint: sched_process_exit}}
metrics:
  probed_wait_seconds:
    type: histogram
    help: Waits.
    maps: [wait_ns, more_ns]
    buckets: {exponential: {first: 1us, factor: 2, count: 27}}
  probed_size_bytes:
    type: histogram
    help: Sizes.
    maps: [size_kib]
    buckets: {linear: {first: 8 KiB, width: 4096, count: 7}}
  probed_age_seconds:
    type: histogram
    help: Ages.
    maps: [age_s]
    buckets: [1, 60, 3600]
"""


def test_the_c_gets_the_rules_of_histograms_in_the_kernel_in_units_of_their_maps() -> None:
    probe = parse_declaration(HISTOGRAMS_OF_MAPS, "waits/waits.yaml", "waits")
    assert macros_of(probe, "") == {
        "LOG2_FIRST_wait_ns": "1000UL",
        "LOG2_FIRST_more_ns": "1000UL",
        "LINEAR_FIRST_size_kib": "8UL",
        "LINEAR_WIDTH_size_kib": "4UL",
    }


CHOOSING = """\
description: Waits.
programs: {on_exit: {raw_tracepoint: sched_process_exit}}
ring: {bytes: 64 KiB, slots: 16}
metrics:
  probed_long_waits_total: {type: counter, help: Long ones., when: {kind: KIND_LONG, knd: 1}}
  probed_short_waits_total: {type: counter, help: Short ones., when: {cpu: 0, kind: KIND_SHORT}}
"""


def test_the_c_gets_the_members_that_choose_events_and_that_the_source_names() -> None:
    """A member of another name is a mistake of the declaration, which the C compiler would tell less well."""
    probe = parse_declaration(CHOOSING, "waits/waits.yaml", "waits")
    source = "struct event { WEIGHT; u64 cpu; u64 kind; };"
    assert macros_of(probe, source) == {WHEN_MEMBERS: "apply(type, cpu) apply(type, kind)"}
