"""Geometry of the scatter plot in the report: validation accuracy against LUTs, as numbers a template draws.

The picture shows predictions only; designs without a predicted LUT count are counted, not drawn. The x axis is
logarithmic. Candidates that trained badly would flatten the interesting part, so those far below the rest are drawn
as marks on the lower edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from flow.report.run_view import Evaluated, RunView
from flow.report.winners import accuracy, amount, architecture, source_text
from flow.search.pareto import pareto_front

WIDTH, HEIGHT = 940, 460
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 26, 52
LABEL_HEIGHT, LABEL_WIDTH = 14, 46
"""Room a winner's label takes, in pixels of the 11-pixel font."""


@dataclass(frozen=True)
class Tick:
    """One tick: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Point:
    """One candidate. ``kind`` is front, full or short; ``below`` marks one under the lower edge of the picture.

    ``low`` and ``high`` are the ends of the interval in pixels, front only; ``label_y`` is the label's baseline.
    """

    x: float
    y: float
    kind: str
    below: bool
    tip: str
    low: float | None = None
    high: float | None = None
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0


@dataclass(frozen=True)
class Plot:
    """All a template needs: pixels, ticks and texts. ``path`` is the front as an SVG path, empty if meaningless."""

    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    path: str
    budget: Tick | None
    source: str
    notes: tuple[str, ...]
    front_name: str
    budget_anchor: str = "end"
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def scatter(view: RunView) -> Plot | None:
    """The plot of a run; ``None`` if no candidate has both an accuracy and a predicted LUT count."""
    drawn = [(e, lut) for e in view.evaluations if e.validation is not None and (lut := _lut(e)) is not None]
    if not drawn:
        return None
    winners = {w.digest: w.id for w in view.winners}
    if not winners:  # a run without winners yet: what would win now
        points = [(e.validation or 0.0, lut) for e, lut in drawn]
        winners = {drawn[i][0].digest: f"#{drawn[i][0].number}" for i in pareto_front(points)}
    front = [(e, lut) for e, lut in drawn if e.digest in winners]
    ends = [v for e, _ in front for v in _interval(e) if v is not None]
    budget = view.budget.lut
    to_x, x_ticks, budget_x = _x_axis([lut for _, lut in drawn] + ends, budget)
    to_y, y_ticks, floor = _y_axis([e.validation or 0.0 for e, _ in drawn], [e.validation or 0.0 for e, _ in front])
    bottom = HEIGHT - BOTTOM
    marks: list[Point] = []
    for e, lut in drawn:
        value = e.validation or 0.0
        kind = "front" if e.digest in winners else "full" if e.rung == "full" else "short"
        below = value < floor - 1e-9  # the floor is a multiple of a step, with its rounding
        low, high = _interval(e) if kind == "front" else (None, None)
        marks.append(
            Point(
                x=to_x(lut),
                y=bottom - 6 if below else to_y(value),
                kind=kind,
                below=below,
                tip=_tip(e, lut, winners.get(e.digest)),
                low=None if low is None else to_x(low),
                high=None if high is None else to_x(high),
                label=winners.get(e.digest, ""),
            )
        )
    order = {"short": 0, "full": 1, "front": 2}
    marks.sort(key=lambda p: (order[p.kind], -p.x))
    return Plot(
        points=tuple(_with_labels(marks)),
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        path=_staircase([p for p in marks if p.kind == "front"])
        if view.settings.get("minimize", "lut") == "lut"
        else "",
        budget=None if budget_x is None or budget is None else Tick(budget_x, f"budget {amount(budget)} LUT"),
        source="; ".join(dict.fromkeys(source_text(m) for e, _ in drawn if (m := e.predicted))),
        notes=tuple(_notes(view, drawn, marks, budget, budget_x, floor)),
        front_name="winners" if view.winners else "Pareto front so far",
        budget_anchor="end" if (budget_x or 0) > WIDTH / 2 else "start",
    )


def _lut(e: Evaluated) -> float | None:
    lut = e.predicted.resources.lut if e.predicted else None
    return lut if lut is not None and lut >= 1 else None  # the axis is logarithmic


def _interval(e: Evaluated) -> tuple[float | None, float | None]:
    if e.predicted is None:
        return None, None
    low, high = e.predicted.low.lut, e.predicted.high.lut
    return (low if low and low >= 1 else None), (high if high and high >= 1 else None)


def _tip(e: Evaluated, lut: float, name: str | None) -> str:
    head = f"{name}: " if name else ""
    rung = "fully trained" if e.rung == "full" else "short training only"
    numbers = f"accuracy {accuracy(e.validation)}, {amount(lut)} LUT"
    return f"{head}candidate {e.number}, {rung}\n{numbers}\n{architecture(e.candidate)}"


def _x_axis(
    values: list[float], budget: float | None
) -> tuple[Callable[[float], float], tuple[Tick, ...], float | None]:
    """Pixels of a LUT count, ticks, and where the budget is (``None`` if so far off that it would squeeze the rest)."""
    low, high = min(values), max(values)
    with_budget = budget is not None and budget > 0 and low / 4 <= budget <= max(high * 4, low * 20)
    if with_budget and budget is not None:
        low, high = min(low, budget), max(high, budget)
    room = max(math.log(high) - math.log(low), math.log(1.5))
    middle = (math.log(high) + math.log(low)) / 2
    start, span = middle - room * 0.54, room * 1.08
    inner = WIDTH - LEFT - RIGHT

    def to_x(value: float) -> float:
        return round(LEFT + inner * (math.log(value) - start) / span, 1)

    ticks: list[Tick] = []
    for steps in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
    ):
        ticks = [
            Tick(to_x(v), amount(v) if v >= 10 else f"{v:g}")
            for power in range(math.floor(start / math.log(10)) - 1, math.ceil((start + span) / math.log(10)) + 1)
            for v in (s * 10.0**power for s in steps)
            if start <= math.log(v) <= start + span
        ]
        if len(ticks) >= 5:
            break
    return to_x, tuple(ticks), to_x(budget) if with_budget and budget is not None else None


def _y_axis(values: list[float], front: list[float]) -> tuple[Callable[[float], float], tuple[Tick, ...], float]:
    """Pixels of an accuracy, ticks, and the accuracy at the lower edge."""
    high = max(values)
    typical = min([*front, median(values)])
    floor = max(min(values), typical - 0.6 * max(high - typical, 0.02))
    step = next((s for s in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (high - floor) / s <= 7), 0.2)
    low = math.floor(round(floor / step, 6)) * step
    top = min(math.ceil(round((high + step * 0.3) / step, 6)) * step, 1.0)
    low = min(low, top - step)
    span = top - low
    inner = HEIGHT - TOP - BOTTOM - 14  # the lowest strip is for marks below the edge

    def to_y(value: float) -> float:
        return round(TOP + inner * (1 - (value - low) / span), 1)

    digits = 3 if step < 0.01 else 2
    count = math.floor(round(span / step, 6))
    ticks = tuple(Tick(to_y(low + i * step), f"{low + i * step:.{digits}f}") for i in range(count + 1))
    return to_y, ticks, low


def _staircase(front: Sequence[Point]) -> str:
    """The boundary of what the front dominates, as an SVG path from the cheapest point to the right edge."""
    points = sorted((p for p in front if not p.below), key=lambda p: p.x)
    if not points:
        return ""
    path = f"M{points[0].x} {points[0].y}"
    for p in points[1:]:
        path += f"H{p.x}V{p.y}"
    return f"{path}H{WIDTH - RIGHT}"


def _with_labels(marks: list[Point]) -> list[Point]:
    """Each front point with a label where no earlier label, front point or edge is; one without room has none."""
    fronts = [p for p in marks if p.kind == "front"]
    taken = [(p.x - 7, p.y - 7, p.x + 7, p.y + 7) for p in fronts]
    out = []
    for p in marks:
        if p.kind != "front":
            out.append(p)
            continue
        width = min(LABEL_WIDTH, 7 * len(p.label) + 4)
        choices = [
            (p.x - width - 2, p.y - 9),
            (p.x + 4, p.y + 19),
            (p.x + 4, p.y - 9),
            (p.x - width - 2, p.y + 19),
        ]
        choices += [(p.x - width / 2, p.y - 22), (p.x - width / 2, p.y + 31)]
        for x, y in choices:
            box = (x, y - LABEL_HEIGHT + 3, x + width, y + 3)
            inside = box[0] > LEFT and box[2] < WIDTH - RIGHT and box[1] > TOP and box[3] < HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                out.append(replace(p, label_x=round(x, 1), label_y=round(y, 1)))
                break
        else:
            out.append(replace(p, label=""))
    return out


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _notes(
    view: RunView,
    drawn: Sequence[tuple[Evaluated, float]],
    marks: list[Point],
    budget: float | None,
    budget_x: float | None,
    floor: float,
) -> list[str]:
    notes = []
    below = sum(p.below for p in marks)
    if below:
        what = "1 candidate" if below == 1 else f"{below} candidates"
        notes.append(f"Triangles on the lower edge: {what} below {floor:.3f}.")
    missing = sum(e.validation is not None for e in view.evaluations) - len(drawn)
    if missing:
        notes.append(f"Not drawn, for want of a predicted LUT count: {missing}.")
    if budget is not None and budget_x is None:
        notes.append(f"The budget, {amount(budget)} LUT, is outside the picture.")
    if view.settings.get("minimize") == "scarcest":
        notes.append("This run minimised the scarcest resource, not LUTs: a winner may look dominated here.")
    return notes
