# SPDX-License-Identifier: Apache-2.0
"""The dashboard *probed itself*: accuracy of the figures, and cost."""

from __future__ import annotations

from boards.frame import OWN_ALERTS, Board, Row, firing, since
from boards.panels import ANY_IS_BAD, CALM, Column, Panel, coloured, graph, listing, narrow, number, states, total
from boards.promql import HOST, rate, rise, share

LOST = f"probed_events_lost_total{{{HOST}}}"
EMITTED = f"probed_events_emitted_total{{{HOST}}}"
DELIVERED = f"probed_events_delivered_total{{{HOST}}}"
DRAINS = f"probed_drains_total{{{HOST}}}"
MISSED = f"probed_probe_missed_runs_total{{{HOST}}}"
EXPIRED = f"probed_series_expired_total{{{HOST}}}"
DRAIN_SECONDS = f"probed_drain_seconds_total{{{HOST}}}"
COLLECTIONS = f"probed_collections_total{{{HOST}}}"
COLLECTION_SECONDS = f"probed_collection_seconds_total{{{HOST}}}"
LOAD_FAILURES = f"probed_probe_load_failures_total{{{HOST}}}"
OVERFLOWED = f"probed_series_overflowed_total{{{HOST}}}"
ALL_UP: tuple[tuple[float | None, str], ...] = ((None, "red"), (1, "green"))

PLACE = "{{instance}}"
PROBE = "{{instance}} {{probe}}"


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="probed-itself",
        title="probed itself",
        text="Accuracy of probed's figures: probes, losses, series; and the cost of probed.",
        alerts=OWN_ALERTS,
        rows=[
            Row("", [*_accuracy(), *_states(), *_losses()]),
            Row("Series", _series()),
            Row("Cost", _cost()),
            Row("Details", _details()),
        ],
    )


