# SPDX-License-Identifier: Apache-2.0
"""Draws panels of a dashboard as Grafana does, from answers to their queries, with matplotlib.

Knows the JSON of a dashboard and nothing of Prometheus. `draw_dashboards` asks the queries.
"""

from __future__ import annotations

import io
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, SecondLocator, date2num
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from support.monitoring.grafana_boards import Board, Series

CELL: Final = (64, 36)
"""Pixels of a cell of Grafana's grid."""
DPI: Final = 100
GAP: Final = 5
TITLE: Final = 26
ROW: Final = 22
CHARACTER: Final = 5.6
"""Width of a character, about."""

PAGE, PANEL, TEXT, FAINT, GRID = "#111217", "#1a1c21", "#d5d6de", "#8e909c", "#2d3037"
LINK: Final = "#6e9fff"
SERIES: Final = (
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#b877d9",
    "#37872d",
    "#8ab8ff",
    "#fa6400",
    "#e5a8e2",
    "#c4162a",
)
NAMED: Final = {
    "green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2", "text": TEXT,
    "purple": "#b877d9", "dark-orange": "#fa6400", "dark-red": "#c4162a", "dark-purple": "#8f3bb8",
}  # fmt: skip

Answers = Sequence[Sequence[Series]]
"""For each query of a panel its series."""


def picture(
    board: Board, answers: Mapping[int, Answers], marks: Sequence[tuple[str, float, float]], path: Path
) -> None:
    """Draw the first screen of a dashboard, down to its first heading, into a PNG.

    `answers` are by the panel's id; `marks` are colour, start and end of annotations.
    """
    shown = list(_first_screen(board))
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in shown)
    size = 24 * CELL[0], rows * CELL[1]
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 8, "text.color": TEXT}):
        figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor=PAGE)
        for panel in shown:
            place = _place(panel["gridPos"], size)
            axes = _frame(figure, panel["title"], place, size)
            _KINDS[panel["type"]](axes, panel, answers[panel["id"]], marks)
        drawn = io.BytesIO()
        figure.savefig(drawn, facecolor=PAGE)
    # 256 colours suffice for flat areas and thin lines, at a third of the size.
    few = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _first_screen(board: Board) -> Any:
    for panel in board["panels"]:
        if panel["type"] == "row":
            return
        yield panel


