# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from probed.config.declaration.probe import Probe, parse_declaration
from probed.errors import DeclarationError
from probed.ipc import manifest
from probed.ipc.manifest import Field, Map, Record
from probed.loader import resolve
from probed.loader.host_check import with_kernel_enums
from probed.loader.resolve import CFacts

TEXT = """\
description: Starts of programs.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
ring: {bytes: 1 MiB}
metrics:
  probed_age_seconds:
    type: histogram
    help: Ages.
    when: {kind: KIND_EXIT}
    value: age_ns
    buckets: [0.5, 1]
    labels:
      comm: {field: comm, decoder: comm}
      how: {field: how, decoder: enum, table: {HOW_OK: ok, -1: bad}}
  probed_calls_total:
    type: counter
    help: Calls.
    maps: [calls, elsewhere]
    labels:
      syscall: {field: key, decoder: syscall}
"""
EVENT = Record(
    32,
    (
        Field("age_ns", "u64", 0, 1),
        Field("comm", "char", 8, 16),
        Field("kind", "u16", 24, 1),
        Field("how", "s8", 26, 1),
    ),
)
KEY = Record(4, (Field("key", "u32", 0, 1),))
MAPS = {
    "calls": Map("calls", "percpu_array", KEY, 512),
    "elsewhere": Map("elsewhere", "percpu_hash", KEY, 64),
}
ENUMS = {"KIND_EXIT": 2, "HOW_OK": 0}


def parse(text: str = TEXT) -> Probe:
    return parse_declaration(text, "starts/starts.yaml", "starts")


def problems(
    probe: Probe,
    record: Record | None = EVENT,
    maps: dict[str, Map] = MAPS,
    enums: dict[str, int] = ENUMS,
    unfit: dict[str, str] | None = None,
) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        resolve.resolve(probe, CFacts(record, maps, enums, unfit or {}))
    return list(map(str, caught.value.problems))


def test_constants_become_numbers_and_units_factors() -> None:
    assert resolve.resolve(parse(), CFacts(EVENT, MAPS, ENUMS)) == (
        manifest.ResolvedMetric(
            name="probed_age_seconds",
            type="histogram",
            help="Ages.",
            maps=(),
            when={"kind": 2},
            labels=(
                manifest.ResolvedLabel("comm", "comm", "comm", {}),
                manifest.ResolvedLabel("how", "how", "enum", {0: "ok", -1: "bad"}),
            ),
            value="age_ns",
            factor=1e-9,
            bounds=(0.5, 1.0),
        ),
        manifest.ResolvedMetric(
            name="probed_calls_total",
            type="counter",
            help="Calls.",
            maps=("calls", "elsewhere"),
            when={},
            labels=(manifest.ResolvedLabel("syscall", "key", "syscall", {}),),
            value=None,
            factor=1.0,
            bounds=(),
        ),
    )


def test_budgets_rules_and_texts_go_to_the_manifest() -> None:
    rules = "[{match: a, replace: b, parts: true}, {match: c, drop: true}]"
    label = f"{{field: comm, decoder: map, texts: {{bash: shell}}, fold: {rules}}}"
    text = TEXT.replace("{field: comm, decoder: comm}", label).replace("help: Ages.", "help: Ages.\n    series: 7")
    age, calls = resolve.resolve(parse(text), CFacts(EVENT, MAPS, ENUMS))
    fold = (manifest.ResolvedFoldRule("a", "b", parts=True), manifest.ResolvedFoldRule("c", None))
    assert age.labels[0] == manifest.ResolvedLabel("comm", "comm", "map", {}, {"bash": "shell"}, fold)
    assert (age.budget, age.idle_seconds) == (7, 3600.0)
    assert (calls.budget, calls.idle_seconds) == (1000, 3600.0)


GAUGES = """\
description: Levels.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
metrics:
  probed_depth:
    type: gauge
    help: Depth.
    maps: [depth]
  probed_cached_bytes:
    type: gauge
    help: Cached memory.
    maps: [cached_kib]
    labels:
      number: {field: key, decoder: integer}
  probed_age_seconds:
    type: gauge
    help: Age.
    maps: [levels, elsewhere]
    value: age_ms
"""
LEVEL = Record(16, (Field("age_ms", "u64", 0, 1), Field("name", "char", 8, 8)))
GAUGE_MAPS = {
    "depth": Map("depth", "percpu_array", KEY, 1, value=Record(8, (Field("value", "s64", 0, 1),))),
    "cached_kib": Map("cached_kib", "hash", KEY, 64, value=Record(4, (Field("value", "s32", 0, 1),))),
    "levels": Map("levels", "hash", KEY, 64, value=LEVEL),
    "elsewhere": Map("elsewhere", "array", KEY, 8, value=LEVEL),
}


