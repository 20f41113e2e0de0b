"""The Pareto front against a look at every pair, and hypervolume against counting and inclusion-exclusion."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.search.pareto import hypervolume, pareto_front

Point = tuple[float, float]
# Few different values, so that ties, equal points and shared coordinates are common.
few = st.tuples(st.integers(0, 6).map(float), st.integers(0, 6).map(float))
many = st.tuples(st.floats(0, 1), st.floats(0, 1e6))
clouds = st.lists(few, max_size=12) | st.lists(many, max_size=12)


def beats(a: Point, b: Point) -> bool:
    """Whether ``a`` is nowhere worse than ``b`` and somewhere better."""
    return a[0] >= b[0] and a[1] <= b[1] and a != b


@given(points=clouds)
def test_the_front_is_what_no_other_point_beats(points: list[Point]) -> None:
    expected = {p for p in points if not any(beats(q, p) for q in points)}
    front = pareto_front(points)
    assert {points[i] for i in front} == expected
    assert len(front) == len(expected), "equal points are there once"


@given(points=clouds)
def test_the_front_is_ordered_and_of_equal_points_the_first_stays(points: list[Point]) -> None:
    front = pareto_front(points)
    chosen = [points[i] for i in front]
    assert chosen == sorted(chosen, key=lambda p: p[1])
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(chosen))
    assert all(points.index(points[i]) == i for i in front)


def test_nothing_has_no_front() -> None:
    assert pareto_front([]) == []
    assert hypervolume([], (0.0, 1.0)) == 0.0


def test_a_point_without_a_number_is_not_on_the_front() -> None:
    assert pareto_front([(math.nan, 1.0), (0.5, 2.0), (0.4, math.inf)]) == [1]


def test_a_picture_that_can_be_checked_by_hand() -> None:
    points = [(0.9, 30.0), (0.5, 10.0), (0.5, 20.0), (0.8, 30.0), (0.7, 20.0)]
    assert pareto_front(points) == [1, 4, 0]
    # floor 0.4, ceiling 40: 10..20 at 0.1, 20..30 at 0.3, 30..40 at 0.5
    assert hypervolume(points, (0.4, 40.0)) == pytest.approx(1 + 3 + 5)


def by_inclusion_exclusion(points: list[Point], floor: float, ceiling: float) -> float:
    """The area of a union of rectangles: sums over all sets of them of the area they share, signs alternating."""
    inside = [p for p in points if p[0] > floor and p[1] < ceiling]
    area = 0.0
    for size in range(1, len(inside) + 1):
        for some in itertools.combinations(inside, size):
            shared = (min(a for a, _ in some) - floor) * (ceiling - max(c for _, c in some))
            area += shared if size % 2 else -shared
    return area


@given(points=st.lists(few, max_size=8), floor=st.integers(-1, 5), ceiling=st.integers(1, 8))
def test_hypervolume_is_the_area_of_the_union_of_rectangles(points: list[Point], floor: int, ceiling: int) -> None:
    expected = by_inclusion_exclusion(points, float(floor), float(ceiling))
    assert hypervolume(points, (float(floor), float(ceiling))) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_hypervolume_is_the_share_of_darts_that_hit(seed: int) -> None:
    rng = random.Random(seed)
    points = [(rng.random(), rng.random()) for _ in range(12)]
    darts = 40_000
    hits = 0
    for _ in range(darts):
        accuracy, cost = rng.random(), rng.random()
        hits += any(a >= accuracy and c <= cost for a, c in points)
    share = hypervolume(points, (0.0, 1.0))
    # five standard deviations of a binomial share
    assert abs(hits / darts - share) < 5 * math.sqrt(share * (1 - share) / darts) + 1e-4


@given(points=clouds, extra=few | many)
def test_a_further_point_never_shrinks_the_hypervolume(points: list[Point], extra: Point) -> None:
    reference = (0.0, 2e6)
    before, after = hypervolume(points, reference), hypervolume([*points, extra], reference)
    assert after >= before or after == pytest.approx(before)
    if any(beats(p, extra) or p == extra for p in points):
        assert after == pytest.approx(before)
