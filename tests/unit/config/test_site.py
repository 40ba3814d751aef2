# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import pytest

from probed.config import site
from probed.config.declaration.probe import Probe, parse_declaration
from probed.config.evidence.options import EvidenceOptions
from probed.config.folding.fold_rules import FoldRule
from probed.config.overrides import Overrides, Series, SiteDefaults, check_folded, override, with_defaults
from probed.config.site import RuntimeFolders, Site
from probed.errors import DeclarationError
from probed.ipc.evidence_messages import EvidenceSettings
from probed.ipc.manifest import WEIGHT_FIELDS, Field, Map, Record
from probed.loader.resolve import CFacts, resolve
from probed.webconfig.listen_address import Address
from probed.webconfig.options import WebOptions

ROOT = Path(__file__).parents[3]
DEFAULT = ROOT / "config/probed.yaml"
SHIPPED = {"cgroups", "process", "open_failures", "syscalls"}


def parse(text: str) -> Site:
    return site.parse(text, "/etc/probed/probed.yaml")


def shipped(name: str) -> Probe:
    path = ROOT / f"probes/{name}/{name}.yaml"
    return parse_declaration(path.read_text(), str(path), name)


def overridden(site_text: str, name: str) -> Probe:
    wanted = parse(f"probe_directories: [probes]\nprobes:\n  {name}:\n{site_text}")
    return override(shipped(name), wanted.probes[name], wanted.defaults, wanted.source)


def test_an_absent_key_has_its_default() -> None:
    wanted = parse("probe_directories: [probes]\nprobes: {process: , syscalls: {}}")
    assert wanted.web.listen_addresses == (Address("127.0.0.1", 9788),)
    assert wanted.web.telemetry_path == "/metrics"
    assert wanted.exporter.user is None
    assert (wanted.log.level, wanted.log.format) == ("info", "logfmt")
    assert list(wanted.probes) == ["process", "syscalls"]


@pytest.mark.parametrize(
    "user", ["probed", "Probed", "j.doe", "host1$", "EXAMPLE\\\\probed", "probed@example.org", "_p", "é"]
)
def test_the_exporters_user_may_have_any_name_that_systemd_takes(user: str) -> None:
    wanted = parse(f'probe_directories: [probes]\nprobes: {{process: }}\nexporter: {{user: "{user}"}}')
    assert wanted.exporter.user == user.replace("\\\\", "\\")


@pytest.mark.parametrize("user", ["", "1000", ".", "..", "-p", " p", "p ", "a:b", "a/b", "a\\n", "p" * 258])
def test_a_name_that_no_user_can_have_is_refused(user: str) -> None:
    with pytest.raises(DeclarationError, match="expected a user's name"):
        parse(f'probe_directories: [probes]\nprobes: {{process: }}\nexporter: {{user: "{user}"}}')


def test_folders_of_runtimes_are_absolute_and_none_by_default() -> None:
    text = "probe_directories: [probes]\nprobes: {process: }\n"
    assert parse(text).container_names == RuntimeFolders()
    folders = parse(f"{text}container_names: {{docker: [/var/lib/docker]}}").container_names
    assert folders == RuntimeFolders(docker=("/var/lib/docker",))
    with pytest.raises(DeclarationError, match="expected an absolute path"):
        parse(f"{text}container_names: {{podman: [storage]}}")


EVIDENCE_SITE = "probe_directories: [probes]\nprobes: {process: }\n"


def test_evidence_is_on_by_default() -> None:
    evidence = parse(EVIDENCE_SITE).evidence
    assert isinstance(evidence, EvidenceOptions)
    assert evidence.settings() == EvidenceSettings(
        {"starts": 100.0, "failed_opens": 1000.0}, rows=50, interval=600.0, units=5, redact=(), redact_defaults=True
    )


@pytest.mark.parametrize("off", ["off", '"off"', "'off'"])
def test_evidence_is_off_where_the_site_says_so(off: str) -> None:
    assert parse(f"{EVIDENCE_SITE}evidence: {off}").evidence == "off"


def test_a_site_changes_single_keys_of_evidence() -> None:
    evidence = parse(f"{EVIDENCE_SITE}evidence: {{rules: {{starts: 7}}, redact: ['card [0-9]+']}}").evidence
    assert isinstance(evidence, EvidenceOptions)
    assert evidence.settings() == EvidenceSettings(
        {"starts": 7.0, "failed_opens": 1000.0}, rows=50, interval=600.0, units=5, redact=("card [0-9]+",),
        redact_defaults=True,
    )  # fmt: skip