def _place(grid: Mapping[str, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a panel in pixels."""
    width, height = CELL
    return grid["x"] * width + GAP, grid["y"] * height + GAP, grid["w"] * width - 2 * GAP, grid["h"] * height - 2 * GAP


def _frame(figure: Figure, title: str, place: tuple[float, float, float, float], size: tuple[int, int]) -> Axes:
    """Draw a panel's box and title, and return axes in pixels below the title, their origin at the top left."""
    left, top, width, height = place
    box = figure.add_axes((left / size[0], 1 - (top + height) / size[1], width / size[0], height / size[1]))
    box.set(xlim=(0, width), ylim=(height, 0), facecolor="none")
    box.axis("off")
    style = "round,pad=0,rounding_size=3"
    box.add_patch(FancyBboxPatch((0, 0), width, height, boxstyle=style, facecolor=PANEL, edgecolor=GRID, linewidth=0.8))
    box.text(10, 16, title, fontsize=9, weight="medium", va="center")
    return box


def _inside(box: Axes, left: float, top: float, width: float, height: float) -> Axes:
    """Return new axes over a part of a panel, given in its pixels."""
    whole = box.get_position()
    wide, high = box.get_xlim()[1], box.get_ylim()[0]
    axes = box.figure.add_axes(
        (
            whole.x0 + whole.width * left / wide,
            whole.y1 - whole.height * (top + height) / high,
            whole.width * width / wide,
            whole.height * height / high,
        )
    )
    axes.set_facecolor("none")
    return axes


def _stat(box: Axes, panel: Board, answers: Answers, marks: Any) -> None:
    width, height = box.get_xlim()[1], box.get_ylim()[0]
    defaults = panel["fieldConfig"]["defaults"]
    series = answers[0][0]
    values = np.array([value for _, value in sorted(series.values.items())])
    colour = _threshold(defaults["thresholds"]["steps"], values[-1])
    box.text(width / 2, height * 0.52, text_of(values[-1], defaults["unit"]), fontsize=19, weight="bold", color=colour,
             ha="center", va="center")  # fmt: skip
    if panel["options"]["graphMode"] == "area" and len(values) > 1:
        line = _inside(box, 2, height * 0.68, width - 4, height * 0.3)
        line.axis("off")
        line.fill_between(range(len(values)), values, color=colour, alpha=0.2, linewidth=0)
        line.plot(values, color=colour, linewidth=1)
        line.set(xlim=(0, len(values) - 1), ylim=(0, max(values.max() * 1.05, 1e-9)))


def _threshold(steps: Sequence[Mapping[str, Any]], value: float) -> str:
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED[reached[-1]]


def _lines(box: Axes, panel: Board, answers: Answers, marks: Sequence[tuple[str, float, float]]) -> None:
    width, height = box.get_xlim()[1], box.get_ylim()[0]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    named = [
        (_legend(target["legendFormat"], series), series)
        for target, found in zip(panel["targets"], answers, strict=True)
        for series in found
    ]
    named.sort(key=lambda pair: -_last(pair[1]))
    beside = panel["options"]["legend"]["placement"] == "right"
    legend = 0.36 * width if beside else 0.0
    below = 0 if beside else 19 * min(-(-len(named) // 3), 4)
    axes = _inside(box, 72, TITLE + 8, width - 86 - legend, height - TITLE - 36 - below)
    colours = _colours(panel, [name for name, _ in named])
    stacked = panel["fieldConfig"]["defaults"]["custom"].get("stacking", {}).get("mode") == "normal"
    draw = _draw_stacked if stacked else _draw_lines
    draw(axes, [series for _, series in named], colours)
    _dress(axes, unit, panel["fieldConfig"]["defaults"]["custom"].get("axisLabel", ""))
    for colour, start, end in marks:
        axes.axvspan(*date2num(_times([start, end])), color=NAMED[colour], alpha=0.1, linewidth=0)
        for at in (start, end):
            axes.axvline(_times([at])[0], color=NAMED[colour], linewidth=0.8, linestyle="--")
    if beside:
        _legend_beside(box, width - legend, named, colours, unit)
    else:
        _legend_below(box, below, [name for name, _ in named], colours)


def _times(seconds: Sequence[float]) -> Any:
    return np.array([round(at * 1000) for at in seconds], "datetime64[ms]")


def _draw_lines(axes: Axes, series: Sequence[Series], colours: Sequence[str]) -> None:
    for one, colour in zip(series, colours, strict=True):
        times, values = _times(list(one.values)), np.array(list(one.values.values()))
        axes.plot(times, values, color=colour, linewidth=1.2)
        axes.fill_between(times, values, color=colour, alpha=0.1, linewidth=0)
    highest = max((value for one in series for value in one.values.values()), default=0.0)
    axes.set_ylim(0, highest * 1.05 or 1.0)


def _draw_stacked(axes: Axes, series: Sequence[Series], colours: Sequence[str]) -> None:
    moments = sorted({at for one in series for at in one.values})
    layers = [[one.values.get(at, 0.0) for at in moments] for one in series]
    axes.stackplot(_times(moments), layers, colors=colours, alpha=0.65, linewidth=0.5)


def _dress(axes: Axes, unit: str, label: str) -> None:
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0, labelsize=7.5)
    axes.set_ylabel(label, color=FAINT, fontsize=7.5)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_of(value, unit)))
    axes.xaxis.set_major_locator(SecondLocator(bysecond=(0, 30)))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    axes.margins(x=0)


def _legend_beside(
    box: Axes, left: float, named: Sequence[tuple[str, Series]], colours: Sequence[str], unit: str
) -> None:
    right = box.get_xlim()[1] - 10
    for x, title in ((right - 62, "Last *"), (right, "Max")):
        box.text(x, TITLE + 10, title, color=LINK, fontsize=7.5, ha="right", va="center")
    room = int((box.get_ylim()[0] - TITLE - 24) / 19)
    for row, ((name, series), colour) in enumerate(zip(named[:room], colours, strict=False)):
        y = TITLE + 29 + row * 19
        _legend_entry(box, left + 10, y, _cut(name, int((right - left - 160) / CHARACTER)), colour)
        box.text(right - 62, y, text_of(_last(series), unit), fontsize=7.5, ha="right", va="center")
        box.text(right, y, text_of(max(series.values.values()), unit), fontsize=7.5, ha="right", va="center")


def _legend_below(box: Axes, high: float, names: Sequence[str], colours: Sequence[str]) -> None:
    width, height = box.get_xlim()[1], box.get_ylim()[0]
    wide = (width - 20) / 3
    for index, (name, colour) in enumerate(zip(names, colours, strict=True)):
        y = height - high + 19 * (index // 3)
        if y < height:
            _legend_entry(box, 12 + wide * (index % 3), y, _cut(name, int((wide - 22) / CHARACTER)), colour)


def _legend_entry(box: Axes, x: float, y: float, name: str, colour: str) -> None:
    box.add_patch(Rectangle((x, y - 1), 11, 2.5, color=colour))
    box.text(x + 16, y, name, fontsize=7.5, va="center")


def _colours(panel: Board, names: Sequence[str]) -> list[str]:
    """Return each name's colour: the dashboard's, or else the next of the palette."""
    own = dict[str, str]()
    for override in panel["fieldConfig"]["overrides"]:
        matcher, (first, *_) = override["matcher"], override["properties"]
        if first["id"] != "color" or "fixedColor" not in first["value"]:
            continue
        colour = first["value"]["fixedColor"]
        pattern = re.escape(matcher["options"]) if matcher["id"] == "byName" else matcher["options"]
        own |= {name: NAMED.get(colour, colour) for name in names if re.fullmatch(pattern, name)}
    return [own.get(name, SERIES[index % len(SERIES)]) for index, name in enumerate(names)]


def _heat(box: Axes, panel: Board, answers: Answers, marks: Any) -> None:
    width, height = box.get_xlim()[1], box.get_ylim()[0]
    cumulative = sorted((float(one.labels["le"]), one) for one in answers[0])
    moments = sorted({at for _, one in cumulative for at in one.values})
    grid = np.array([[one.values.get(at, 0.0) for at in moments] for _, one in cumulative])
    grid = np.diff(grid, axis=0, prepend=0)
    axes = _inside(box, 46, TITLE + 6, width - 46 - 62, height - TITLE - 32)
    shades = mpl.colormaps["turbo"].copy()
    shades.set_bad(PANEL)
    cells = np.where(grid > 1e-9, grid, np.nan) ** 0.5
    times = _times(moments)
    drawn = axes.pcolormesh(times, np.arange(len(cumulative)), cells, cmap=shades, shading="nearest")
    _dress(axes, "", "")
    axes.grid(visible=False)
    labels = ["+Inf" if le == np.inf else text_of(le, "s") for le, _ in cumulative]
    axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
    bar = _inside(box, width - 52, TITLE + 6, 9, height - TITLE - 32)
    scale = box.figure.colorbar(drawn, cax=bar)
    scale.outline.set_visible(False)
    scale.ax.tick_params(colors=FAINT, length=0, labelsize=7)
    scale.ax.yaxis.set_major_formatter(FuncFormatter(lambda root, _: text_of(root**2, "short")))


def _states(box: Axes, panel: Board, answers: Answers, marks: Any) -> None:
    width, height = box.get_xlim()[1], box.get_ylim()[0]
    target = panel["targets"][0]
    rows = [(_legend(target["legendFormat"], series), series) for series in answers[0]]
    axes = _inside(box, 200, TITLE + 6, width - 226, height - TITLE - 34)
    for row, (_, series) in enumerate(rows):
        for start, end, value in _runs(series):
            left, right = date2num(_times([start, end]))
            colour = NAMED["green" if value else "red"]
            axes.add_patch(Rectangle((left, row - 0.4), right - left, 0.8, color=colour, alpha=0.75, linewidth=0))
    moments = [at for _, series in rows for at in series.values]
    axes.set(xlim=date2num(_times([min(moments), max(moments)])), ylim=(len(rows) - 0.5, -0.5))
    _dress(axes, "", "")
    axes.grid(visible=False)
    axes.set_yticks(range(len(rows)), [_cut(name, 34) for name, _ in rows])


def _runs(series: Series) -> Iterator[tuple[float, float, float]]:
    """Yield start, end and value of each period."""
    points = sorted(series.values.items())
    changes = [0, *(n for n in range(1, len(points)) if points[n][1] != points[n - 1][1]), len(points) - 1]
    for first, last in itertools.pairwise(changes):
        yield points[first][0], points[last][0], points[first][1]


def _table(box: Axes, panel: Board, answers: Answers, marks: Any) -> None:
    width, height = box.get_xlim()[1], box.get_ylim()[0]
    arranged = panel["transformations"][1]["options"]
    titles = [
        arranged["renameByName"][field] for field in sorted(arranged["indexByName"], key=arranged["indexByName"].get)
    ]
    numbers = titles[-len(answers) :]
    rows = _rows(arranged["renameByName"], answers, numbers)
    edges = _edges(panel, titles, numbers, rows, width)
    units = {title: _property(panel, title, "unit") for title in numbers}
    for title, left in zip(titles, edges, strict=False):
        box.text(left, TITLE + 12, title, fontsize=8, color=LINK, va="center")
    for index, row in enumerate(rows[: int((height - TITLE - 30) / ROW)]):
        y = TITLE + 24 + index * ROW
        box.plot([8, width - 8], [y, y], color=GRID, linewidth=0.6)
        for column, title in enumerate(titles):
            left, right = edges[column], edges[column + 1]
            value = row.get(title)
            if title in numbers and value is not None:
                if _property(panel, title, "custom.cellOptions"):
                    _bar(box, left, y, right - left - 74, value / max(one.get(title, 0.0) for one in rows))
                    left = right - 68
                value = text_of(value, units[title])
            link = title == "Unit"
            room = int((right - left - 4) / 5.4)
            box.text(left, y + ROW / 2, _cut(str(value if value is not None else ""), room), fontsize=8, va="center",
                     color=LINK if link else TEXT)  # fmt: skip
    if not rows:
        box.text(width / 2, height / 2, "No data", color=FAINT, fontsize=11, ha="center", va="center")


def _bar(box: Axes, left: float, top: float, width: float, share: float) -> None:
    box.add_patch(Rectangle((left, top + 5), width, ROW - 10, color=GRID))
    box.add_patch(
        Rectangle((left, top + 5), width * share, ROW - 10, color=mpl.colormaps["RdYlBu_r"](0.15 + 0.8 * share))
    )


def _rows(names: Mapping[str, str], answers: Answers, numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Merge the queries' rows by their labels, the largest first number first."""
    rows = dict[frozenset[tuple[str, str]], dict[str, Any]]()
    for title, found in zip(numbers, answers, strict=True):
        for series in found:
            key = frozenset(series.labels.items())
            row = rows.setdefault(key, {names[label]: text for label, text in key if label in names})
            row[title] = _last(series)
    return sorted(rows.values(), key=lambda row: -row.get(numbers[0], -1.0))


def _edges(
    panel: Board, titles: Sequence[str], numbers: Sequence[str], rows: Sequence[Any], width: float
) -> list[float]:
    """Return the edges of the columns: by their widest text, with the rest shared out."""
    wide = [
        (150.0 if _property(panel, title, "custom.cellOptions") else 90.0)
        if title in numbers
        else CHARACTER * max([len(title), *(len(str(row.get(title, ""))) for row in rows)]) + 14
        for title in titles
    ]
    scale = (width - 20) / sum(wide)
    return [10 + scale * float(sum(wide[:index])) for index in range(len(titles) + 1)]


def _property(panel: Board, title: str, name: str) -> Any:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == title:
            for one in override["properties"]:
                if one["id"] == name:
                    return one["value"]
    return None


def _legend(pattern: str, series: Series) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: series.labels.get(found[1], ""), pattern).strip() or "Value"


def _last(series: Series) -> float:
    return series.values[max(series.values)]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - 1, 1)] + "…"


def text_of(value: float, unit: str) -> str:
    """Return a number about as Grafana writes numbers of a unit."""
    if unit == "percentunit":
        return f"{100 * value:.3g}%"
    if unit == "dateTimeFromNow":
        return f"{round(time.time() - value / 1000)} s ago"
    if unit == "s" and 0 < value < 1:
        return f"{1000 * value:.3g} ms"
    if unit == "s":
        return f"{value:.4g} s"
    base, names = (1024.0, ("B", "KiB", "MiB", "GiB")) if unit == "bytes" else (1000.0, ("", "K", "Mil", "Bil"))
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    suffix = {"cps": " c/s", "suffix:x": "x"}.get(unit, "")
    number = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} {names[power]}".strip() + suffix


_KINDS: Final[Mapping[str, Callable[[Axes, Board, Answers, Any], None]]] = {
    "stat": _stat, "timeseries": _lines, "table": _table, "heatmap": _heat, "state-timeline": _states,
}  # fmt: skip
