"""How much of the paper's space keeps its limits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.paper import CORRECTED, PAPER, Limits
from flow.paper.candidates import from_candidate
from flow.paper.feasible import PAPER_LIMITS, share_of_feasible, shares_text, wilson
from flow.paper.solve import solve_many
from flow.space.space import Task, load_space


@given(st.integers(1, 5000), st.data())
def test_the_interval_holds_the_share_and_stays_between_0_and_1(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


def test_the_interval_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    with pytest.raises(InputError, match="no share"):
        wilson(0, 0)


def test_the_share_counts_the_networks_that_the_solver_solves() -> None:
    space = load_space("paper-iccad19")
    codes = space.sample(np.random.default_rng(9), 120)
    limits = Limits(15_000, 2000)
    (share,) = share_of_feasible(120, 9, (CORRECTED,), (limits,))
    task = Task((32, 32, 3), FixedFormat(7, 1, signed=False), 10)
    networks = []
    for code in codes:
        try:
            networks.append(from_candidate(space.candidate(code, task)))
        except InputError:
            continue
    assert share.samples - share.no_bits == len(networks)
    assert share.feasible_real == sum(design is not None for design in solve_many(networks, limits, CORRECTED))
    assert 0 < share.feasible_real <= share.feasible < share.samples


def test_shares_rise_with_the_limit_and_repeat_with_the_seed() -> None:
    shares = share_of_feasible(600, seed=1)
    assert [(s.model.name, s.limits) for s in shares] == [
        (m.name, li) for m in (PAPER, CORRECTED) for li in PAPER_LIMITS
    ]
    for three in (shares[:3], shares[3:]):
        assert three[0].feasible < three[1].feasible <= three[2].feasible
    assert all(s.low <= s.share <= s.high for s in shares)
    assert share_of_feasible(600, seed=1) == shares
    assert share_of_feasible(600, seed=2) != shares


def test_a_network_that_is_resident_with_its_dense_layers_fits_less_often() -> None:
    limits = (Limits(10_000, 2000),)
    apart, together = share_of_feasible(400, 0, (CORRECTED, CORRECTED.with_options(resident=True, dense=True)), limits)
    assert together.feasible < apart.feasible


def test_shares_are_shown_with_model_limits_and_interval() -> None:
    shares = share_of_feasible(50, 0, (PAPER,), (Limits(30_000, 1000),))
    text = shares_text(shares)
    assert "30,000" in text
    assert "95% interval" in text
    assert f"{100 * shares[0].share:.2f}%" in text
    assert json.loads(json.dumps(shares[0].to_dict()))["limits"] == {"lut": 30_000, "throughput_per_s": 1000}