def test_probe_directories_are_relative_to_the_file() -> None:
    wanted = parse("probe_directories: [probes, ../lib/probes, /opt/probes]\nprobes: {process: }")
    assert wanted.directories == ("/etc/probed/probes", "/etc/lib/probes", "/opt/probes")


def test_overrides_change_ring_buckets_and_labels() -> None:
    probe = overridden(
        "    ring: {bytes: 8 MiB}\n"
        "    metrics:\n"
        "      probed_process_lifetime_seconds:\n"
        "        buckets: [1, 10]\n"
        "        drop_labels: [exit]\n"
        "        rename_labels: {comm: program}\n",
        "process",
    )
    assert probe.ring is not None
    assert probe.ring.bytes == 8 << 20
    lifetime = probe.metrics["probed_process_lifetime_seconds"]
    assert lifetime.buckets == (1.0, 10.0)
    assert list(lifetime.labels) == ["unit", "program"]
    assert lifetime.labels["program"].field == "comm"


LIFETIME = "probed_process_lifetime_seconds"


@pytest.mark.parametrize(
    ("site_form", "changes", "buckets", "schema"),
    [
        ("both", "{}", 16, 3),
        ("classic", "{}", 16, None),
        ("native", "{}", 0, 3),
        ("native", "{histogram_form: both}", 16, 3),
        ("native", "{histogram_form: classic}", 16, None),
        ("both", "{histogram_form: native, native: {factor: 1.01}}", 0, 7),
        ("native", "{buckets: [1]}", 0, 3),
        ("classic", "{buckets: [1], native: {factor: 2}}", 1, None),
    ],
)
def test_a_site_chooses_the_form_of_histograms(site_form: str, changes: str, buckets: int, schema: int | None) -> None:
    text = f"probe_directories: [p]\nprobes: {{process: {{metrics: {{{LIFETIME}: {changes}}}}}}}\n"
    wanted = parse(f"{text}histogram_form: {site_form}\n")
    metric = override(shipped("process"), wanted.probes["process"], wanted.defaults, wanted.source).metrics[LIFETIME]
    assert (len(metric.bounds), metric.native.schema if metric.native else None) == (buckets, schema)


def test_a_histogram_with_one_form_has_it_whatever_the_site_s_form() -> None:
    text = (ROOT / "tests/soak/probes/ends/ends.yaml").read_text()
    probe = parse_declaration(text, "ends.yaml", "ends")
    for form in ("native", "classic"):
        wanted = parse(f"probe_directories: [p]\nprobes: {{ends: }}\nhistogram_form: {form}\n")
        changed = override(probe, wanted.probes["ends"], wanted.defaults, wanted.source)
        assert changed.metrics["probed_ends_seconds"].buckets == probe.metrics["probed_ends_seconds"].buckets


def test_a_key_without_override_stays() -> None:
    assert overridden("    metrics: {}\n", "process") == with_defaults(shipped("process"), SiteDefaults())


def test_two_labels_can_change_names_with_each_other() -> None:
    execs = overridden(
        "    metrics: {probed_process_execs_total: {rename_labels: {comm: parent, parent: comm}}}\n",
        "process",
    ).metrics["probed_process_execs_total"]
    fields = {name: label.field for name, label in execs.labels.items()}
    assert fields == {"unit": "cgroup", "parent": "comm", "comm": "parent"}


def test_a_renamed_label_is_still_found_in_its_declaration() -> None:
    probe = overridden("    metrics: {probed_process_execs_total: {rename_labels: {comm: program}}}\n", "process")
    label = probe.metrics["probed_process_execs_total"].labels["program"]
    assert probe.source.line(label.at) == shipped("process").source.lines[label.at]


UNIT_LABELS = "unit_labels: {kubernetes_pod: pod, comm: namespace}\n"


def test_a_site_adds_labels_to_every_metric_with_a_unit() -> None:
    wanted = parse(
        f"probe_directories: [p]\nprobes: {{process: , syscalls: }}\n{UNIT_LABELS}"
        "fold: {comm: [{match: a, drop: true}]}\n"
    )
    process = with_defaults(shipped("process"), wanted.defaults)
    forks, execs = (process.metrics[f"probed_process_{name}_total"].labels for name in ("forks", "execs"))
    assert {name: (label.field, label.decoder) for name, label in forks.items()} == {
        "unit": ("cgroup", "cgroup_unit"), "kubernetes_pod": ("cgroup", "pod"), "comm": ("cgroup", "namespace"),
    }  # fmt: skip
    assert list(execs) == ["unit", "comm", "parent", "kubernetes_pod"]
    assert execs["comm"].decoder == "comm"
    assert forks["comm"].fold[0].drop
    assert [rule.replace for rule in forks["kubernetes_pod"].fold] == [r"\1"] * 3
    syscalls = with_defaults(shipped("syscalls"), wanted.defaults)
    assert all("kubernetes_pod" not in metric.labels for metric in syscalls.metrics.values())


