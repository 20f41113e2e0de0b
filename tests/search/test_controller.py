"""The LSTM controller: its gradients are those of its own log-probabilities, and it draws what it says it does."""

from __future__ import annotations

import numpy as np
import pytest

from flow.search.controller import HIDDEN, LAYERS, Controller


def sharp(sizes: list[int], layers: int) -> Controller:
    """A small controller with large parameters, so that no gradient is lost in rounding."""
    controller = Controller(sizes, np.random.default_rng(0), hidden=3, layers=layers)
    for value in controller.parameters.values():
        value *= 8.0
    return controller


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_the_gradient_is_that_of_finite_differences(layers: int, entropy: float) -> None:
    controller = sharp([3, 2, 1, 4], layers)
    rng = np.random.default_rng(1)
    actions, weights = controller.sample(rng, 5), rng.normal(size=5)

    def objective() -> float:
        probabilities, _ = controller._walk(actions, None)
        entropies = sum(float(-(p * np.log(p)).sum()) for p in probabilities)
        return float((weights * controller.log_probability(actions)).sum()) + entropy * entropies

    gradient = controller.gradient(actions, weights, entropy)
    assert gradient.keys() == controller.parameters.keys()
    for name, value in controller.parameters.items():
        for index in np.ndindex(value.shape):
            before = value[index]
            value[index] = before + 1e-5
            above = objective()
            value[index] = before - 1e-5
            below = objective()
            value[index] = before
            assert gradient[name][index] == pytest.approx((above - below) / 2e-5, abs=2e-7), name


def test_codes_are_drawn_as_often_as_their_probability_says() -> None:
    controller = sharp([2, 3, 2], 2)
    every = np.array(list(np.ndindex(2, 3, 2)))
    probability = np.exp(controller.log_probability(every))
    assert probability.sum() == pytest.approx(1.0)
    drawn = controller.sample(np.random.default_rng(2), 20_000)
    for code, p in zip(every, probability, strict=True):
        share = (drawn == code).all(axis=1).mean()
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / 20_000) + 1e-4


def test_the_sizes_are_those_of_the_paper() -> None:
    controller = Controller([4, 4, 4], np.random.default_rng(0))
    assert (controller.hidden, controller.layers) == (HIDDEN, LAYERS) == (35, 2)
    assert controller.parameters["wx1"].shape == (35, 140)
    assert {n for n in controller.parameters if n.startswith("embed")} == {"embed0", "embed1"}
    assert {n for n in controller.parameters if n.startswith("out")} == {"out0", "out1", "out2"}
