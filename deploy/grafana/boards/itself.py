# SPDX-License-Identifier: Apache-2.0
"""The dashboard *probed itself*: whether the figures can be believed, and what they cost."""

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
        text="Whether probed's figures can be believed, and what they cost.",
        alerts=OWN_ALERTS,
        rows=[
            Row("", [*_believable(), *_states(), *_losses()]),
            Row("Series", _series()),
            Row("Cost", _cost()),
            Row("Details", _details()),
        ],
    )


def _believable() -> list[Panel]:
    return [
        number("Instances up", "Share of the targets that answer.", f"avg(up{{{HOST}}})", "percentunit", ALL_UP),
        number(
            "Probes up", "Share of the probes that are loaded and attached.",
            f"avg(probed_probe_up{{{HOST}}})", "percentunit", ALL_UP,
        ),
        total(
            "Events lost",
            "Events of the period shown that are missing from the metrics. Every other figure is short by these.",
            rise(LOST), "short", ANY_IS_BAD,
        ),
        total(
            "Past the budget",
            "Events of the period shown that count as 'other', for their names had no series of their own.",
            rise(OVERFLOWED), "short", ((None, "green"), (1, "orange")),
        ),
        number(
            "Configuration", "Share of the instances whose last attempt to read their configuration succeeded.",
            f"avg(probed_config_last_reload_successful{{{HOST}}})", "percentunit", ALL_UP,
        ),
        total("Alerts firing", "How many alerts about probed itself fire now.", firing(OWN_ALERTS), "none", ANY_IS_BAD),
    ]  # fmt: skip


def _states() -> list[Panel]:
    return [
        states("Instances", "Which targets answer when they are scraped.", f"up{{{HOST}}}", PLACE).span(9),
        states("Probes", "Which probes are loaded and attached.", f"probed_probe_up{{{HOST}}}", PROBE).span(8),
        since(OWN_ALERTS, span=7),
    ]