def _accuracy() -> list[Panel]:
    return [
        number("Instances up", "Share of the targets that answer.", f"avg(up{{{HOST}}})", "percentunit", ALL_UP),
        number(
            "Probes up", "Share of probes that are loaded and attached.",
            f"avg(probed_probe_up{{{HOST}}})", "percentunit", ALL_UP,
        ),
        total(
            "Events lost",
            "Lost events in the time range. All other figures are too low by these events.",
            rise(LOST), "short", ANY_IS_BAD,
        ),
        total(
            "Past the budget",
            "Events in the time range that count as 'other', because the metric's budget was full.",
            rise(OVERFLOWED), "short", ((None, "green"), (1, "orange")),
        ),
        number(
            "Configuration", "Share of the instances with a valid configuration at the last attempt.",
            f"avg(probed_config_last_reload_successful{{{HOST}}})", "percentunit", ALL_UP,
        ),
        total("Alerts firing", "Firing alerts about probed itself.", firing(OWN_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _states() -> list[Panel]:
    return [
        states("Instances", "Targets that answer a scrape.", f"up{{{HOST}}}", PLACE).span(9),
        states("Probes", "Probes that are loaded and attached.", f"probed_probe_up{{{HOST}}}", PROBE).span(8),
        since(OWN_ALERTS, span=7),
    ]


def _losses() -> list[Panel]:
    return [
        coloured(
            narrow(graph(
                "Events",
                "Emitted events are the sum of delivered, discarded and lost events.",
                "cps",
                {
                    "emitted": rate(EMITTED),
                    "delivered": rate(DELIVERED),
                    "discarded": rate(f"probed_events_discarded_total{{{HOST}}}"),
                    "lost": rate(LOST),
                },
                axis="events a second",
            ), 9),
            {"emitted": "blue", "delivered": "green", "discarded": "yellow", "lost": "red"},
        ),
        narrow(graph(
            "Lost events, by probe and reason",
            "ring_full: the probe's ring is too small for the storm (config/probed.yaml: ring). "
            "map_full: a kernel map is too small. corrupt: the ring held an invalid record.",
            "cps", {"{{probe}} {{reason}}": rate(LOST, "probe, reason")}, axis="events a second",
        ), 8),
        narrow(graph(
            "Highest fill of the rings",
            "The highest share of the ring in use within the last five minutes; at 100 % the probe loses events.",
            "percentunit",
            {PROBE: f"probed_ring_fill_max_bytes{{{HOST}}} / probed_ring_bytes{{{HOST}}}"}, axis="of the ring",
        ), 7),
        narrow(graph(
            "Skipped runs",
            "Runs that the kernel skipped, because the program's hook was running on the CPU already. No program saw "
            "these events, so lost events do not include them.",
            "cps",
            {"{{instance}} {{probe}} {{program}}": f"{rate(MISSED, 'instance, probe, program')}"},
            axis="runs a second",
        ), 8),
        narrow(graph(
            "Unaccounted events",
            "The difference between the count of the probe's programs and the records in the ring. Should be 0.",
            "short", {PROBE: f"probed_events_unaccounted{{{HOST}}}"}, axis="events",
        ), 8),
        narrow(graph(
            "Lost notes",
            "Notes that a full map refused. Lifetimes then begin at the creation of the process instead of the exec.",
            "cps", {PROBE: f"{rate('probed_notes_lost_total', 'instance, probe')}"}, axis="notes a second",
        ), 8),
    ]  # fmt: skip


def _series() -> list[Panel]:
    return [
        graph(
            "Series, of their budgets",
            "Share of the budget (config/probed.yaml: series) that each metric uses. At 100 % new label sets count as "
            "'other'.",
            "percentunit",
            {"{{instance}} {{metric}}": f"probed_series{{{HOST}}} / probed_series_budget{{{HOST}}}"},
            axis="of the budget",
        ),
        listing(
            "Series and overflow",
            "Series and budget of each metric, events a second that count as 'other', and events a second that left "
            "the page with their series.",
            {"metric": "Metric"},
            [
                Column("Series", f"sum by (metric) (probed_series{{{HOST}}})", "short", bar=True),
                Column("Budget", f"sum by (metric) (probed_series_budget{{{HOST}}})", "short"),
                Column("Past the budget/s", rate(OVERFLOWED, "metric"), "cps"),
                Column("Left the page/s", rate(EXPIRED, "metric"), "cps"),
            ],
        ),
    ]  # fmt: skip


def _cost() -> list[Panel]:
    return [
        narrow(graph(
            "Processor time",
            "CPU time of the exporter, as a share of a core. The READMEs of the probes have the cost of the hooks for "
            "traced programs.",
            "percentunit", {PLACE: f"rate(process_cpu_seconds_total{{{HOST}}}[$__rate_interval])"}, axis="of a core",
        ), 8),
        narrow(graph(
            "Memory",
            "Resident memory of exporter and supervisor. Each ring counts twice in the exporter, which maps the ring "
            "twice.",
            "bytes",
            {
                "{{instance}} exporter": f"process_resident_memory_bytes{{{HOST}}}",
                "{{instance}} supervisor": f"probed_supervisor_resident_memory_bytes{{{HOST}}}",
            },
            axis="resident",
        ), 8),
        narrow(graph(
            "Scrape duration",
            "Seconds that Prometheus waited for the page.",
            "s", {PLACE: f"scrape_duration_seconds{{{HOST}}}"}, axis="duration",
        ), 8),
        narrow(graph(
            "Samples per scrape",
            "Samples on the page, the cost of this instance for Prometheus.",
            "short", {PLACE: f"scrape_samples_scraped{{{HOST}}}"}, axis="samples",
        ), 8),
        narrow(graph(
            "Drains",
            "Drains a second: at scrapes and at fill marks, rarely otherwise.",
            "cps", {PLACE: rate(DRAINS, "instance")}, axis="drains a second",
        ), 8),
        narrow(graph(
            "Events a drain",
            "Events per drain. The fewer events, the higher the cost of each.",
            "short", {PLACE: share(DELIVERED, DRAINS, "instance")},
            axis="events",
        ), 8),
        narrow(graph(
            "Time of a drain and of a collection",
            "Average time of the exporter to drain all rings, and then to read the kernel maps and collect the series "
            "of a page.",
            "s",
            {
                "{{instance}} drain": share(DRAIN_SECONDS, DRAINS, "instance"),
                "{{instance}} collection": share(COLLECTION_SECONDS, COLLECTIONS, "instance"),
            },
            axis="duration",
        ), 12),
        narrow(graph(
            "Age of the counts",
            "Time since each probe began to count. A changed probe begins at 0; a restart of the exporter or of probed "
            "does not.",
            "s", {PROBE: f"time() - probed_probe_start_time_seconds{{{HOST}}}"}, axis="age",
        ), 12),
    ]  # fmt: skip


def _details() -> list[Panel]:
    return [
        listing(
            "Versions", "Versions of probed and its libraries, by instance.",
            {"instance": "Instance", "version": "probed", "python": "Python", "bcc": "BCC", "kernel": "Kernel"},
            [Column("Since", f"1000 * {_started()}", "dateTimeFromNow")],
        ),
        listing(
            "Failed loads",
            "Failed attempts to load a probe, by reason, since probed started. The landing page (/) and the log have "
            "details.",
            {"instance": "Instance", "probe": "Probe", "reason": "Reason"},
            [Column("Failures", f"sum by (instance, probe, reason) ({LOAD_FAILURES})", "short")],
        ),
        graph(
            "Internal errors",
            "Scrapes without a probe's metrics, restarts of the exporter, control groups without a name.",
            "cps",
            {
                "scrapes without a probe": rate(f"probed_probe_collect_failures_total{{{HOST}}}"),
                "exporter restarts": rate(f"probed_exporter_restarts_total{{{HOST}}}"),
                "unknown control groups": rate(f"probed_unknown_cgroups_total{{{HOST}}}"),
            },
            axis="a second",
        ),
        number(
            "Oldest configuration",
            "Time since the last successful read of the configuration, of the oldest instance.",
            f"time() - min(probed_config_last_reload_success_timestamp_seconds{{{HOST}}})", "s", CALM,
        ).span(6).height(9),
        number(
            "File descriptors", "Share of the exporter's limit that is in use, of the highest instance.",
            f"max(process_open_fds{{{HOST}}} / process_max_fds{{{HOST}}})", "percentunit",
            ((None, "green"), (0.8, "red")),
        ).span(6).height(9),
    ]  # fmt: skip


def _started() -> str:
    versions = f"group_left (version, python, bcc, kernel) probed_build_info{{{HOST}}}"
    return f"process_start_time_seconds{{{HOST}}} * on (job, instance) {versions}"