def test_a_metric_without_its_unit_has_no_label_beside_it() -> None:
    text = "    metrics: {probed_process_forks_total: {drop_labels: [unit]}}\n" + UNIT_LABELS
    assert overridden(text, "process").metrics["probed_process_forks_total"].labels == {}


def test_a_folded_label_beside_unit_is_known() -> None:
    wanted = parse(
        f"probe_directories: [p]\nprobes: {{process: }}\n{UNIT_LABELS}"
        "fold: {kubernetes_pod: [{match: a, drop: true}]}\n"
    )
    assert check_folded(wanted.defaults, [with_defaults(shipped("process"), wanted.defaults)], wanted.source) == []


def test_a_site_adds_labels_of_fields_that_the_probe_has() -> None:
    probe = overridden(
        "    metrics:\n"
        "      probed_process_execs_total:\n"
        "        rename_labels: {unit: service_unit}\n"
        "        add_labels:\n"
        "          pod_uid: {field: cgroup, decoder: pod_uid}\n",
        "process",
    )
    labels = probe.metrics["probed_process_execs_total"].labels
    assert {name: (label.field, label.decoder) for name, label in labels.items()} == {
        "service_unit": ("cgroup", "cgroup_unit"), "comm": ("comm", "comm"), "parent": ("parent", "comm"),
        "pod_uid": ("cgroup", "pod_uid"),
    }  # fmt: skip


def test_an_added_label_that_the_c_has_no_field_for_is_said_at_the_site_s_line() -> None:
    probe = overridden(
        "    metrics:\n"
        "      probed_open_failures_total:\n"
        "        add_labels:\n"
        "          pod: {field: cgruop, decoder: pod_uid}\n",
        "open_failures",
    )
    label = probe.metrics["probed_open_failures_total"].labels["pod"]
    fields = Field("cgroup", "u64", 24, 1), Field("errno", "u32", 32, 1), Field("comm", "char", 36, 16)
    event = Record(56, (*WEIGHT_FIELDS, *fields))
    layout = Map("opens", "percpu_hash", Record(8, (Field("cgroup", "u64", 0, 1),)), 1)
    with pytest.raises(DeclarationError) as caught:
        resolve(probe, CFacts(event, {"opens": layout}))
    (problem,) = caught.value.problems
    assert (problem.path, problem.key) == ("/etc/probed/probed.yaml", ".".join(map(str, (*label.at, "field"))))
    assert problem.line > 1
    assert "did you mean 'cgroup'" in problem.text


def test_the_default_configuration_runs_the_shipped_probes() -> None:
    wanted = site.parse(DEFAULT.read_text(), str(DEFAULT))
    assert set(wanted.probes) == SHIPPED
    assert [Path(directory).name for directory in wanted.directories] == ["probes"]


def test_the_default_configuration_shows_the_defaults() -> None:
    wanted = site.parse(DEFAULT.read_text(), str(DEFAULT))
    assert (wanted.web, wanted.exporter, wanted.log) == (WebOptions(), site.ExporterOptions(), site.LogOptions())
    assert wanted.defaults == SiteDefaults()