def _losses() -> list[Panel]:
    return [
        coloured(
            narrow(graph(
                "Events",
                "What the probes had to report, what reached the metrics, what was lost: the first is the sum of "
                "the others.",
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
            "ring_full: the ring of the probe is too small for its storm (config/probed.yaml: ring). "
            "map_full: a map in the kernel is. corrupt: a record that was none.",
            "cps", {"{{probe}} {{reason}}": rate(LOST, "probe, reason")}, axis="events a second",
        ), 8),
        narrow(graph(
            "Highest fill of the rings",
            "The most of its ring that was in use at a moment of the last five minutes; at 100 % events are lost.",
            "percentunit",
            {PROBE: f"probed_ring_fill_max_bytes{{{HOST}}} / probed_ring_bytes{{{HOST}}}"}, axis="of the ring",
        ), 7),
        narrow(graph(
            "Runs that the kernel skipped",
            "The program's hook was running on that CPU already. No program saw these events, so they are not among "
            "the lost ones.",
            "cps",
            {"{{instance}} {{probe}} {{program}}": f"{rate(MISSED, 'instance, probe, program')}"},
            axis="runs a second",
        ), 12),
        narrow(graph(
            "Events not accounted for",
            "The difference between the count of the probe's programs and the records of its ring: always 0.",
            "short", {PROBE: f"probed_events_unaccounted{{{HOST}}}"}, axis="events",
        ), 12),
    ]  # fmt: skip


def _series() -> list[Panel]:
    return [
        graph(
            "Series, of their budgets",
            "How much of its budget of series (config/probed.yaml: series) each metric has. At 100 % newcomers "
            "count as 'other'.",
            "percentunit",
            {"{{instance}} {{metric}}": f"probed_series{{{HOST}}} / probed_series_budget{{{HOST}}}"},
            axis="of the budget",
        ),
        listing(
            "Series and what is past the budget",
            "How many series each metric has, how many it may have, and which share of what it counted in the "
            "last minutes was "
            "counted as 'other'.",
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
            "Of a core, of the exporter, which drains the rings. What the hooks cost the programs that are "
            "watched is in the READMEs of the probes.",
            "percentunit", {PLACE: f"rate(process_cpu_seconds_total{{{HOST}}}[$__rate_interval])"}, axis="of a core",
        ), 8),
        narrow(graph(
            "Memory",
            "Resident memory of the two processes that stay. A ring counts in the exporter's, and twice, for it "
            "is mapped twice.",
            "bytes",
            {
                "{{instance}} exporter": f"process_resident_memory_bytes{{{HOST}}}",
                "{{instance}} supervisor": f"probed_supervisor_resident_memory_bytes{{{HOST}}}",
            },
            axis="resident",
        ), 8),
        narrow(graph(
            "Scrape, how long",
            "How long Prometheus waited for the page.",
            "s", {PLACE: f"scrape_duration_seconds{{{HOST}}}"}, axis="duration",
        ), 8),
        narrow(graph(
            "Scrape, how much",
            "Samples on the page: what this instance costs Prometheus.",
            "short", {PLACE: f"scrape_samples_scraped{{{HOST}}}"}, axis="samples",
        ), 8),
        narrow(graph(
            "Drains",
            "How often the rings were emptied: at a scrape, at a fill mark, and rarely otherwise.",
            "cps", {PLACE: rate(DRAINS, "instance")}, axis="drains a second",
        ), 8),
        narrow(graph(
            "Events a drain",
            "How many events a drain took. Few are dear, each of them.",
            "short", {PLACE: share(DELIVERED, DRAINS, "instance")},
            axis="events",
        ), 8),
        narrow(graph(
            "Time of a drain and of a collection",
            "How long the exporter took on average to empty all rings, and then to read the kernel's maps and make the "
            "series of a page.",
            "s",
            {
                "{{instance}} drain": share(DRAIN_SECONDS, DRAINS, "instance"),
                "{{instance}} collection": share(COLLECTION_SECONDS, COLLECTIONS, "instance"),
            },
            axis="duration",
        ), 12),
        narrow(graph(
            "Age of the counts",
            "Since when each probe counts. It begins anew when the probe changes, not when the exporter or probed is "
            "started again.",
            "s", {PROBE: f"time() - probed_probe_start_time_seconds{{{HOST}}}"}, axis="age",
        ), 12),
    ]  # fmt: skip


def _details() -> list[Panel]:
    return [
        listing(
            "Versions", "What runs where.",
            {"instance": "Instance", "version": "probed", "python": "Python", "bcc": "BCC", "kernel": "Kernel"},
            [Column("Since", f"1000 * {_started()}", "dateTimeFromNow")],
        ),
        listing(
            "Trouble with probes",
            "Failed attempts to load a probe, by reason, since probed started. The page of the daemon (/) and "
            "its log say more.",
            {"instance": "Instance", "probe": "Probe", "reason": "Reason"},
            [Column("Failures", f"sum by (instance, probe, reason) ({LOAD_FAILURES})", "short")],
        ),
        graph(
            "What should not happen",
            "Scrapes that had to leave out a probe, exporters that died and were started again, control groups "
            "without a name.",
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
            "How long ago the configuration was last read successfully, where that is longest ago.",
            f"time() - min(probed_config_last_reload_success_timestamp_seconds{{{HOST}}})", "s", CALM,
        ).span(6).height(9),
        number(
            "File descriptors", "Of those that the exporter may have open, where it is most.",
            f"max(process_open_fds{{{HOST}}} / process_max_fds{{{HOST}}})", "percentunit",
            ((None, "green"), (0.8, "red")),
        ).span(6).height(9),
    ]  # fmt: skip


def _started() -> str:
    versions = f"group_left (version, python, bcc, kernel) probed_build_info{{{HOST}}}"
    return f"process_start_time_seconds{{{HOST}}} * on (job, instance) {versions}"