def test_a_gauge_shows_a_scalar_or_a_member_in_the_units_of_map_or_member() -> None:
    metrics = resolve.resolve(parse(GAUGES), CFacts(None, GAUGE_MAPS, {}))
    assert [(metric.type, metric.value, metric.factor) for metric in metrics] == [
        ("gauge", "value", 1.0),
        ("gauge", "value", 1024.0),
        ("gauge", "age_ms", 1e-3),
    ]


ROWS = """\
description: Living threads.
programs:
  each_task: {iterator: task}
metrics:
  probed_threads:
    type: gauge
    help: Threads.
    rows: [each_task]
    when: {kind: KIND_EXIT}
    labels:
      comm: {field: comm, decoder: comm}
  probed_age_seconds:
    type: gauge
    help: Sum of the threads' ages.
    rows: [each_task]
    value: age_ms
"""


def test_a_gauge_of_rows_counts_them_or_adds_up_a_member_in_the_units_of_the_member() -> None:
    fields = (Field("age_ms", "u64", 0, 1), Field("comm", "char", 8, 16), Field("kind", "u32", 24, 1))
    facts = CFacts(None, enums=ENUMS, row=Record(32, fields))
    threads, ages = resolve.resolve(parse(ROWS), facts)
    assert (threads.rows, threads.when, threads.value, threads.factor) == (("each_task",), {"kind": 2}, None, 1.0)
    assert (ages.rows, ages.when, ages.value, ages.factor) == (("each_task",), {}, "age_ms", 1e-3)
    assert threads.labels[0].field == "comm"


def test_a_gauge_reads_no_map_with_recent_counts() -> None:
    maps = GAUGE_MAPS | {"depth": Map("depth", "percpu_hash", KEY, 64, recent=8)}
    assert problems(parse(GAUGES), None, maps, {}) == [
        "starts/starts.yaml:8: metrics.probed_depth.maps.0: map 'depth_recent' has counts that map 'depth' is still to "
        "get; a gauge needs a map without"
    ]


def test_a_counter_reads_no_map_of_values() -> None:
    elsewhere = Map("elsewhere", "percpu_hash", KEY, 64, value=LEVEL)
    assert problems(parse(), maps=MAPS | {"elsewhere": elsewhere}) == [
        "starts/starts.yaml:18: metrics.probed_calls_total.maps.1: map 'elsewhere' cannot be read: its values are "
        "structs (members: age_ms, name), not u64"
    ]


HISTOGRAM = """\
description: Waits.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
metrics:
  probed_wait_seconds:
    type: histogram
    help: Waits.
    maps: [wait_us]
    buckets: {linear: {first: 1ms, width: 1ms, count: 2}}
    labels:
      comm: {field: comm, decoder: comm}
"""
BUCKET_KEY = Record(20, (Field("comm", "char", 0, 16), Field("bucket", "u32", 16, 1)))


def test_a_histogram_of_a_map_has_the_unit_of_the_map_and_observes_no_field() -> None:
    maps = {"wait_us": Map("wait_us", "percpu_hash", BUCKET_KEY, 64, value=manifest.BUCKET)}
    (metric,) = resolve.resolve(parse(HISTOGRAM), CFacts(None, maps, {}))
    assert (metric.maps, metric.value, metric.factor, metric.bounds) == (("wait_us",), None, 1e-6, (0.001, 0.002))


def test_a_map_of_buckets_has_sums_and_a_number_in_its_key() -> None:
    said = problems(parse(HISTOGRAM), None, {"wait_us": Map("wait_us", "percpu_hash", KEY, 64)}, {})
    assert [line.partition(": metrics.probed_wait_seconds.")[2] for line in said] == [
        "maps.0: map 'wait_us' has no sums for a histogram: its values are u64; make them 'struct histogram_bucket'",
        "maps.0: the key of map 'wait_us' has no bucket (members: key); make it a struct with 'u32 bucket', "
        "and the map a hash",
        "labels.comm.field: field 'comm' is not in the key of map 'wait_us' (fields: key)",
    ]


