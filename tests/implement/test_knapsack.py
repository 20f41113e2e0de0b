"""Multiple-choice knapsacks: exact where nothing is cut short, and honest about it where something is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.implement import program
from flow.implement.knapsack import Choices, choose


def random_choices(rng: np.random.Generator, problems: int, rows: int, options: int, spread: int = 40) -> Choices:
    """Problems of all kinds: with and without intervals, with limits from hopeless to loose."""
    problem, row, columns = [], [], []
    limits, times, floors = [], [], []
    number = 0
    for p in range(problems):
        count = int(rng.integers(1, rows + 1))
        timed, streamed = rng.random() < 0.7, rng.random() < 0.5
        own = []
        for _ in range(count):
            size = int(rng.integers(1, options + 1))
            fill = np.sort(rng.integers(1, spread, size))
            interval = np.sort(rng.integers(1, 4 * spread, size)) if streamed else np.zeros(size, dtype=np.int64)
            cost = rng.integers(1, spread, size)
            own.append(np.column_stack([cost, rng.integers(0, 9, (size, 3)), fill, interval]))
            problem.append(p)
            row += [number] * size
            number += 1
        columns += own
        low = np.sum([o[:, 1:5].min(axis=0) for o in own], axis=0)
        high = np.sum([o[:, 1:5].max(axis=0) for o in own], axis=0)
        least, most = (max(f(o[:, 5]) for o in own) for f in (np.min, np.max))
        share = rng.uniform(-0.1, 1.0, 4)
        limit = np.where(rng.random(4) < 0.5, np.inf, np.floor(low + share * (high - low)))
        limits.append(limit[:3])
        times.append(np.floor(low[3] + least + share[3] * (high[3] + most - low[3] - least)) if timed else np.inf)
        floors.append(float(rng.integers(0, 2 * spread)) if streamed else 0.0)
    table = np.concatenate(columns).astype(np.float64)
    return Choices(
        np.array(problem), np.array(row), table[:, 0], table[:, 1:4], table[:, 4], table[:, 5], np.array(limits),
        np.array(times), np.array(floors),
    )  # fmt: skip


def by_trying_all(c: Choices, problem: int) -> float:
    """The least cost of one problem, inf if it has no solution."""
    rows = np.flatnonzero(c.problem == problem)
    best = np.inf
    for picked in itertools.product(*(np.flatnonzero(c.row == row) for row in rows)):
        index = [int(option) for option in picked]
        if fits(c, problem, index):
            best = min(best, float(c.cost[index].sum()))
    return best


def fits(c: Choices, problem: int, index: list[int]) -> bool:
    """Whether a choice meets the limits."""
    time = c.fill[index].sum() + max(c.interval[index].max(), c.floor[problem])
    return bool((c.use[index].sum(axis=0) <= c.limit[problem]).all() and time <= c.time[problem])


def check(c: Choices, exact: bool) -> tuple[int, int]:
    """Compare with trying all; returns how many problems have a solution, and of how many the best was found."""
    chosen = choose(c)
    solvable = found = 0
    for problem in range(len(c.time)):
        wanted = by_trying_all(c, problem)
        option = chosen.option[c.problem == problem]
        cost = np.inf
        if (option >= 0).any():
            assert (c.row[option] == np.flatnonzero(c.problem == problem)).all()
            assert fits(c, problem, option.tolist())
            cost = float(c.cost[option].sum())
        assert chosen.bound[problem] <= wanted <= cost
        solvable += np.isfinite(wanted)
        found += np.isfinite(wanted) and cost == wanted
        if exact:
            assert cost == wanted
            assert chosen.bound[problem] == wanted
    return solvable, found


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_it_finds_the_least_cost(seed: int) -> None:
    check(random_choices(np.random.default_rng(seed), problems=6, rows=4, options=5), exact=True)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_problem_is_solved_alone_as_among_others(seed: int) -> None:
    c = random_choices(np.random.default_rng(seed), problems=5, rows=4, options=6)
    together = choose(c)
    for problem in range(5):
        rows = np.flatnonzero(c.problem == problem)
        options = np.flatnonzero(np.isin(c.row, rows))
        alone = choose(
            Choices(
                np.zeros(len(rows), dtype=np.int64), c.row[options] - rows[0], c.cost[options], c.use[options],
                c.fill[options], c.interval[options], c.limit[[problem]], c.time[[problem]], c.floor[[problem]],
            )
        )  # fmt: skip
        expected = np.where(alone.option >= 0, options[np.maximum(alone.option, 0)], -1)
        np.testing.assert_array_equal(together.option[rows], expected)
        assert together.bound[problem] == alone.bound[0]


def test_a_search_cut_short_gives_a_valid_choice_and_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "KEEP", 1)
    counts = np.zeros(2, dtype=np.int64)
    for seed in range(60):
        counts += check(random_choices(np.random.default_rng(seed), problems=4, rows=5, options=5), exact=False)
    solvable, found = counts
    assert solvable > 100
    assert 0.85 * solvable < found <= solvable


def test_ties_go_to_the_first_option() -> None:
    c = Choices(
        np.array([0, 0]), np.array([0, 0, 1, 1]), np.array([2.0, 2.0, 1.0, 1.0]), np.zeros((4, 3)), np.arange(4.0),
        np.zeros(4), np.full((1, 3), np.inf), np.array([np.inf]), np.zeros(1),
    )  # fmt: skip
    assert choose(c).option.tolist() == [0, 2]
