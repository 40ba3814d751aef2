# SPDX-License-Identifier: Apache-2.0
"""A site's changes to a probe: ring size, buckets and series of a metric, and labels.

`site` parses Overrides as part of the site configuration. The loader and `probed check` call `override` before the
checks against C source and host. A site cannot change the meaning of a metric; only the declaration can.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated

from probed.config.declaration.decoders import UnitDecoderName
from probed.config.declaration.histograms import (
    Buckets,
    HistogramForm,
    NativeOptions,
    bucket_faults,
    bucket_unit_faults,
)
from probed.config.declaration.labels import Label
from probed.config.declaration.metrics import Metric
from probed.config.declaration.probe import Probe, RingOptions
from probed.config.declaration.scalars import IdleSeconds, LabelName, SeriesBudget
from probed.config.folding import fold_defaults
from probed.config.folding.fold_rules import FoldRules
from probed.errors import DeclarationError, Problem
from probed.frozen import frozen
from probed.ipc.manifest import IDLE_SECONDS, SERIES_BUDGET
from probed.schema.rules import NOT_EMPTY_LIST, NOT_EMPTY_MAPPING, repeated
from probed.schema.structure import Fault, Given, Key, Source
from probed.schema.suggestions import did_you_mean


@frozen
class MetricOverrides:
    """A site's changes to one metric."""

    at: Given[Key]
    buckets: Annotated[
        Buckets, "A histogram's upper bounds in base units (seconds, bytes), or a rule, instead of the declared ones."
    ] = ()
    native: Annotated[
        NativeOptions | None, "A histogram's native form, instead of the declared one, or beside the buckets."
    ] = None
    histogram_form: Annotated[
        HistogramForm | None, "The form of the histogram, of those that it has, instead of the site's."
    ] = None
    drop_labels: Annotated[
        tuple[str, ...], "Labels to leave out; the metric counts their series together.", NOT_EMPTY_LIST
    ] = ()
    rename_labels: Annotated[
        Mapping[str, LabelName], "Declared name of a label to the site's name for it.", NOT_EMPTY_MAPPING
    ] = dataclasses.field(default_factory=dict)
    add_labels: Annotated[
        Mapping[LabelName, Label], "Further labels of fields that the probe has, by name.", NOT_EMPTY_MAPPING
    ] = dataclasses.field(default_factory=dict)
    series: Annotated[SeriesBudget | None, "Limit of the metric's series."] = None
    idle_seconds: Annotated[IdleSeconds | None, "Seconds without events after which a series leaves."] = None

    def check(self) -> Iterator[Fault]:
        """Yield the faults that need no declaration."""
        yield from bucket_faults(self.buckets)
        for index, label in repeated(self.drop_labels):
            yield ("drop_labels", index), f"label '{label}' is there twice; remove one"
        for label in self.drop_labels:
            if label in self.rename_labels:
                yield (
                    ("rename_labels", label),
                    f"label '{label}' is in drop_labels too; remove one",
                )


@frozen
class Overrides:
    """A site's changes to one probe; by default none."""

    at: Given[Key]
    ring: Annotated[RingOptions | None, "Another size of the probe's ring."] = None
    metrics: Annotated[Mapping[str, MetricOverrides], "Changes to metrics, by name."] = dataclasses.field(
        default_factory=dict
    )


@frozen
class Series:
    """Limits of a metric's series, for all metrics."""

    budget: Annotated[
        SeriesBudget, "Limit of a metric's series; the others count in one series with label values 'other'."
    ] = SERIES_BUDGET
    idle_seconds: Annotated[
        IdleSeconds,
        "Seconds without events after which a series leaves the page; a later event starts the series at 0.",
    ] = IDLE_SECONDS


@frozen
class SiteDefaults:
    """A site's settings for all probes: `fold` has rules by declared label, `unit_labels` decoders by label name."""

    series: Series = dataclasses.field(default_factory=Series)
    fold: Mapping[str, FoldRules] = dataclasses.field(default_factory=dict)
    fold_defaults: bool = True
    histogram_form: HistogramForm = "both"
    unit_labels: Mapping[str, UnitDecoderName] = dataclasses.field(default_factory=dict)


