"""The Gaussian process: interpolates, knows what it does not know, and finds out which kernel the data ask for."""

from __future__ import annotations

import numpy as np
import pytest

from flow.search.check import checker_for
from flow.search.process import MOST, Inputs, Process, distances, fit, kernel
from flow.search.settings import SearchSettings, resolve


def points(count: int, seed: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    return Inputs(rng.random((count, 3)), rng.integers(0, 2, (count, 2)), rng.normal(size=(count, 4)))


def test_predictions_are_those_of_the_textbook() -> None:
    at, other = points(12), points(5, seed=1)
    y = np.random.default_rng(2).normal(size=12)
    process = Process(at, y, 0.5, 2.0, share=0.4, code_length=2.0, feature_length=1.5, noise=0.1)

    def k(a: Inputs, b: Inputs) -> np.ndarray:
        return kernel(distances(a, b), 0.4, 2.0, 1.5)

    inverse = np.linalg.inv(k(at, at) + 0.1 * np.eye(12))
    mean = k(other, at) @ inverse @ y
    variance = np.diag(k(other, other) - k(other, at) @ inverse @ k(at, other))
    found, deviation = process.predict(other)
    assert found == pytest.approx(0.5 + 2.0 * mean)
    assert deviation == pytest.approx(2.0 * np.sqrt(variance))


def test_it_is_surer_near_what_it_has_seen() -> None:
    at = points(30)
    y = np.random.default_rng(2).normal(size=30)
    process = Process(at, y, 0.0, 1.0, share=0.4, code_length=2.0, feature_length=1.0, noise=0.01)
    assert process.predict(at)[1].mean() < 0.5 * process.predict(points(30, seed=9))[1].mean()


def test_it_learns_from_the_features_when_these_decide() -> None:
    at, other = points(60), points(40, seed=5)
    process = fit(at, at.features[:, 0] + 0.5 * at.features[:, 1])
    assert process.share < 0.7
    truth = other.features[:, 0] + 0.5 * other.features[:, 1]
    assert np.corrcoef(process.predict(other)[0], truth)[0, 1] > 0.9


def test_a_long_history_is_cut_to_the_best_and_the_latest() -> None:
    at = points(MOST + 150)
    values = np.arange(MOST + 150, dtype=np.float64)[::-1].copy()
    process = fit(at, values)
    assert len(process.points) == MOST
    assert np.array_equal(process.points.features[0], at.features[0])
    assert np.array_equal(process.points.features[-1], at.features[-1])


def test_equal_results_are_no_trouble() -> None:
    mean, deviation = fit(points(10), np.full(10, 0.9)).predict(points(3, seed=1))
    assert mean == pytest.approx(np.full(3, 0.9))
    assert np.isfinite(deviation).all()


def test_codes_become_inputs_whatever_the_space() -> None:
    for space in ("cnn-small", "mlp-tiny"):
        problem = resolve(SearchSettings(board="pynq-z2", space=space))
        checker = checker_for(problem)
        codes = problem.space.sample(np.random.default_rng(0), 20)
        first, second = Process.inputs(problem.space, [codes[:12], codes[12:]], checker.features)
        assert (len(first), len(second)) == (12, 8)
        assert 0 <= first.ordered.min() <= first.ordered.max() <= 1
        assert abs(np.concatenate([first.features, second.features]).mean(axis=0)).max() < 1e-9
