"""Charts with spread, as SVG files for documents: curves with a band, or dots and means by group.

A ``Series`` is one line or one colour. Along a numeric x axis its means are joined and its spread is a band; along
named groups each run is a dot and the mean a bar with its spread. The picture is deterministic text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from flow.errors import InputError
from flow.fileio import data_dir
from flow.report.plot import Tick

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 66, 20, 44, 56
COLOURS = ("#1f5fd0", "#c2410c", "#15803d", "#7e22ce", "#525b68", "#b45309", "#0e7490")
"""One a series, in their order: readable on white, and told apart by most who do not see red or green."""
LEGEND_STEP = 8.2
"""Pixels a character of the legend takes, at least."""


@dataclass(frozen=True)
class Spread:
    """The runs at one x: their mean, and the ends of the spread that is drawn. ``runs`` are drawn as dots in groups."""

    mean: float
    low: float
    high: float
    runs: tuple[float, ...] = ()

    @classmethod
    def of(cls, runs: Sequence[float]) -> Spread:
        """Mean and one standard deviation to either side. Raises InputError for no runs."""
        if not runs:
            raise InputError("a spread of no runs")
        mean = sum(runs) / len(runs)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in runs) / max(len(runs) - 1, 1))
        return cls(mean, mean - deviation, mean + deviation, tuple(runs))


@dataclass(frozen=True)
class Series:
    """One line: ``points`` by x; None where there is nothing."""

    name: str
    points: tuple[Spread | None, ...]


@dataclass(frozen=True)
class Chart:
    """What is drawn. ``x``: numbers of the points of every series, or the names of groups.

    ``y_range``: ends of the y axis, None to take them from the data. ``x_log``: logarithmic, numbers above 0.
    """

    title: str
    x_title: str
    y_title: str
    x: tuple[float, ...] | tuple[str, ...]
    series: tuple[Series, ...]
    x_log: bool = False
    y_range: tuple[float, float] | None = None
    notes: tuple[str, ...] = field(default=())


def chart_svg(chart: Chart) -> str:
    """The chart as the text of an SVG file. Raises InputError if series and x axis do not suit each other."""
    if not chart.x or not chart.series or any(len(s.points) != len(chart.x) for s in chart.series):
        raise InputError(f"chart {chart.title!r}: every series needs a point for each of the {len(chart.x)} x")
    to_y, y_ticks = _y_axis(chart)
    named = all(isinstance(value, str) for value in chart.x)
    to_x, x_ticks = _groups(chart) if named else _x_axis(chart)
    marks = [
        _group_marks(chart, number, to_x, to_y) if named else _line_marks(chart, number, to_x, to_y)
        for number in range(len(chart.series))
    ]
    rendered: str = _template().render(
        chart=chart, marks=marks, x_ticks=x_ticks, y_ticks=y_ticks, width=WIDTH, height=HEIGHT + 16 * len(chart.notes),
        left=LEFT, right=WIDTH - RIGHT, top=TOP, bottom=HEIGHT - BOTTOM, legend=_legend(chart), named=named,
    )  # fmt: skip
    return rendered


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates") / "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("chart.svg.j2")


def ticks_between(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` of them."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(s * power for s in (1, 2, 5, 10, 20) if span / (s * power) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _y_axis(chart: Chart) -> tuple[Any, list[Tick]]:
    spreads = [p for s in chart.series for p in s.points if p is not None]
    values = [v for p in spreads for v in (p.low, p.high, *p.runs)] or [0.0, 1.0]
    low, high = chart.y_range or (min(values), max(values))
    room = max(high - low, 1e-6)
    if chart.y_range is None:
        low, high = low - 0.05 * room, high + 0.05 * room
    inner = HEIGHT - TOP - BOTTOM

    def to_y(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(TOP + inner * (1 - share), 1)

    marks = ticks_between(low, high)
    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9)) if len(marks) > 1 else 2
    return to_y, [Tick(to_y(v), f"{v:.{digits}f}") for v in marks]


def _x_axis(chart: Chart) -> tuple[Any, list[Tick]]:
    values = [float(v) for v in chart.x]
    if chart.x_log and min(values) <= 0:
        raise InputError(f"chart {chart.title!r}: a logarithmic axis needs numbers above 0")
    scale = math.log10 if chart.x_log else float
    low, high = scale(min(values)), scale(max(values))
    span = max(high - low, 1e-9)

    def to_x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (scale(value) - low) / span, 1)

    if not chart.x_log:
        return to_x, [Tick(to_x(v), f"{v:,.10g}") for v in ticks_between(low, high, 10)]
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps: tuple[int, ...] = (1,) if high - low > 4 else (1, 3) if high - low > 2 else (1, 2, 5)
    marks = [s * 10.0**d for d in decades for s in steps if low - 1e-9 <= math.log10(s * 10.0**d) <= high + 1e-9]
    return to_x, [Tick(to_x(v), f"{v:,.10g}") for v in marks]


def _groups(chart: Chart) -> tuple[Any, list[Tick]]:
    each = (WIDTH - LEFT - RIGHT) / len(chart.x)

    def to_x(group: float) -> float:
        return round(LEFT + each * (group + 0.5), 1)

    return to_x, [Tick(to_x(i), str(name)) for i, name in enumerate(chart.x)]


def _line_marks(chart: Chart, number: int, to_x: Any, to_y: Any) -> dict[str, Any]:
    at = [float(value) for value in chart.x]
    known = [(x, p) for x, p in zip(at, chart.series[number].points, strict=True) if p is not None]
    upper = [f"{to_x(x)} {to_y(p.high)}" for x, p in known]
    lower = [f"{to_x(x)} {to_y(p.low)}" for x, p in reversed(known)]
    line = [f"{to_x(x)} {to_y(p.mean)}" for x, p in known]
    return {
        "colour": COLOURS[number % len(COLOURS)],
        "band": "M" + "L".join(upper + lower) + "Z" if len(known) > 1 else "",
        "line": "M" + "L".join(line) if known else "",
        "bars": [],
        "dots": [],
    }


def _group_marks(chart: Chart, number: int, to_x: Any, to_y: Any) -> dict[str, Any]:
    each = (WIDTH - LEFT - RIGHT) / len(chart.x)
    step = min(each / (len(chart.series) + 1), 60.0)
    shift = (number - (len(chart.series) - 1) / 2) * step
    bars, dots = [], []
    for group, p in enumerate(chart.series[number].points):
        if p is None:
            continue
        x = round(to_x(group) + shift, 1)
        bars.append(
            {"x": x, "low": to_y(p.low), "high": to_y(p.high), "mean": to_y(p.mean), "half": round(step / 4, 1)}
        )
        dots += [{"x": x, "y": to_y(r)} for r in p.runs]
    return {"colour": COLOURS[number % len(COLOURS)], "band": "", "line": "", "bars": bars, "dots": dots}


def _legend(chart: Chart) -> list[dict[str, Any]]:
    entries, x = [], float(LEFT)
    for number, series in enumerate(chart.series):
        entries.append({"x": round(x, 1), "name": series.name, "colour": COLOURS[number % len(COLOURS)]})
        x += 26 + LEGEND_STEP * len(series.name)
    return entries