def test_the_examples_in_the_default_configuration_are_right() -> None:
    text = re.sub(r"^( +)# ( +\w+: | *user: )", r"\1\2", DEFAULT.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^( +)# ( +\w+:)( +#.*)?$", r"\1\2", text, flags=re.MULTILINE)
    text = re.sub(r"^# (fold:| +unit:| +comm:| +- \{)", r"\1", text, flags=re.MULTILINE)
    wanted = site.parse(text, str(DEFAULT))
    assert wanted.exporter.user == "probed"
    assert wanted.fold["unit"][0] == FoldRule(r"getty@.*\.service", "getty@*.service")
    for name, overrides in wanted.probes.items():
        changed = override(shipped(name), overrides, wanted.defaults, wanted.source)
        assert (changed == with_defaults(shipped(name), wanted.defaults)) == (name in ("cgroups", "syscalls"))


PROBE = """\
description: A probe.
programs: {on_exit: {raw_tracepoint: sched_process_exit}}
ring: {bytes: 4 KiB}
metrics:
  probed_one_total:
    type: counter
    help: One.
    series: 20
    labels:
      comm: {field: comm, decoder: comm, fold: [{match: declared, drop: true}]}
      other: {field: comm, decoder: comm}
  probed_two_total:
    type: counter
    help: Two.
    idle_seconds: 60
"""


def changed(site_text: str, metrics: str = "{}") -> Probe:
    """Return a small probe as a site changes it: `metrics` for it alone, `site_text` for all."""
    wanted = parse(f"probe_directories: [probes]\nprobes: {{small: {{metrics: {metrics}}}}}\n{site_text}")
    probe = parse_declaration(PROBE, "small/small.yaml", "small")
    return override(probe, wanted.probes["small"], wanted.defaults, wanted.source)


def budgets(probe: Probe) -> list[tuple[int | None, float | None]]:
    return [(metric.series, metric.idle_seconds) for metric in probe.metrics.values()]


def rules(probe: Probe, label: str) -> list[str]:
    return [rule.match for rule in probe.metrics["probed_one_total"].labels[label].fold]


def test_a_metric_s_budget_is_the_override_s_then_the_declaration_s_then_the_site_s() -> None:
    assert budgets(changed("")) == [(20, 3600), (1000, 60)]
    assert budgets(changed("series: {budget: 500, idle_seconds: 90}")) == [(20, 90), (500, 60)]
    own = "{probed_one_total: {series: 7}, probed_two_total: {series: 8, idle_seconds: 9}}"
    assert budgets(changed("series: {budget: 500}", own)) == [(7, 3600), (8, 9)]


def test_a_label_s_rules_are_the_site_s_then_the_declaration_s_then_the_defaults() -> None:
    probe = changed("fold: {comm: [{match: wanted, replace: x}]}")
    assert rules(probe, "comm")[:3] == ["wanted", "declared", "kworker/.*"]
    assert rules(probe, "other") == []
    assert rules(changed("fold_defaults: false"), "comm") == ["declared"]


def test_a_renamed_label_is_folded_by_its_declared_name() -> None:
    probe = changed(
        "fold: {comm: [{match: wanted, replace: x}]}",
        "{probed_one_total: {rename_labels: {comm: program, other: comm}}}",
    )
    assert rules(probe, "program")[0] == "wanted"
    assert rules(probe, "comm") == []


def test_without_a_site_s_word_there_are_1000_series_for_an_hour() -> None:
    assert SiteDefaults() == SiteDefaults(Series(1000, 3600.0), {}, True)
    assert budgets(override(shipped("process"), Overrides(()), SiteDefaults(), shipped("process").source)) == [
        (1000, 3600.0)
    ] * len(shipped("process").metrics)


KERNEL_HISTOGRAM = """\
description: A probe.
programs: {on_exit: {raw_tracepoint: sched_process_exit}}
metrics:
  probed_wait_seconds:
    type: histogram
    help: Waits.
    maps: [wait_ns]
    buckets: {exponential: {first: 1us, factor: 2, count: 27}}
    labels: {comm: {field: comm, decoder: comm}}
"""


def test_a_site_changes_no_bucket_that_the_c_numbers_and_adds_no_native_form() -> None:
    wanted = parse(
        "probe_directories: [probes]\nprobes: {waits: {metrics: {probed_wait_seconds:\n"
        "  {buckets: [1, 2], native: {factor: 1.1}, drop_labels: [comm]}}}}"
    )
    probe = parse_declaration(KERNEL_HISTOGRAM, "waits/waits.yaml", "waits")
    with pytest.raises(DeclarationError) as caught:
        override(probe, wanted.probes["waits"], wanted.defaults, wanted.source)
    assert [(problem.key.rpartition(".")[2], problem.text) for problem in caught.value.problems] == [
        ("buckets", "the probe's C numbers the buckets of 'probed_wait_seconds' in the kernel; remove this key"),
        (
            "native",
            "'probed_wait_seconds' is counted in the kernel by classic bucket, and has no native form; remove this key",
        ),
    ]


def test_a_site_without_native_forms_and_one_with_these_alone_keep_a_histogram_of_the_kernel() -> None:
    probe = parse_declaration(KERNEL_HISTOGRAM, "waits/waits.yaml", "waits")
    for form in ("native", "classic"):
        wanted = parse(f"probe_directories: [probes]\nprobes: {{waits: }}\nhistogram_form: {form}")
        metric = override(probe, wanted.probes["waits"], wanted.defaults, wanted.source).metrics["probed_wait_seconds"]
        assert (len(metric.bounds), metric.native, metric.factor) == (27, None, 1e-9)
