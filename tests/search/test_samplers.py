"""The contract of samplers, for every one there is, and for one that a user adds as a file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from flow.errors import InputError
from flow.search import samplers
from flow.search.check import Checker
from flow.search.feasible import FeasibleCodes
from flow.search.pareto import hypervolume, pareto_front
from flow.search.samplers import SAMPLERS, make_sampler, titles
from flow.search.samplers.ehvi import expected_gain, staircase, unwarped, warped
from flow.search.samplers.reinforce import UPDATE_EVERY, Learner
from flow.search.settings import SearchSettings, resolve
from flow.space.space import Codes

SMALL = """
schema: 1
name: small
layers:
  - {kind: dense, repeat: [1, 2], units: [4, 8], weight: [binary, ternary, 'fixed<3,1>'], activation: ['ufixed<2,1>']}
output: {weight: ['fixed<4,1>', 'fixed<6,1>']}
"""
HOWTO = Path(__file__).parents[2] / "docs" / "howto-sampler.md"


@pytest.fixture
def checker(tmp_path: Path) -> Checker:
    (tmp_path / "small.yaml").write_text(SMALL)
    problem = resolve(SearchSettings(board="pynq-z2", space=str(tmp_path / "small.yaml"), lut=12_000.0))
    return Checker(problem.space, problem.task, problem.spec, problem.board.family)


def result_of(code: Codes, way: float = 1.0) -> tuple[float, float]:
    """Some accuracy and cost: bits and units are good, and cost something."""
    return min(max(0.5 + way * float(code.sum() - 4) / 8, 0.0), 1.0), float(1 + code[1] + code[0])


def drive(name: str, checker: Checker, trials: int, lag: int = 0, seed: int = 3, way: float = 1.0) -> list[bytes]:
    """Codes a sampler asks for, its results told ``lag`` trials late; every third candidate fails."""
    codes = FeasibleCodes(checker, seed)
    sampler = make_sampler(name, codes, seed)
    asked: list[Codes] = []
    for number in range(trials + lag):
        if number < trials:
            code = sampler.ask()
            if code is None:
                break
            assert code.shape == checker.space.sizes.shape
            assert np.array_equal(checker.space.canonical(code[None, :])[0], code)
            assert checker.check(code[None, :]).feasible.all()
            assert code.tobytes() not in codes.taken, "asked for twice"
            codes.take(code)
            asked.append(code)
        if number >= lag:
            accuracy, cost = result_of(asked[number - lag], way)
            sampler.tell(asked[number - lag], accuracy if number % 3 else None, cost)
    return [code.tobytes() for code in asked]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("lag", [0, 3])
def test_a_sampler_keeps_the_contract_and_uses_up_a_small_space(name: str, lag: int, checker: Checker) -> None:
    everything = drive(name, checker, 1000, lag)
    space = checker.space
    codes = np.unique(space.sample(np.random.default_rng(0), 4000), axis=0)
    feasible = codes[checker.check(codes).feasible]
    assert len(everything) == len(feasible) >= 20
    assert set(everything) == {c.tobytes() for c in feasible}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_follows_from_its_seed_and_the_results_alone(name: str, checker: Checker) -> None:
    first = drive(name, checker, 40, lag=2)
    assert drive(name, checker, 40, lag=2) == first
    assert drive(name, checker, 40, lag=2, seed=4) != first
    if name != "random":
        assert drive(name, checker, 40, lag=2, way=-1.0) != first, "results make no difference"


def test_every_sampler_says_what_it_is() -> None:
    found = titles()
    assert set(found) == set(SAMPLERS) >= {"random", "tpe", "nsga2", "reinforce", "ehvi"}
    assert all(text and "\n" not in text for text in found.values())


def test_an_unknown_sampler_is_named_with_the_nearest(checker: Checker) -> None:
    with pytest.raises(InputError, match=r"unknown sampler 'tp'.*tpe"):
        make_sampler("tp", FeasibleCodes(checker, 0), 0)


def test_the_sampler_of_the_howto_is_one_file(
    tmp_path: Path, checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HOWTO.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    source = next(b for b in blocks if "def make(codes" in b)
    (tmp_path / "climb.py").write_text(source)
    monkeypatch.setattr(samplers, "__path__", [*samplers.__path__, str(tmp_path)])
    monkeypatch.setattr(samplers, "SAMPLERS", samplers.names())
    assert "climb" in samplers.SAMPLERS
    assert drive("climb", checker, 18, lag=2) == drive("climb", checker, 18, lag=2)
    assert drive("climb", checker, 18, lag=2, way=-1.0) != drive("climb", checker, 18, lag=2)


def test_expected_gain_without_doubt_is_the_gain_in_hypervolume() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        accuracy, cost = rng.uniform(0.5, 0.98, 6), rng.uniform(2.0, 4.0, 6)
        new_accuracy, new_cost = float(rng.uniform(0.5, 0.98)), float(rng.uniform(2.0, 4.0))
        gain = expected_gain(warped(np.array([new_accuracy])), np.zeros(1), np.array([new_cost]), accuracy, cost)[0]
        reference = (accuracy.max() / 2, max(cost.max(), new_cost) + 1e-3)
        points = list(zip(accuracy.tolist(), cost.tolist(), strict=True))
        before = hypervolume(points, reference)
        assert gain == pytest.approx(hypervolume([*points, (new_accuracy, new_cost)], reference) - before, abs=1e-9)
        assert sorted(staircase(accuracy, cost).tolist()) == sorted(pareto_front(points))


def test_doubt_is_worth_something() -> None:
    known = np.array([0.9]), np.array([3.0])
    sure, unsure = (
        expected_gain(warped(np.array([0.88])), np.array([d]), np.array([3.0]), *known)[0] for d in (0.0, 0.5)
    )
    assert sure == 0.0
    assert unsure > 0.0


def test_warping_is_undone() -> None:
    values = np.linspace(0, 1, 11)
    assert unwarped(warped(values)) == pytest.approx(values)


def test_reinforce_learns_which_option_is_rewarded() -> None:
    learner = Learner(np.array([3, 4, 2]), np.random.default_rng(0))
    for _ in range(150 * UPDATE_EVERY):
        actions = learner.sample(1)[0]
        learner.reward(actions, float(actions[1] == 2))
    assert (learner.sample(400)[:, 1] == 2).mean() > 0.9
