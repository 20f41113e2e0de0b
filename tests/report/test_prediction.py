"""``flow predict``: what a candidate takes on a board, as text and as JSON."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.board import list_boards, load_board
from flow.cli import main
from flow.implement.implementation import Implementation
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import InvalidCandidate, build_network
from flow.report.prediction import predict_candidate, prediction_text
from flow.resources import Measurement
from flow.space.candidate import Candidate, LayerChoice
from flow.space.space import Task, load_space
from flow.spec import make_spec
from tests.report import builder

BOARD = load_board("pynq-z2")
IMAGES = Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10)


def small() -> Candidate:
    return builder.candidate(random.Random(0))


def large() -> Candidate:
    """A network that no reuse factor makes fit: 7 x 7 windows of 64 channels."""
    weight, relu = WeightFormat.parse("fixed<8,1>"), FixedFormat(8, 3, signed=False)
    blocks = tuple(LayerChoice("conv2d", 64, weight, relu, (7, 7)) for _ in range(3))
    return Candidate((32, 32, 3), FixedFormat(8, 0, signed=False), 10, blocks, weight, "gap")


def test_a_candidate_that_fits() -> None:
    spec = make_spec(BOARD)
    result = predict_candidate(small(), BOARD, spec)
    assert result["fits"]
    assert result["reason"] == result["sentence"] == ""
    assert result["misses"] == []
    measurement = Measurement.from_dict(result["measurement"])
    assert measurement.source == "predicted"
    assert measurement.part == BOARD.part
    assert not measurement.resources.exceeds(spec.budget)
    assert result["throughput_per_s"] >= spec.min_throughput_per_s
    implementation = Implementation.from_dict(result["implementation"])
    assert implementation.check(build_network(small())) is None
    assert result["spec"] == spec.to_dict()
    assert result["digest"] == small().digest


def test_a_candidate_that_does_not_fit_says_why_and_by_how_much() -> None:
    result = predict_candidate(large(), BOARD, make_spec(BOARD))
    assert not result["fits"]
    assert result["reason"] == "LUT"
    assert re.fullmatch(r"it needs at least [\d,]+ LUT of [\d,]+, [\d.]+ times as much", result["sentence"])
    (miss,) = [m for m in result["misses"] if m["what"] == "lut"]
    assert miss["amount"] == result["measurement"]["lut"]
    assert miss["limit"] == BOARD.budget.lut
    assert miss["times"] == miss["amount"] / miss["limit"] > 1
    text = prediction_text(result)
    assert "on pynq-z2: does not fit\n" in text
    assert result["sentence"] in " ".join(text.split())


def test_a_candidate_that_is_too_slow_says_so() -> None:
    result = predict_candidate(small(), BOARD, make_spec(BOARD, fps=5e6))
    assert result["reason"] == "throughput"
    assert "interval_cycles" in {miss["what"] for miss in result["misses"]}
    assert "required 5,000,000" in prediction_text(result)


def test_the_text_shows_every_layer_and_every_source() -> None:
    result = predict_candidate(small(), BOARD, make_spec(BOARD, latency_us=900.0))
    text = prediction_text(result)
    for layer in result["layers"]:
        assert re.search(rf"^{re.escape(layer['name'])}\s", text, re.MULTILINE)
    assert "predicted (uncalibrated), hls4ml structural model 1, xc7z020clg400-1, 100 MHz" in text
    for row in ("predicted", "low", "high", "budget", "used"):
        assert re.search(rf"^{row} ", text, re.MULTILINE)
    assert "at most 900 us" in text


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), board=st.sampled_from(list_boards()))
def test_every_text_fits_120_columns_and_every_result_is_json(seed: int, board: str) -> None:
    space = load_space("paper-iccad19+stride-skip", IMAGES)
    try:
        candidate = space.candidate(space.sample(np.random.default_rng(seed), 1)[0], IMAGES)
        result = predict_candidate(candidate, load_board(board), make_spec(load_board(board)))
    except InvalidCandidate:
        return
    text = prediction_text(json.loads(json.dumps(result, allow_nan=False)))
    assert max(map(len, text.splitlines())) <= 120
    assert all(line == line.rstrip() for line in text.splitlines())


# The command


@pytest.fixture
def candidate_file(tmp_path: Path) -> Path:
    path = tmp_path / "candidate.json"
    path.write_text(small().canonical_json(), encoding="utf-8")
    return path


def test_the_command_prints_the_text_and_ends_with_0(candidate_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(candidate_file), "--board", "pynq-z2"]) == 0
    expected = prediction_text(predict_candidate(small(), BOARD, make_spec(BOARD)))
    assert capsys.readouterr().out == expected + "\n"


def test_the_command_prints_json_and_ends_with_1_if_it_does_not_fit(
    candidate_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(candidate_file), "--board", "pynq-z2", "--lut", "300", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result == predict_candidate(small(), BOARD, make_spec(BOARD, lut=300.0))
    assert not result["fits"]


def test_a_candidate_that_is_no_network_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = small().to_dict()
    data["layers"][0]["pool"] = 99
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert main(["predict", str(path), "--board", "pynq-z2"]) == 2
    assert capsys.readouterr().err == "flow: error: conv2d1: pooling 99 on a 8x8 image\n"


def test_predicting_imports_no_framework(candidate_file: Path, repository: Path) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "flow", "predict", str(candidate_file), "--board", "pynq-z2"]
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, timeout=60, check=True)
    imported = {name.split(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE)}
    assert "numpy" in imported
    assert not imported & {"tensorflow", "keras", "qkeras", "optuna", "sklearn", "scipy", "hls4ml", "da4ml", "jax"}
