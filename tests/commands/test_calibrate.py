"""``flow calibrate`` with a run whose winners a tool synthesized."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from flow.estimate.calibrated import CalibratedEstimator, Coefficients, shipped
from flow.estimate.calibration_runs import predict_reports, read_run
from tests.commands.builder import Flow
from tests.hls.builder import FAKE_TOOLS

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import
pytest.importorskip("hls4ml")


def test_reports_of_the_users_tool_bring_predictions_nearer_to_it(runs: Path, flow: Flow, tmp_path: Path) -> None:
    assert flow("synth", "first", "--all", "--runs", runs, "--tool", FAKE_TOOLS / "vitis_hls").code == 0
    done = flow("calibrate", runs / "first", "--out", tmp_path / "own")
    assert done.code == 0
    assert done.out.startswith("scaled to 3 own reports: FF x ")
    path = tmp_path / "own" / "hls4ml.json"
    own = Coefficients.from_json(path.read_text(), "own")
    assert json.loads(path.read_text())["data"]["adapted to"] == 3
    reports = read_run(runs / "first")
    for name in ("lut", "ff"):
        errors = []
        for coefficients in (shipped(), own):
            reported, predicted = predict_reports(coefficients, reports, name)
            errors.append(sorted(abs(math.log(r / p)) for r, p in zip(reported, predicted, strict=True))[1])
        assert errors[1] < errors[0], name
    assert "own reports" in CalibratedEstimator(own).note