def override(probe: Probe, overrides: Overrides, defaults: SiteDefaults, source: Source) -> Probe:
    """Apply a site's changes to a declaration, then the site's defaults for all keys that are still unset.

    `source` is the site configuration, where problems point. Elements keep the key path of the declaration in `at`, so
    that a renamed label is found in `probe.source` too. Raises DeclarationError with every Problem.
    """
    faults = list(_faults(probe, overrides))
    if faults:
        raise DeclarationError([source.problem((*overrides.at, *at), text) for at, text in faults])
    forms = {name: changes.histogram_form or defaults.histogram_form for name, changes in overrides.metrics.items()}
    metrics = {
        name: _in_form(metric, forms.get(name, defaults.histogram_form))
        for name, metric in _all_changed(probe, overrides).items()
    }
    ring = _resized(probe.ring, overrides.ring)
    site = source if any(changes.add_labels for changes in overrides.metrics.values()) else None
    return with_defaults(dataclasses.replace(probe, ring=ring, metrics=metrics, site=site), defaults)


def _all_changed(probe: Probe, overrides: Overrides) -> dict[str, Metric]:
    return {
        name: _changed(metric, overrides.metrics[name]) if name in overrides.metrics else metric
        for name, metric in probe.metrics.items()
    }


def _in_form(metric: Metric, form: HistogramForm) -> Metric:
    """Leave out the other form of a histogram that has both."""
    if form == "both" or not metric.buckets or not metric.native:
        return metric
    return dataclasses.replace(metric, native=None) if form == "classic" else dataclasses.replace(metric, buckets=())


def with_defaults(probe: Probe, defaults: SiteDefaults) -> Probe:
    """Apply the site's defaults: budgets, labels beside `unit`, and each label's fold rules in order of precedence."""
    metrics = {name: _metric_with_defaults(metric, defaults) for name, metric in probe.metrics.items()}
    return dataclasses.replace(probe, metrics=metrics)


def _metric_with_defaults(metric: Metric, defaults: SiteDefaults) -> Metric:
    return dataclasses.replace(
        metric,
        series=metric.series or defaults.series.budget,
        idle_seconds=metric.idle_seconds or defaults.series.idle_seconds,
        labels={name: _folded(label, defaults) for name, label in _with_unit_labels(metric, defaults).items()},
    )


def _with_unit_labels(metric: Metric, defaults: SiteDefaults) -> dict[str, Label]:
    """Return the labels, and the site's labels beside `unit` unless the metric has one of this name."""
    unit = next((label for label in metric.labels.values() if label.decoder == "cgroup_unit"), None)
    if unit is None:
        return dict(metric.labels)
    added = {name: Label((*unit.at[:-1], name), unit.field, decoder) for name, decoder in defaults.unit_labels.items()}
    return dict(metric.labels) | {name: label for name, label in added.items() if name not in metric.labels}


def _folded(label: Label, defaults: SiteDefaults) -> Label:
    name = str(label.at[-1])
    rules = fold_defaults.RULES.get(name) or fold_defaults.RULES_BY_DECODER.get(label.decoder, ())
    shipped = rules if defaults.fold_defaults else ()
    return dataclasses.replace(label, fold=(*defaults.fold.get(name, ()), *label.fold, *shipped))


def check_folded(defaults: SiteDefaults, probes: Iterable[Probe], source: Source) -> list[Problem]:
    """Find the folded labels that no running probe declares."""
    known = {
        str(label.at[-1]) for probe in probes for metric in probe.metrics.values() for label in metric.labels.values()
    }
    return [
        source.problem(("fold", name), f"no probe that runs here has a label '{name}'{_remedy(name, sorted(known))}")
        for name in defaults.fold
        if name not in known
    ]