@pytest.mark.parametrize(("kind", "count"), [("u32", 1), ("char", 16)])
def test_an_address_is_a_u32_or_16_bytes(kind: manifest.FieldType, count: int) -> None:
    record = Record(24, (*EVENT.fields, Field("peer", kind, 32, count)))
    probe = parse(TEXT.replace("comm: {field: comm, decoder: comm}", "peer: {field: peer, decoder: ip}"))
    assert resolve.resolve(probe, CFacts(record, MAPS, ENUMS))[0].labels[0].decoder == "ip"


@pytest.mark.parametrize(("kind", "count"), [("u64", 1), ("u32", 8), ("char", 64)])
def test_a_stack_is_an_array_of_u64(kind: manifest.FieldType, count: int) -> None:
    probe = parse(TEXT.replace("comm: {field: comm, decoder: comm}", "stack: {field: stack, decoder: kernel_stack}"))
    stacked = Record(96, (*EVENT.fields, Field("stack", "u64", 32, 8)))
    assert resolve.resolve(probe, CFacts(stacked, MAPS, ENUMS))[0].labels[0].decoder == "kernel_stack"
    (said,) = problems(probe, Record(96, (*EVENT.fields, Field("stack", kind, 32, count))))
    assert "labels.stack.field: decoder 'kernel_stack' reads u64[N], but field 'stack' is" in said
    assert said.endswith("make it 'u64 stack[N]', and call READ_KERNEL_STACK() in the program")


def test_no_other_decoder_reads_an_array_of_integers() -> None:
    probe = parse(TEXT.replace("comm: {field: comm, decoder: comm}", "stack: {field: stack, decoder: hex}"))
    (said,) = problems(probe, Record(96, (*EVENT.fields, Field("stack", "u64", 32, 8))))
    assert said.endswith("decoder 'hex' reads integers, but field 'stack' is u64[8]")


def test_a_ring_without_struct_event_is_one_problem_and_not_one_for_each_field() -> None:
    assert problems(parse(), record=None) == [
        "starts/starts.yaml:4: ring: the C has no 'struct event' for the ring to carry; define it, or remove the ring"
    ]


def test_all_that_the_c_contradicts_is_said_at_once() -> None:
    text = TEXT.replace("value: age_ns", "value: ages_ns").replace("{kind: KIND", "{kin: KIND")
    said = problems(parse(text), maps={"calls": MAPS["calls"]}, enums={"KIND_EXIT": 2})
    assert [line.partition(": ")[2] for line in said] == [
        "metrics.probed_age_seconds.when.kin: field 'kin' is not in 'struct event' "
        "(fields: age_ns, comm, kind, how); did you mean 'kind'?",
        "metrics.probed_age_seconds.value: field 'ages_ns' is not in 'struct event' "
        "(fields: age_ns, comm, kind, how); did you mean 'age_ns'?",
        "metrics.probed_age_seconds.labels.how.table.HOW_OK: the C has no enum constant 'HOW_OK'",
        "metrics.probed_calls_total.maps.1: the C has no map 'elsewhere' of counts (there: calls)",
    ]


def test_maps_whose_counts_are_added_up_have_keys_of_one_type() -> None:
    wide = Map("elsewhere", "percpu_hash", Record(8, (Field("key", "u64", 0, 1),)), 64)
    assert problems(parse(), maps=MAPS | {"elsewhere": wide}) == [
        "starts/starts.yaml:20: metrics.probed_calls_total.labels.syscall.field: "
        "field 'key' is u32 in the key of map 'calls' but u64 in the key of map 'elsewhere'; "
        "give it one type, for their counts are added up"
    ]


def test_a_map_that_cannot_be_read_says_why() -> None:
    calls = {"calls": MAPS["calls"]}
    assert problems(parse(), maps=calls, unfit={"elsewhere": "its values are u32, not u64"}) == [
        "starts/starts.yaml:18: metrics.probed_calls_total.maps.1: "
        "map 'elsewhere' cannot be read: its values are u32, not u64"
    ]


