"""Predictions corrected by what a tool reported: nothing changes without reports, and with them the bias goes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from flow.estimate.calibrated import CALIBRATED
from flow.estimate.corrected import COLUMNS, MOST, NOTE, CorrectedEstimator, Correction
from flow.estimate.structural import Estimate
from flow.estimate.table import LayerTable
from flow.network.fixed import FixedFormat
from flow.resources import RESOURCE_NAMES, Measurement, Resources
from flow.space.batch import batch_table
from flow.space.space import Task, load_space

FAMILY = "zynq7000"
TASK = Task((16,), FixedFormat(8, 3), 5)
PREDICTED = Measurement("predicted", "model", "1", "xc7z020clg400-1", 200.0, Resources(4000, 3000, 20, 40), 300, 100)


def scaled(factor: float, m: Measurement = PREDICTED) -> Measurement:
    """What a tool reports whose numbers are all ``factor`` times the predicted ones."""
    r = m.resources
    resources = Resources(*(None if value is None else round(value * factor) for _, value in r))
    assert m.latency_cycles is not None
    assert m.interval_cycles is not None
    return replace(
        m, source="hls", resources=resources,
        latency_cycles=round(m.latency_cycles * factor), interval_cycles=round(m.interval_cycles * factor),
    )  # fmt: skip


def after(factor: float, reports: int) -> Correction:
    """The correction after ``reports`` designs that all deviate by ``factor``."""
    correction = Correction()
    for _ in range(reports):
        correction = correction.with_report(PREDICTED, scaled(factor), stream=True)
    return correction


def table() -> LayerTable:
    """The layers of random networks."""
    space = load_space("mlp-jets", TASK)
    return batch_table(space, space.sample(np.random.default_rng(5), 16), TASK).table


def rows(estimator: CorrectedEstimator, layers: LayerTable) -> tuple[Estimate, np.ndarray, np.ndarray]:
    """Middles and both ends, all layers streaming with reuse factor 4."""
    setting = (np.full(len(layers), 4), np.full(len(layers), True), np.full(len(layers), False), FAMILY)
    estimate = estimator.rows(layers, *setting)
    return estimate, *estimator.bounds(layers, *setting, estimate)


def test_without_reports_it_is_the_base_estimator() -> None:
    layers = table()
    setting = (np.full(len(layers), 4), np.full(len(layers), True), np.full(len(layers), False), FAMILY)
    corrected = CorrectedEstimator(CALIBRATED, Correction())
    estimate, low, high = rows(corrected, layers)
    base = CALIBRATED.rows(layers, *setting)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(estimate, name), getattr(base, name))
    for own, theirs in zip((low, high), CALIBRATED.bounds(layers, *setting, base), strict=True):
        np.testing.assert_array_equal(own, theirs)
    np.testing.assert_array_equal(corrected.top(), CALIBRATED.top())
    assert corrected.note == CALIBRATED.note


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_trust_in_a_common_deviation_grows_with_every_report(factor: float) -> None:
    found = [after(factor, n).factors()["lut"] for n in (0, 1, 2, 4, 16)]
    distance = [abs(math.log(factor) - math.log(f)) for f in found]
    assert found[0] == 1.0
    assert distance == sorted(distance, reverse=True)
    assert len(set(distance)) == len(distance)
    assert found[-1] == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_corrected_layers_and_intervals_follow_the_reports(factor: float) -> None:
    layers = table()
    before, _, high_before = rows(CorrectedEstimator(CALIBRATED, Correction()), layers)
    corrected = CorrectedEstimator(CALIBRATED, after(factor, 16))
    now, low, high = rows(corrected, layers)
    assert now.lut.sum() / before.lut.sum() == pytest.approx(factor, rel=0.04)
    # Cycles are rounded up, layer by layer.
    exact = before.interval * corrected.correction.factors()["interval"]
    assert corrected.correction.factors()["interval"] == pytest.approx(factor, rel=0.1)
    assert (now.interval >= exact - 1e-6).all()
    assert (now.interval < exact + 1).all()
    middle = now.resources()
    assert (low >= 0).all()
    assert (low <= middle).all()
    assert (middle <= high).all()
    width = high[:, 0].sum() / now.lut.sum()
    assert width < high_before[:, 0].sum() / before.lut.sum()
    assert corrected.note.endswith(NOTE)


def test_the_order_of_the_reports_does_not_matter() -> None:
    found = []
    for order in permutations((0.7, 1.1, 1.3)):
        correction = Correction()
        for factor in order:
            correction = correction.with_report(PREDICTED, scaled(factor), stream=True)
        found.append(correction.factors())
    assert all(f == found[0] for f in found)


def test_what_a_report_does_not_say_is_left_alone() -> None:
    report = replace(scaled(1.4), resources=Resources(lut=5600), latency_cycles=None, interval_cycles=None)
    factors = Correction().with_report(PREDICTED, report, stream=True).factors()
    assert factors.pop("lut") > 1.05
    assert set(factors.values()) == {1.0}
    assert set(factors) == {*RESOURCE_NAMES, "interval", "fill"} - {"lut"}


def test_a_tool_that_is_far_off_moves_a_prediction_by_ten_at_most() -> None:
    assert after(1000.0, 8).factors()["lut"] == pytest.approx(math.exp(MOST))
