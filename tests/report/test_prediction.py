"""``flow predict``: what a candidate or a model takes on a board, as text and as JSON."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.board import list_boards, load_board
from flow.cli import main
from flow.estimate import STRUCTURAL
from flow.estimate.predict import after_synthesis
from flow.implement.implementation import Implementation
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import InvalidCandidate, build_network
from flow.report.prediction import predict_candidate, predict_subject
from flow.report.prediction_text import prediction_text
from flow.report.remedies import Asked
from flow.report.subject import candidate_subject, load_subject
from flow.resources import Measurement
from flow.space.candidate import Candidate, LayerChoice
from flow.space.space import Task, load_space
from flow.spec import make_spec
from tests.archive import builder as archive
from tests.archive.builder import write_small
from tests.report import builder

BOARD = load_board("pynq-z2")
IMAGES = Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10)


def small() -> Candidate:
    return builder.candidate(random.Random(1))


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
    end = r"\(upper end of its 90% interval\)"
    assert re.fullmatch(rf"it needs at least [\d,]+ LUT {end} of [\d,]+, [\d.]+ times as much", result["sentence"])
    (miss,) = [m for m in result["misses"] if m["what"] == "lut"]
    assert miss["amount"] == result["measurement"]["high"]["lut"]
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
    told = " ".join(text.split())
    assert "predicted (calibrated to csynth reports of Vivado HLS and Vitis HLS" in told
    assert "hls4ml calibrated model 1, xc7z020clg400-1, 100 MHz: what HLS reports, before logic synthesis" in told
    assert (result["stage"], result["calibrated"]) == ("hls", True)
    for row in ("predicted", "low", "high", "budget", "used, high"):
        assert re.search(rf"^{row} ", text, re.MULTILINE)
    assert "at most 900 us" in text


def test_what_logic_synthesis_should_leave_stands_beside_the_prediction_and_decides_nothing() -> None:
    result = predict_candidate(small(), BOARD, make_spec(BOARD))
    hls, after = (Measurement.from_dict(result[key]) for key in ("measurement", "synthesized"))
    assert after == after_synthesis(hls)
    assert "predicts logic synthesis" in after.note
    told = " ".join(prediction_text(result).split())
    assert (
        f"synthesis expected to leave {after.resources.lut:,} LUT ({after.low.lut:,} to {after.high.lut:,}), " in told
    )
    # What is left after synthesis would fit here; what HLS reports does not, and that is what is held against a budget.
    tight = predict_candidate(small(), BOARD, make_spec(BOARD, lut=result["measurement"]["low"]["lut"]))
    assert not tight["fits"]
    assert tight["synthesized"]["lut"] < tight["spec"]["budget"]["lut"]


def test_a_model_that_knows_no_reports_says_nothing_of_logic_synthesis() -> None:
    result = predict_candidate(small(), BOARD, make_spec(BOARD), STRUCTURAL)
    assert result["synthesized"] is None
    assert "expected to leave" not in prediction_text(result)


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


def test_a_narrow_terminal_gets_narrow_text(tmp_path: Path) -> None:
    config = archive.sequential(
        [archive.layer("Flatten", "f"), archive.dense("a_layer_with_a_long_name", 4)], (4, 4, 1)
    )
    variables = archive.arrays({"a_layer_with_a_long_name": ((16, 4), (4,))})
    subject = load_subject(archive.write(tmp_path / "m.keras", config, variables))
    result = predict_subject(subject, BOARD, make_spec(BOARD), asked=Asked())
    wide, narrow = prediction_text(result), prediction_text(result, 80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "a_layer_with_a_long…" in wide
    above = [" ".join(text.partition("layers,")[0].partition("\n")[2].split()) for text in (wide, narrow)]
    assert above[0] == above[1]  # below the name of the file only lines are broken


def test_the_middle_of_the_interval_can_be_asked_for() -> None:
    upper = predict_candidate(small(), BOARD, make_spec(BOARD))
    budget = (upper["measurement"]["lut"] + upper["measurement"]["high"]["lut"]) / 2
    middle = predict_candidate(small(), BOARD, make_spec(BOARD, lut=budget, bound="middle"))
    assert middle["fits"]
    assert middle["misses"] == []
    text = prediction_text(middle)
    assert "the middle has to fit" in text
    assert re.search("^used ", text, re.MULTILINE)


def test_the_slowest_layer_is_named() -> None:
    result = predict_candidate(small(), BOARD, make_spec(BOARD))
    name, cycles = result["bottleneck"]["layer"], result["bottleneck"]["interval_cycles"]
    assert cycles == max(layer["interval_cycles"] for layer in result["layers"])
    assert cycles == result["measurement"]["interval_cycles"]
    assert re.search(rf"^bottleneck {name}, {cycles:,} cycle", prediction_text(result), re.MULTILINE)


# Models


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write_small(tmp_path / "m.keras", zeros=0.6)


def test_a_model_is_predicted_like_a_candidate_and_says_what_it_was_taken_for(model_file: Path) -> None:
    result = predict_subject(load_subject(model_file), BOARD, make_spec(BOARD, bound="middle"), asked=Asked())
    assert result["fits"]
    assert [layer["name"] for layer in result["layers"]][:3] == ["conv1", "relu1", "pool1"]
    assert result["subject"]["weights_known"]
    text = prediction_text(result)
    assert text.startswith(f"{model_file} on pynq-z2: fits\n")
    assert "input      ufixed<8,0> (assumed)\n" in text
    assert re.search(r"^weights    those in the file: \d+% to \d+% of a layer's are zero", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 120


def test_zeros_among_the_weights_take_less_hardware(tmp_path: Path) -> None:
    def layers(zeros: float, fps: float) -> dict[str, dict[str, Any]]:
        subject = load_subject(write_small(tmp_path / "m.keras", zeros))
        spec = make_spec(BOARD, lut=45_000, fps=fps, bound="middle")
        return {la["name"]: la for la in predict_subject(subject, BOARD, spec)["layers"]}

    sparse, full = layers(0.9, 300_000)["conv1"], layers(0.0, 300_000)["conv1"]
    assert sparse["reuse_factor"] == full["reuse_factor"] == 1
    assert sparse["lut"] < 0.8 * full["lut"]
    # A layer whose weights are in memory takes what it takes.
    sparse, full = layers(0.9, 20_000)["conv2"], layers(0.0, 20_000)["conv2"]
    assert sparse["reuse_factor"] == full["reuse_factor"] > 1
    assert sparse["lut"] == full["lut"]


def test_a_model_without_quantizers_says_what_it_was_taken_for(tmp_path: Path) -> None:
    shape, units = (16,), {"units": 5, "use_bias": False, "activation": "linear"}
    config = archive.sequential([archive.layer("Dense", "fc", **units)], shape)
    path = archive.write(tmp_path / "m.keras", config, archive.arrays({"fc": ((16, 5),)}))
    text = prediction_text(predict_subject(load_subject(path), BOARD, make_spec(BOARD, bound="middle")))
    assert "floats     not quantized, taken as fixed<16,6> (hls4ml's default is fixed<16,6>): fc\n" in text
    narrow = load_subject(path, float_format=FixedFormat(8, 4))
    assert {str(la.weight) for la in narrow.network} == {"fixed<8,4>"}


# The command


@pytest.fixture
def candidate_file(tmp_path: Path) -> Path:
    path = tmp_path / "candidate.json"
    path.write_text(small().canonical_json(), encoding="utf-8")
    return path


def test_the_command_prints_the_text_and_ends_with_0(candidate_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(candidate_file), "--board", "pynq-z2"]) == 0
    subject = candidate_subject(small(), str(candidate_file))
    expected = prediction_text(predict_subject(subject, BOARD, make_spec(BOARD), asked=Asked()))
    assert capsys.readouterr().out == expected + "\n"


def test_the_command_prints_json_and_ends_with_1_if_it_does_not_fit(
    candidate_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(candidate_file), "--board", "pynq-z2", "--lut", "300", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    subject = candidate_subject(small(), str(candidate_file))
    assert result == predict_subject(subject, BOARD, make_spec(BOARD, lut=300.0), asked=Asked(lut=300.0))
    assert not result["fits"]


def test_a_folder_has_a_line_for_each_model_and_candidate(
    tmp_path: Path, candidate_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small(tmp_path / "big.keras")
    (tmp_path / "run" / "a").mkdir(parents=True)
    write_small(tmp_path / "run" / "a" / "model.keras", zeros=0.9)
    (tmp_path / "run" / "a" / "candidate.json").write_text(small().canonical_json())  # the model is of it
    arguments = ["predict", str(tmp_path), "--board", "pynq-z2", "--bound", "middle"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert text.startswith("3 of 3 fit on pynq-z2; amounts are middles of 90% intervals\n")
    assert [line.split()[:2] for line in text.splitlines()[7:]] == [
        ["big.keras", "fits"], ["candidate.json", "fits"], ["run/a/model.keras", "fits"]
    ]  # fmt: skip
    assert main([*arguments, "--lut", "9000", "--json"]) == 1
    results = json.loads(capsys.readouterr().out)
    assert [r["subject"]["name"] for r in results] == ["big.keras", "candidate.json", "run/a/model.keras"]
    assert [r["fits"] for r in results] == [False, True, False]
    (tmp_path / "broken.keras").write_text("nothing")
    assert main(arguments) == 2
    text = capsys.readouterr().out
    assert text.startswith("3 of 4 fit on pynq-z2, 1 cannot be read; amounts are ")
    assert text.endswith("cannot be read:\nbroken.keras: not a Keras model: not a zip archive\n")
    assert max(map(len, text.splitlines())) <= 120


def test_the_candidate_beside_a_model_says_what_its_input_is(tmp_path: Path) -> None:
    candidate = Candidate((16, 16, 1), FixedFormat(6, 2), 10, (), WeightFormat.parse("binary"))
    (tmp_path / "candidate.json").write_text(candidate.canonical_json())
    found = load_subject(write_small(tmp_path / "model.keras"))
    assert (found.network.input_format, found.input_from) == (FixedFormat(6, 2), "from candidate.json")
    named = load_subject(tmp_path / "model.keras", FixedFormat(5, 1))
    assert (named.network.input_format, named.input_from) == (FixedFormat(5, 1), "as given")
    (tmp_path / "candidate.json").write_text("{}")
    assert load_subject(tmp_path / "model.keras").input_from == "assumed"


def test_a_folder_without_models_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path), "--board", "pynq-z2"]) == 2
    assert capsys.readouterr().err == f"flow: error: {tmp_path} has no .keras file and no candidate.json in it\n"


def test_a_candidate_that_is_no_network_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = small().to_dict()
    data["layers"][0]["pool"] = 99
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert main(["predict", str(path), "--board", "pynq-z2"]) == 2
    assert capsys.readouterr().err == "flow: error: conv2d1: pooling 99 on a 8x8 image\n"


@pytest.mark.parametrize("command", ["predict", "check"])
@pytest.mark.parametrize("what", ["candidate.json", "m.keras"])
def test_predicting_imports_no_framework(
    candidate_file: Path, model_file: Path, repository: Path, command: str, what: str
) -> None:
    path = candidate_file.with_name(what)
    argv = [sys.executable, "-X", "importtime", "-m", "flow", command, str(path), "--board", "zcu102"]
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, timeout=60, check=True)
    imported = {name.split(".")[0] for name in re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE)}
    assert "numpy" in imported
    assert not imported & {"tensorflow", "keras", "qkeras", "optuna", "sklearn", "scipy", "hls4ml", "da4ml", "jax"}