def _resized(declared: RingOptions | None, wanted: RingOptions | None) -> RingOptions | None:
    if declared is None or wanted is None:
        return declared
    return dataclasses.replace(declared, bytes=wanted.bytes, slots=wanted.slots or declared.slots)


def _changed(metric: Metric, changes: MetricOverrides) -> Metric:
    return dataclasses.replace(
        metric,
        buckets=changes.buckets or metric.buckets,
        native=changes.native or metric.native,
        labels={new: metric.labels[old] for old, new in _names(metric, changes).items()} | dict(changes.add_labels),
        series=changes.series or metric.series,
        idle_seconds=changes.idle_seconds or metric.idle_seconds,
    )


def _names(metric: Metric, changes: MetricOverrides) -> dict[str, str]:
    """List the labels that stay: declared name to new name."""
    kept = (label for label in metric.labels if label not in changes.drop_labels)
    return {label: changes.rename_labels.get(label, label) for label in kept}


def _faults(probe: Probe, overrides: Overrides) -> Iterator[Fault]:
    if overrides.ring and not probe.ring:
        yield ("ring",), f"probe '{probe.name}' has no ring; remove this key"
    for name, changes in overrides.metrics.items():
        if name in probe.metrics:
            for at, text in _metric_faults(probe.metrics[name], changes):
                yield ("metrics", name, *at), text
        else:
            yield ("metrics", name), f"probe '{probe.name}' has no such metric{_remedy(name, probe.metrics)}"


def _metric_faults(metric: Metric, changes: MetricOverrides) -> Iterator[Fault]:
    if changes.buckets and metric.type != "histogram":
        yield ("buckets",), f"'{metric.name}' is a {metric.type} and has no buckets; remove this key"
    else:
        yield from bucket_unit_faults(changes.buckets, metric.base_unit)
    for key in ("native", "histogram_form"):
        if getattr(changes, key) and metric.type != "histogram":
            yield (key,), f"'{metric.name}' is a {metric.type} and has no form of a histogram; remove this key"
    if changes.idle_seconds and metric.type == "gauge":
        yield ("idle_seconds",), f"'{metric.name}' is a gauge, whose series leave with their map entries; remove this"
    for index, label in enumerate(changes.drop_labels):
        if label not in metric.labels:
            yield ("drop_labels", index), _no_label(label, metric.labels)
    for label in changes.rename_labels:
        if label not in metric.labels:
            yield ("rename_labels", label), _no_label(label, metric.labels)
    for label in changes.add_labels:
        if label in _names(metric, changes).values():
            yield ("add_labels", label), f"the metric has a label '{label}' already; choose another name"
    yield from _collisions(metric, changes)
    if metric.type == "histogram" and metric.maps:
        yield from _kernel_bucket_faults(metric, changes)


def _kernel_bucket_faults(metric: Metric, changes: MetricOverrides) -> Iterator[Fault]:
    """Yield changes to buckets that the probe's C numbers."""
    if changes.buckets:
        yield ("buckets",), f"the probe's C numbers the buckets of '{metric.name}' in the kernel; remove this key"
    if changes.native:
        text = f"'{metric.name}' is counted in the kernel by classic bucket, and has no native form"
        yield ("native",), f"{text}; remove this key"


def _collisions(metric: Metric, changes: MetricOverrides) -> Iterator[Fault]:
    names = _names(metric, changes)
    for old, new in names.items():
        others = [label for label, name in names.items() if name == new and label != old]
        if old in changes.rename_labels and others:
            yield (
                ("rename_labels", old),
                f"'{new}' would be the name of label '{others[0]}' too; choose another",
            )


def _no_label(label: str, labels: Mapping[str, Label]) -> str:
    return f"the metric has no label '{label}'{_remedy(label, labels)}"


def _remedy(name: str, known: Collection[str]) -> str:
    """Return the end of an error: the near name, or all known names."""
    return did_you_mean(name, known) or f"; there {'is' if len(known) == 1 else 'are'} {', '.join(known) or 'none'}"