@pytest.mark.parametrize(("number", "fits"), [(-129, False), (-128, True), (127, True), (128, False)])
def test_a_number_must_fit_its_field(number: int, fits: bool) -> None:
    probe = parse(TEXT.replace("-1: bad", f"{number}: bad"))
    if fits:
        assert resolve.resolve(probe, CFacts(EVENT, MAPS, ENUMS))[0].labels[1].table[number] == "bad"
    else:
        assert f"{number} never occurs: field 'how' is s8, -128 to 127" in problems(probe)[0]


def test_two_constants_of_one_number_are_refused() -> None:
    probe = parse(TEXT.replace("-1: bad", "HOW_FINE: fine"))
    assert "HOW_FINE (0) has the text 'ok' already" in problems(probe, enums=ENUMS | {"HOW_FINE": 0})[0]


def test_programs_of_yaml_and_c_are_the_same() -> None:
    assert resolve.check_programs(parse(), ["on_exec"]) == []
    assert list(map(str, resolve.check_programs(parse(), ["on_exit"]))) == [
        "starts/starts.yaml:2: programs: program 'on_exit' of the C is attached nowhere; "
        "add 'on_exit: {raw_tracepoint: …}'",
        "starts/starts.yaml:3: programs.on_exec: the C has no program 'on_exec' (programs there: on_exit); "
        "did you mean 'on_exit'?",
    ]


WEIGHTED = TEXT.replace("{bytes: 1 MiB}", "{bytes: 1 MiB, slots: 16}")


def with_weight(event: Record) -> Record:
    moved = tuple(Field(each.name, each.type, each.offset + 24, each.count) for each in event.fields)
    return Record(24 + event.size, manifest.WEIGHT_FIELDS + moved)


def test_slots_need_an_event_with_a_weight() -> None:
    weighted, plain = CFacts(with_weight(EVENT), MAPS, ENUMS), CFacts(EVENT, MAPS, ENUMS)
    assert resolve.resolve(parse(WEIGHTED), weighted) == resolve.resolve(parse(), plain)
    (problem,) = problems(parse(WEIGHTED))
    assert problem == (
        "starts/starts.yaml:4: ring.slots: the C's 'struct event' does not begin with 'WEIGHT;'; "
        "add it and call count_event(), or remove 'slots'"
    )


def test_the_weight_of_an_event_is_no_field_of_a_metric() -> None:
    text = WEIGHTED.replace("value: age_ns", "value: weight_ns")
    (problem,) = problems(parse(text), with_weight(EVENT))
    assert "field 'weight_ns' is not in 'struct event' (fields: age_ns, comm, kind, how)" in problem


def test_a_kernel_enum_goes_to_the_manifest_as_a_table() -> None:
    text = TEXT.replace("decoder: enum, table: {HOW_OK: ok, -1: bad}", "decoder: kernel_enum, enum: how")
    probe = with_kernel_enums(parse(text), {"how": {0: "HOW_OK", 1 << 16: "HOW_MASK"}})
    age = resolve.resolve(probe, CFacts(EVENT, MAPS, ENUMS))[0]
    assert age.labels[1] == manifest.ResolvedLabel("how", "how", "kernel_enum", {0: "HOW_OK", 1 << 16: "HOW_MASK"})


TRACE = """\
description: Starts of programs.
programs:
  on_exec: {raw_tracepoint: sched_process_exec}
ring: {bytes: 1 MiB}
columns:
  how: {field: how, decoder: enum, table: {HOW_OK: ok, -1: bad}}
  comm: {field: comm, decoder: comm}
"""


def test_a_columns_table_has_the_numbers_of_the_c() -> None:
    how, comm = resolve.resolve_columns(parse(TRACE), EVENT, ENUMS)
    assert (how.table, comm.table) == ({0: "ok", -1: "bad"}, {})


def test_a_constant_of_a_column_that_the_c_lacks_is_named_with_a_near_one() -> None:
    with pytest.raises(DeclarationError) as raised:
        resolve.resolve_columns(parse(TRACE.replace("HOW_OK", "HOW_OKAY")), EVENT, ENUMS)
    (problem,) = raised.value.problems
    assert "starts.yaml:6: columns.how.table.HOW_OKAY: the C has no enum constant 'HOW_OKAY'; did you" in str(problem)
