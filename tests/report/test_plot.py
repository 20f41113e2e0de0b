"""The scatter plot: every mark where its numbers put it, inside the picture, labels readable."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow.report.plot import HEIGHT, LABEL_HEIGHT, LEFT, WIDTH, Plot, Point, scatter
from flow.report.run_view import Evaluated, Rung, RunView, load_run
from flow.resources import Resources
from tests.report.builder import build_run


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return load_run(build_run(tmp_path_factory.mktemp("runs") / "run", trials=40, winners=6))


def plot_of(view: RunView) -> Plot:
    plot = scatter(view)
    assert plot is not None
    return plot


def of(view: RunView, numbers: list[tuple[float | None, float | None]], rung: str = "full") -> RunView:
    """The view with candidates of these (accuracy, predicted LUTs) and no winners."""
    base = next(e for e in view.evaluations if e.predicted is not None)
    assert base.predicted is not None
    made: list[Evaluated] = []
    for number, (accuracy, lut) in enumerate(numbers):
        m = dataclasses.replace(
            base.predicted, resources=Resources(lut=lut), low=Resources(lut=lut), high=Resources(lut=lut)
        )
        rungs = {} if accuracy is None else {rung: Rung(accuracy, 10, 1.0)}
        made.append(
            dataclasses.replace(
                base, digest=f"d{number}", number=number, measurements=(m,), validation=accuracy, rungs=rungs
            )
        )
    return dataclasses.replace(view, evaluations=tuple(made), winners=())


def assert_inside(plot: Plot) -> None:
    """Nothing is drawn outside the picture, and ticks are in order."""
    for p in plot.points:
        assert plot.left <= p.x <= plot.right
        assert plot.top <= p.y <= plot.bottom
        if p.label:
            assert plot.left <= p.label_x <= plot.right
            assert plot.top <= p.label_y <= plot.bottom
    for ticks, low, high in ((plot.x_ticks, plot.left, plot.right), (plot.y_ticks, plot.top, plot.bottom)):
        assert all(low <= t.at <= high for t in ticks)
        assert len({t.text for t in ticks}) == len(ticks)
        assert len({t.at for t in ticks}) == len(ticks)


def test_every_trained_candidate_is_one_mark(view: RunView) -> None:
    plot = plot_of(view)
    trained = [e for e in view.evaluations if e.validation is not None]
    assert len(plot.points) == len(trained) == 38
    kinds = {kind: sum(p.kind == kind for p in plot.points) for kind in ("front", "full", "short")}
    assert kinds["front"] == len(view.winners)
    assert kinds["short"] == sum(e.rung == "short" for e in trained)
    assert kinds["full"] == sum(e.rung == "full" for e in trained) - kinds["front"]
    assert_inside(plot)


def test_more_accurate_is_higher_and_larger_is_further_right(view: RunView) -> None:
    plot = plot_of(view)
    by_tip = {p.tip.splitlines()[1]: p for p in plot.points if not p.below}
    seen = [
        (
            e.validation,
            e.predicted.resources.lut,
            by_tip.get(f"accuracy {e.validation:.4f}, {e.predicted.resources.lut:,.0f} LUT"),
        )
        for e in view.evaluations
        if e.validation is not None and e.predicted and e.predicted.resources.lut
    ]
    marks = [(accuracy, lut, p) for accuracy, lut, p in seen if p is not None]
    assert len(marks) > 30
    for (acc_a, lut_a, a), (acc_b, lut_b, b) in combinations(marks, 2):
        if acc_a > acc_b:
            assert a.y <= b.y
        if lut_a > lut_b:
            assert a.x >= b.x


def test_the_axis_is_logarithmic_and_says_what_it_shows(view: RunView) -> None:
    plot = plot_of(of(view, [(0.5, 1000.0), (0.6, 2000.0), (0.7, 4000.0), (0.8, 8000.0)]))
    xs = sorted(p.x for p in plot.points)
    steps = [b - a for a, b in pairwise(xs)]
    assert max(steps) - min(steps) <= 0.2
    ticks = {t.text: t.at for t in plot.x_ticks}
    assert ticks["2,000"] == pytest.approx(xs[1], abs=0.2)
    assert ticks["5,000"] == pytest.approx(xs[0] + steps[0] * math.log2(5), abs=0.5)


def test_a_winners_interval_reaches_from_its_low_to_its_high_end(view: RunView) -> None:
    plot = plot_of(view)
    for p in plot.points:
        assert (p.low is not None) == (p.kind == "front")
        if p.low is not None and p.high is not None:
            assert plot.left <= p.low < p.x < p.high <= plot.right


def test_hovering_tells_the_numbers(view: RunView) -> None:
    tips = [p.tip for p in plot_of(view).points]
    first = view.winners[0]
    tip = next(t for t in tips if t.startswith(f"{first.id}: "))
    assert f"accuracy {first.validation:.4f}" in tip
    assert "fully trained" in tip
    assert "conv3x3" in tip.splitlines()[2]
    assert any("short training only" in t for t in tips)


def test_the_budget_is_a_line_where_it_is_near_and_a_note_where_it_is_far(view: RunView) -> None:
    plot = plot_of(view)
    assert plot.budget is not None
    assert plot.budget.text == "budget 33,180 LUT"
    assert plot.left <= plot.budget.at <= plot.right
    assert plot.budget_anchor == "end"
    assert not any("budget" in note for note in plot.notes)
    far = plot_of(dataclasses.replace(view, budget=Resources(lut=1.2e6)))
    assert far.budget is None
    assert "The budget, 1,200,000 LUT, is outside the picture." in far.notes
    none = plot_of(dataclasses.replace(view, budget=Resources()))
    assert none.budget is None
    assert not any("budget" in note for note in none.notes)


def test_candidates_that_trained_badly_do_not_flatten_the_rest(view: RunView) -> None:
    numbers: list[tuple[float | None, float | None]] = [(0.90 + i / 200, 1000.0 * 1.3**i) for i in range(12)]
    plot = plot_of(of(view, [*numbers, (0.1, 3000.0), (0.05, 9000.0)]))
    below = [p for p in plot.points if p.below]
    assert len(below) == 2
    assert {p.y for p in below} == {float(plot.bottom - 6)}
    ys = [p.y for p in plot.points if not p.below]
    assert max(ys) - min(ys) > 0.3 * HEIGHT
    assert any(n.startswith("Triangles on the lower edge: 2 candidates below 0.8") for n in plot.notes)
    one = plot_of(of(view, [*numbers, (0.1, 3000.0)]))
    assert any("edge: 1 candidate below" in n for n in one.notes)


def test_before_there_are_winners_the_front_so_far_is_shown(view: RunView) -> None:
    plot = plot_of(of(view, [(0.5, 1000.0), (0.7, 900.0), (0.9, 5000.0)]))
    assert plot.front_name == "Pareto front so far"
    assert {p.label for p in plot.points if p.kind == "front"} == {"#1", "#2"}


def test_the_front_is_a_staircase_unless_something_else_was_minimised(view: RunView) -> None:
    plot = plot_of(of(view, [(0.7, 900.0), (0.9, 5000.0), (0.95, 9000.0)]))
    assert plot.path.startswith("M")
    assert plot.path.count("V") == 2
    assert plot.path.endswith(f"H{plot.right}")
    scarce = dataclasses.replace(view, settings={**view.settings, "minimize": "scarcest"})
    other = plot_of(scarce)
    assert other.path == ""
    assert any("scarcest" in note for note in other.notes)


def test_what_cannot_be_drawn_is_counted(view: RunView) -> None:
    plot = plot_of(of(view, [(0.7, 900.0), (0.8, None), (0.9, 0.0), (None, 500.0)]))
    assert len(plot.points) == 1
    assert "Not drawn, for want of a predicted LUT count: 2." in plot.notes
    assert scatter(of(view, [(0.8, None), (None, 500.0)])) is None
    assert scatter(dataclasses.replace(view, evaluations=())) is None


def test_predictions_of_two_kinds_are_both_named(view: RunView) -> None:
    two = of(view, [(0.7, 900.0), (0.9, 5000.0)])
    first, second = two.evaluations
    m = dataclasses.replace(second.measurements[0], note="calibrated")
    mixed = dataclasses.replace(two, evaluations=(first, dataclasses.replace(second, measurements=(m,))))
    assert plot_of(mixed).source.split("; ") == [
        "predicted (uncalibrated), flow-structural 0.1.0, xc7z020clg400-1, 100 MHz",
        "predicted (calibrated), flow-structural 0.1.0, xc7z020clg400-1, 100 MHz",
    ]


def label_box(p: Point) -> tuple[float, float, float, float]:
    width = 7 * len(p.label) * 0.8
    return p.label_x, p.label_y - LABEL_HEIGHT + 5, p.label_x + width, p.label_y


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_labels_do_not_cover_each_other(seed: int, tmp_path: Path) -> None:
    plot = plot_of(load_run(build_run(tmp_path / "run", trials=120, winners=20, seed=seed)))
    boxes = [label_box(p) for p in plot.points if p.label]
    assert len(boxes) >= 5
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


accuracies = st.none() | st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.5, 0.9999])
luts = st.none() | st.floats(0, 1e12) | st.integers(1, 10**6).map(float) | st.sampled_from([1.0, 1000.0, 1e12])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.tuples(accuracies, luts), max_size=12),
    budget=st.none() | st.floats(0, 1e12),
    rung=st.sampled_from(["short", "full"]),
)
def test_any_numbers_make_a_sound_picture(
    numbers: list[tuple[float | None, float | None]], budget: float | None, rung: str, view: RunView
) -> None:
    made = dataclasses.replace(of(view, numbers, rung), budget=Resources(lut=budget))
    drawable = [(a, n) for a, n in numbers if a is not None and n is not None and n >= 1]
    plot = scatter(made)
    assert (plot is not None) == bool(drawable)
    if plot is None:
        return
    assert len(plot.points) == len(drawable)
    assert_inside(plot)
    assert len(plot.x_ticks) >= 2
    assert 2 <= len(plot.y_ticks) <= 10
    assert all(0 <= float(t.text) <= 1 for t in plot.y_ticks)
    if plot.budget is not None:
        assert LEFT <= plot.budget.at <= WIDTH
    json.dumps(dataclasses.asdict(plot), allow_nan=False)
