"""Proposing: feasible, new, seeded, and near to what the sampler asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flow.search.check import Checker
from flow.search.propose import Proposer
from flow.search.samplers import SAMPLERS
from flow.search.settings import SearchSettings, resolve

SETTINGS = SearchSettings(board="pynq-z2", space="cnn-small")


def checker_of(**changes: object) -> Checker:
    problem = resolve(replace(SETTINGS, **changes))  # type: ignore[arg-type]
    return Checker(problem.space, problem.task, problem.spec, problem.board.family)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("lut", [4000.0, 30000.0])
def test_every_proposal_is_feasible_and_new(sampler: str, lut: float) -> None:
    checker = checker_of(lut=lut)
    proposer = Proposer(checker, sampler, seed=1)
    seen = set()
    for number in range(30):
        proposal = proposer.propose()
        assert proposal is not None
        assert proposal.number == number
        assert checker.check(proposal.code[None, :]).feasible.all()
        seen.add(proposal.code.tobytes())
        proposer.tell(proposal, 0.9 if number % 5 else None, float(number + 1))
    assert len(seen) == 30


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_follow_from_the_seed_and_the_results(sampler: str) -> None:
    def run(seed: int, gain: float) -> list[bytes]:
        proposer = Proposer(checker_of(), sampler, seed)
        codes = []
        for _ in range(24):
            proposal = proposer.propose()
            assert proposal is not None
            codes.append(proposal.code.tobytes())
            proposer.tell(proposal, 0.5 + gain * float(proposal.code.sum()) / 100, float(proposal.code[1] + 1))
        return codes

    assert run(0, 1.0) == run(0, 1.0)
    assert run(0, 1.0) != run(1, 1.0)
    if sampler != "random":
        assert run(0, 1.0) != run(0, -1.0), "a sampler that ignores results is no sampler"


def test_random_proposals_are_uniform_over_the_feasible_codes() -> None:
    """Every feasible option of the first decision comes about as often as plain rejection sampling finds it."""
    checker = checker_of(lut=6000.0)
    proposer = Proposer(checker, "random", seed=2)
    drawn = []
    for _ in range(400):
        proposal = proposer.propose()
        assert proposal is not None
        drawn.append(proposal.code)
    codes = checker.space.sample(np.random.default_rng(5), 20_000)
    feasible = codes[checker.check(codes).feasible]
    for column in range(checker.space.sizes.size):
        expected = np.bincount(feasible[:, column], minlength=8) / len(feasible)
        found = np.bincount(np.array(drawn)[:, column], minlength=8) / len(drawn)
        spread = 4.5 * np.sqrt(expected * (1 - expected) * (1 / len(drawn) + 1 / len(feasible))) + 2 / len(drawn)
        assert (np.abs(found - expected) <= spread).all(), checker.space.decisions[column].name


def test_what_does_not_fit_is_counted_by_reason() -> None:
    proposer = Proposer(checker_of(lut=6000.0), "random", seed=0)
    proposer.propose()
    assert proposer.rejected["LUT"] > 0
    assert sum(proposer.rejected.values()) < proposer.checked


def test_an_impossible_spec_ends_the_proposals_and_keeps_the_nearest_miss() -> None:
    for sampler in SAMPLERS:
        proposer = Proposer(checker_of(lut=30.0), sampler, seed=0)
        assert proposer.propose() is None
        assert proposer.nearest_miss is not None
        assert proposer.nearest_miss[0] > 0
