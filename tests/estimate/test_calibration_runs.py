"""A user's own synthesized runs make the predictor better for that tool and board, with one command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.board import load_board
from flow.errors import InputError
from flow.estimate.calibrated import VARIABLE, CalibratedEstimator, shipped
from flow.estimate.calibration import calibrate
from flow.estimate.calibration_runs import read_run
from flow.estimate.predict import predict
from flow.implement.solver import solve
from flow.network.fixed import FixedFormat
from flow.network.network import InvalidCandidate, build_network
from flow.resources import Measurement, Resources
from flow.space.space import Task, load_space
from flow.spec import make_spec

BOARD = load_board("pynq-z2")
TASK = Task((16,), FixedFormat(8, 3), 5)
FACTOR = {"lut": 0.6, "ff": 1.8}
"""What this user's tool reports of what is predicted."""


def evaluations(count: int, seed: int) -> list[dict[str, Any]]:
    """Candidates as a search evaluated and `flow synth` measured them, by a tool that is off by FACTOR, give or take
    10%."""
    rng, space = np.random.default_rng(seed), load_space("mlp-jets", TASK)
    found: list[dict[str, Any]] = []
    while len(found) < count:
        candidate = space.candidate(space.sample(rng, 1)[0], TASK)
        try:
            network = build_network(candidate)
        except InvalidCandidate:
            continue
        spec = make_spec(BOARD)
        implementation = solve(network, replace(spec, budget=Resources()), BOARD.family)
        total = predict(network, implementation, BOARD.part, BOARD.family, CalibratedEstimator(shipped())).total
        amounts = {n: (v or 0) * FACTOR.get(n, 1.0) * rng.uniform(0.9, 1.1) for n, v in total.resources}
        hls = Measurement("hls", "Vitis HLS", "2024.2", BOARD.part, total.clock_mhz, Resources(**amounts))
        found.append({"schema": 1, "digest": candidate.digest, "candidate": candidate.to_dict(),
                      "implementation": implementation.to_dict(),
                      "measurements": [total.to_dict(), hls.to_dict()]})  # fmt: skip
    return found


def run_of(folder: Path, entries: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("schema: 1\n")
    for entry in entries:
        place = folder / "candidates" / entry["digest"]
        place.mkdir(parents=True, exist_ok=True)
        (place / "evaluation.json").write_text(json.dumps(entry))
    return folder


def misses(estimator: CalibratedEstimator, run: Path) -> Mapping[str, float]:
    """Median error of each resource on a run: |log(reported / predicted)|."""
    out: dict[str, list[float]] = {"lut": [], "ff": []}
    for report in read_run(run):
        total = predict(report.network, report.implementation, BOARD.part, BOARD.family, estimator).total
        for name, errors in out.items():
            ratio = getattr(report.measured.resources, name) / getattr(total.resources, name)
            errors.append(abs(float(np.log(ratio))))
    return {name: float(np.median(errors)) for name, errors in out.items()}


def test_own_runs_make_the_predictor_better_for_other_designs_of_that_tool(tmp_path: Path) -> None:
    mine, later = (run_of(tmp_path / n, evaluations(12, seed)) for n, seed in (("mine", 1), ("later", 2)))
    own = CalibratedEstimator(calibrate([mine], tmp_path / "out"))
    before, after = misses(CalibratedEstimator(shipped()), later), misses(own, later)
    assert after["lut"] < 0.5 * before["lut"]
    assert after["ff"] < 0.5 * before["ff"]
    assert 0.6 < own.fitted.scale["lut"] < 0.8  # drawn to 1, as twelve reports are few
    assert own.note.endswith("scaled to 12 own reports")
    assert own.fitted.terms == shipped().terms


def test_the_same_run_gives_the_same_bytes_and_one_beside_rows_counts_too(tmp_path: Path, shared_data: Path) -> None:
    mine = run_of(tmp_path / "mine", evaluations(3, 3))
    shutil.copytree(mine, tmp_path / "copy")
    for folder, run in (("a", mine), ("b", tmp_path / "copy")):
        calibrate([run], tmp_path / folder)
    assert (tmp_path / "a" / "hls4ml.json").read_bytes() == (tmp_path / "b" / "hls4ml.json").read_bytes()
    rows = [shared_data / "synthesis" / f"{name}.csv" for name in ("wa_hls4ml_dense", "hls4ml_layers")]
    both = calibrate([*rows, mine], tmp_path / "c")
    assert both.data["adapted to"] == 3
    assert both.scale["lut"] < 1 < both.scale["ff"]


def test_all_commands_use_the_coefficients_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = calibrate([run_of(tmp_path / "mine", evaluations(4, 4))], tmp_path / "out")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "out" / "hls4ml.json"))
    assert CalibratedEstimator().fitted.scale == pytest.approx(dict(fitted.scale), rel=1e-6)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere.json"))
    with pytest.raises(InputError, match=r"FLOW_COEFFICIENTS: .*nowhere\.json can't be read"):
        _ = CalibratedEstimator().fitted
    monkeypatch.delenv(VARIABLE)
    assert CalibratedEstimator().fitted.scale == {}


def test_a_run_without_reports_says_what_to_do(tmp_path: Path) -> None:
    entries = evaluations(1, 5)
    entries[0]["measurements"] = entries[0]["measurements"][:1]
    with pytest.raises(InputError, match="no candidate has a report of HLS yet, `flow synth RUN` makes them"):
        calibrate([run_of(tmp_path / "mine", entries)], tmp_path / "out")
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match="not a run directory"):
        calibrate([tmp_path / "plain"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("field", ["candidate", "implementation", "measurements"])
def test_a_damaged_evaluation_is_one_clear_error(field: str, tmp_path: Path) -> None:
    entries = evaluations(1, 6)
    entries[0][field] = {"schema": 7} if field != "measurements" else [{"source": "hls"}]
    with pytest.raises(InputError, match=r"evaluation\.json"):
        calibrate([run_of(tmp_path / "mine", entries)], tmp_path / "out")
