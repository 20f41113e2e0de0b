"""Charts for documents: what is drawn is where the numbers say, and the file is whole SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Series, Spread, chart_svg, ticks_between

SVG = "{http://www.w3.org/2000/svg}"


def curves(**changes: object) -> Chart:
    points = tuple(Spread.of([v, v + 0.1]) for v in (0.2, 0.5, 0.7))
    settings = {"title": "a < b", "x_title": "trials", "y_title": "share", "x": (10.0, 20.0, 40.0)}
    return Chart(**{**settings, "series": (Series("random", points), Series("R&D", points[::-1])), **changes})  # type: ignore[arg-type]


def test_curves_are_joined_through_their_means_within_the_frame() -> None:
    root = ElementTree.fromstring(chart_svg(curves()))  # noqa: S314  (our own text)
    lines = [p.get("d") or "" for p in root.iter(f"{SVG}path") if p.get("stroke-width") == "2"]
    assert len(lines) == 2
    pairs = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", lines[0])]
    assert [x for x, _ in pairs] == [LEFT, pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) / 3, abs=0.1), WIDTH - RIGHT]
    assert pairs[0][1] > pairs[1][1] > pairs[2][1]
    assert all(TOP <= y <= HEIGHT - BOTTOM for _, y in pairs)
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert {"a < b", "R&D", "trials", "share"} <= set(texts)


def test_groups_show_every_run() -> None:
    chart = curves(
        x=("3,000 LUT", "9,000 LUT", "any"), series=(Series("joint", (Spread.of([0.9, 0.8]), None, Spread.of([0.7]))),)
    )
    root = ElementTree.fromstring(chart_svg(chart))  # noqa: S314
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    assert "9,000 LUT" in {t.text for t in root.iter(f"{SVG}text")}


def test_a_spread_is_the_mean_and_one_standard_deviation() -> None:
    spread = Spread.of([1.0, 2.0, 3.0])
    assert (spread.low, spread.mean, spread.high) == (1.0, 2.0, 3.0)
    with pytest.raises(InputError, match="no runs"):
        Spread.of([])


def test_series_that_do_not_suit_the_axis_are_refused() -> None:
    with pytest.raises(InputError, match="for each of the 2 x"):
        chart_svg(curves(x=(1.0, 2.0)))
    with pytest.raises(InputError, match="above 0"):
        chart_svg(curves(x=(0.0, 1.0, 2.0), x_log=True))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_few_and_within(low: float, span: float) -> None:
    ticks = ticks_between(low, low + span)
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-6 * span - 1e-9 <= t <= low + span * (1 + 1e-6) + 1e-9 for t in ticks)


def test_a_logarithmic_axis_has_round_numbers() -> None:
    text = chart_svg(curves(x=(3.0, 30.0, 300.0), x_log=True))
    assert ">10</text>" in text
    assert ">100</text>" in text
