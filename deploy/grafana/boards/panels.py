# SPDX-License-Identifier: Apache-2.0
"""The kinds of panel in the dashboards, with common defaults. No function depends on a metric of probed.

Every panel has a title, a description, a unit and a width; `frame` adds positions, ids and the data source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = Builder[model.Panel]
Steps = Sequence[tuple[float | None, str]]
"""Colours by lower bound; the first bound is None, for all lower values."""

CALM: Steps = ((None, "green"),)
PLAIN: Steps = ((None, "text"),)
ANY_IS_BAD: Steps = ((None, "green"), (1e-9, "red"))
TIMES = "suffix:x"
"""Unit of a multiple."""
OTHER = "other"
"""Label value of events past a metric's budget (config/probed.yaml)."""

OWNER = {"unit": "Unit", "namespace": "Namespace", "pod": "Pod", "container": "Container"}
"""Columns of the owner of a process: label and heading. A column without values is not shown."""

COLUMN_LETTERS = "ABCDEF"


def number(title: str, text: str, expr: str, unit: str, steps: Steps = PLAIN) -> stat.Panel:
    """Return one number, the current value, with its graph in the background."""
    return (
        stat.Panel()
        .with_target(prometheus.Dataquery().expr(expr).range().ref_id("A"))
        .title(title)
        .description(text)
        .span(4)
        .height(4)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .color_mode(common_model.BigValueColorMode.VALUE)
        .graph_mode(common_model.BigValueGraphMode.AREA)
        .text_mode(common_model.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def total(title: str, text: str, expr: str, unit: str, steps: Steps = PLAIN) -> stat.Panel:
    """Return one number from an instant query, of the time range or of now."""
    panel = number(title, text, expr, unit, steps).graph_mode(common_model.BigValueGraphMode.NONE)
    return panel.targets([prometheus.Dataquery().expr(expr).instant().ref_id("A")])


def graph(title: str, text: str, unit: str, queries: Mapping[str, str], axis: str) -> timeseries.Panel:
    """Return lines over time. `queries` maps legends to queries; a legend may name labels, as ``{{unit}}``."""
    return (
        timeseries.Panel()
        .title(title)
        .description(text)
        .span(12)
        .height(9)
        .unit(unit)
        .min(0)
        .axis_label(axis)
        .line_width(1)
        .fill_opacity(10)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(_tooltip())
        .override_by_regexp(rf"(.* )?{OTHER}( .*)?", [_property("color", {"mode": "fixed", "fixedColor": "#808080"})])
        .targets(
            [
                prometheus.Dataquery().expr(expr).range().legend_format(legend).ref_id(letter)
                for letter, (legend, expr) in zip(COLUMN_LETTERS, queries.items(), strict=False)
            ]
        )
    )


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Stack the lines, for parts of a whole."""
    return panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL)).fill_opacity(60)


def narrow(panel: timeseries.Panel, span: int) -> timeseries.Panel:
    """Make a graph narrower than half the screen, with the legend below."""
    return _with_legend_below(panel).span(span)


def wide(panel: timeseries.Panel) -> timeseries.Panel:
    """Make a graph as wide as the screen, with the legend below, for long names."""
    return _with_legend_below(panel).span(24)


def _with_legend_below(panel: timeseries.Panel) -> timeseries.Panel:
    below = common.VizLegendOptions().show_legend(True).display_mode(common_model.LegendDisplayMode.LIST)
    return panel.legend(below.placement(common_model.LegendPlacement.BOTTOM).calcs([]))


def coloured(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Set the colours of series by name."""
    for name, colour in colours.items():
        panel = panel.override_by_name(name, [_property("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def lifetimes(title: str, text: str, queries: tuple[str, str], cells: str) -> heatmap.Panel:
    """Return a heat map of a histogram in seconds, in the unit `cells`: rates by `le`, or of native histograms."""
    targets = [
        prometheus.Dataquery().expr(query).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}").ref_id(name)
        for name, query in zip("AB", queries, strict=True)
    ]
    return (
        heatmap.Panel()
        .title(title)
        .description(text)
        .span(12)
        .height(9)
        .unit(cells)
        .max_data_points(120)
        .targets(list(targets))
        .calculate(False)
        .scale_distribution(common.ScaleDistributionConfig().type(common_model.ScaleDistribution.LINEAR))
        .y_axis(heatmap.YAxisConfig().unit("s").axis_placement(common_model.AxisPlacement.LEFT))
        .cell_values(heatmap.CellValues().unit(cells))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.SCHEME)
            .scheme("Turbo")
            .scale(HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
        .show_legend()
        .mode(common_model.TooltipDisplayMode.SINGLE)
        .show_color_scale(True)
    )


def states(title: str, text: str, expr: str, legend: str) -> statetimeline.Panel:
    """Return bars over time: up for 1, down for 0."""
    mapping = model.ValueMap(
        {
            "0": model.ValueMappingResult(text="down", color="red", index=0),
            "1": model.ValueMappingResult(text="up", color="green", index=1),
        }
    )
    return (
        statetimeline.Panel()
        .with_target(prometheus.Dataquery().expr(expr).range().legend_format(legend).ref_id("A"))
        .title(title)
        .description(text)
        .span(12)
        .height(9)
        .unit("bool_on_off")
        .mappings([mapping])
        .show_value(common_model.VisibilityMode.NEVER)
        .row_height(0.8)
        .line_width(0)
        .fill_opacity(70)
        .thresholds(_thresholds(((None, "red"), (1, "green"))))
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of numbers in a table, from an instant query by all the table's labels.

    With `bar` the table draws a bar behind each number.
    """

    title: str
    expr: str
    unit: str
    bar: bool = False


def listing(title: str, text: str, labels: Mapping[str, str], columns: Sequence[Column]) -> table.Panel:
    """Return a table: columns of labels, then columns of numbers; sorted by the first column of numbers.

    Each query returns one row for a label set; the table merges rows with equal labels.
    """
    letters = COLUMN_LETTERS[: len(columns)]
    fields = [f"Value #{letter}" for letter in letters] if len(columns) > 1 else ["Value"]
    values = dict(zip(fields, columns, strict=True))
    panel = (
        table.Panel()
        .title(title)
        .description(text)
        .span(12)
        .height(9)
        .unit(columns[0].unit)
        .filterable(True)
        .targets(
            [
                prometheus.Dataquery().expr(column.expr).instant().format(PromQueryFormat.TABLE).ref_id(letter)
                for letter, column in zip(letters, columns, strict=True)
            ]
        )
        .with_transformation(model.DataTransformerConfig("merge", options={}))
        .with_transformation(_arranged(labels, values))
        .sort_by([common.TableSortByFieldState().display_name(columns[0].title).desc(True)])
    )
    for column in columns:
        panel = panel.override_by_name(column.title, _looks(column))
    if "unit" in labels:
        panel = panel.override_by_name(labels["unit"], [link_of("Only this unit", _narrowed_to_unit())])
    return panel


def _arranged(labels: Mapping[str, str], values: Mapping[str, Column]) -> model.DataTransformerConfig:
    """Order and name the columns, and remove the time, which is equal in all rows."""
    names = dict(labels) | {field: column.title for field, column in values.items()}
    return model.DataTransformerConfig(
        "organize",
        options={
            "excludeByName": {"Time": True},
            "indexByName": {field: index for index, field in enumerate(names)},
            "renameByName": names,
        },
    )


def _looks(column: Column) -> list[model.DynamicConfigValue]:
    looks = [_property("unit", column.unit)]
    if column.bar:
        looks.append(_property("custom.cellOptions", {"type": "gauge", "mode": "basic"}))
        looks.append(_property("min", 0))
        looks.append(_property("color", {"mode": "continuous-BlYlRd"}))
    return looks


def link_of(title: str, url: str) -> model.DynamicConfigValue:
    """Return an override that turns the cells of a column into links, for `override_by_name`."""
    return _property("links", [{"title": title, "url": url}])


def _narrowed_to_unit() -> str:
    """Return the URL of this dashboard for the clicked unit."""
    kept = "${__url_time_range}&${datasource:queryparam}&${instance:queryparam}"
    return "/d/${__dashboard.uid}?" + kept + "&var-unit=${__value.raw}"


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_model.LegendDisplayMode.TABLE)
        .placement(common_model.LegendPlacement.RIGHT)
        .calcs(["lastNotNull", "max"])
        .sort_by("Last *")
        .sort_desc(True)
    )


def _tooltip() -> common.VizTooltipOptions:
    return (
        common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI).sort(common_model.SortOrder.DESCENDING)
    )


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    listed = [model.Threshold(value, colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(listed)


def _property(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(name, value)
