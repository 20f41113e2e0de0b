"""Many codes become one table: what is decided for a candidate depends on that candidate alone."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.board import load_board
from flow.estimate.table import COLUMNS
from flow.network.fixed import FixedFormat
from flow.search.check import Checker
from flow.space.batch import RULES, batch_table
from flow.space.space import Task, load_space
from flow.spec import make_spec

TASKS = {
    "mlp-tiny": Task((16,), FixedFormat(8, 3), 5),
    "mlp-jets": Task((16,), FixedFormat(8, 3), 5),
    "cnn-small": Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10),
    "cnn-cifar10": Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10),
    "paper-iccad19": Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10),
    "paper-iccad19+stride-skip": Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10),
}


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_candidate_has_the_same_rows_in_any_batch(name: str, seed: int) -> None:
    space, task = load_space(name), TASKS[name]
    codes = space.sample(np.random.default_rng(seed), 20)
    together = batch_table(space, codes, task)
    for number in (0, 7, 19):
        alone = batch_table(space, codes[[number]], task)
        assert alone.broken[0] == together.broken[number]
        rows = together.table.select(together.table.network == number)
        for column in COLUMNS[1:]:
            np.testing.assert_array_equal(getattr(alone.table, column), getattr(rows, column), err_msg=column)


@pytest.mark.parametrize("name", TASKS)
def test_broken_candidates_have_no_rows_and_others_have_all(name: str) -> None:
    space, task = load_space(name), TASKS[name]
    batch = batch_table(space, space.sample(np.random.default_rng(1), 300), task)
    there = np.bincount(batch.table.network, minlength=300) > 0
    np.testing.assert_array_equal(there, batch.broken == 0)
    assert (np.diff(batch.table.network) >= 0).all()
    assert batch.table.networks == 300
    assert set(batch.broken.tolist()) <= set(range(len(RULES)))
    np.testing.assert_array_equal(batch.faults > 0, batch.broken > 0)
    last = batch.table.select(np.diff(batch.table.network, append=300) > 0)
    assert (last.out_c == task.classes).all(), "the output layer comes last"


def test_a_search_can_climb_down_the_faults_of_a_space_that_is_nearly_all_invalid() -> None:
    """In the paper's space with strides and skips a random code is valid once in thousands."""
    space, task = load_space("paper-iccad19+stride-skip"), TASKS["paper-iccad19+stride-skip"]
    rng = np.random.default_rng(0)
    codes = space.sample(rng, 64)
    for _ in range(30):
        faults = batch_table(space, codes, task).faults
        best = codes[np.argsort(faults, kind="stable")[:8]].repeat(16, axis=0)
        flip = rng.random(best.shape) < 0.03
        children = space.canonical(np.where(flip, rng.integers(0, space.sizes, size=best.shape), best))
        codes = np.concatenate([best[::16], children])
    assert (batch_table(space, codes, task).broken == 0).mean() > 0.2


def test_no_codes_make_an_empty_table() -> None:
    space, task = load_space("cnn-small"), TASKS["cnn-small"]
    batch = batch_table(space, space.sample(np.random.default_rng(0), 0), task)
    assert len(batch.table) == len(batch.broken) == 0


@pytest.mark.parametrize("name", ["mlp-tiny", "mlp-jets", "cnn-small", "cnn-cifar10", "paper-iccad19"])
def test_thousands_of_candidates_a_second_are_judged(name: str) -> None:
    """10,000 and more on an idle core, see ``benchmarks/bench_candidates.py``; a third of it on any machine."""
    board = load_board("pynq-z2")
    space, task = load_space(name), TASKS[name]
    checker, rng = Checker(space, task, make_spec(board), board.family), np.random.default_rng(0)
    times = []
    for _ in range(6):
        start = time.process_time()
        checked = checker.check(space.sample(rng, 512))
        times.append(time.process_time() - start)
        assert len(checked.feasible) == 512
    assert 512 / min(times) > 3_300
