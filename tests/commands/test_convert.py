"""``flow convert``: a winner, or a model of the user's, becomes a complete project, or nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.fileio import data_dir
from flow.hls.project import open_project
from flow.network.datasets import load_dataset
from flow.network.quantized_reference import decode, encode, forward
from tests.commands.builder import Flow

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import
pytest.importorskip("hls4ml")
from tests.network.gallery import bits, dense, keras, q, qkeras, sequential  # noqa: E402


def rows(path: Path) -> np.ndarray[Any, Any]:
    return np.loadtxt(path, ndmin=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with a name that is none of C++."""
    path = tmp_path_factory.mktemp("models") / "jet tagger-2.keras"
    sequential((8,), dense(12, "first", activation=q.quantized_relu(4, 1)), dense(4, "second")).save(path)
    return path


# Winners


def test_a_winner_becomes_a_project_as_the_search_decided_with_its_own_test_data(runs: Path, flow: Flow) -> None:
    made = flow.json("convert", "w2", "--runs", runs)
    winner = json.loads((runs / "first" / "winners.json").read_text())["winners"][1]
    project = open_project(Path(made["project"]))
    assert project.folder.parent == runs / "first" / "candidates" / winner["digest"] / "hls"
    assert (made["what"], made["written"], made["board"]) == ("first:w2", True, "pynq-z2")
    assert made["implementation"] == winner["implementation"]
    assert made["predicted"] == winner["measurements"][0]
    m = project.manifest
    assert (m["part"], m["clock_mhz"], m["clock_uncertainty_percent"], m["backend"]) == (
        "xc7z020clg400-1", 100.0, 27.0, "Vitis",
    )  # fmt: skip
    assert m["test_data"] == "10 samples of digits, validation split"
    data = load_dataset("digits")
    inputs = rows(project.folder / "tb_data" / "tb_input_features.dat")
    assert np.array_equal(inputs.reshape(10, 8, 8, 1), data.x_val[:10])
    codes = encode(data.x_val[:10], project.network.input_format)
    expected = decode(forward(project.network, codes), project.network.output_format)
    assert np.array_equal(rows(project.folder / "tb_data" / "tb_output_predictions.dat"), expected)


def test_what_is_written_is_shown_by_layer_and_not_written_again(runs: Path, flow: Flow) -> None:
    first = flow("convert", "first:w1", "--runs", runs, "--backend", "vivado")
    assert first.code == 0
    for words in ("first:w1 -> ", "pynq-z2 (xc7z020clg400-1), 100 MHz, 12.5% of the period left to routing",
                  "Vivado HLS, io_stream, hls4ml 1.3.0", "8x8x1 of ufixed<5,1>", "agree on every one of them",
                  "dense1", "256 fixed<3,1>", "flow verify first:w1, flow synth first:w1"):  # fmt: skip
        assert words in first.out, words
    assert max(map(len, first.out.splitlines()[1:-1])) <= 120
    again = flow("convert", "first:w1", "--runs", runs, "--backend", "vivado")
    assert "(written before)" in again.out.splitlines()[0]
    assert again.err == ""  # nothing was loaded to find that out
    assert again.out.replace(" (written before)", "") == first.out


def test_another_board_gives_part_clock_and_uncertainty(runs: Path, flow: Flow, tmp_path: Path) -> None:
    text = (data_dir("boards") / "zcu104.yaml").read_text(encoding="utf-8")
    board = tmp_path / "mine.yaml"
    board.write_text(text.replace("clock:\n", "clock:\n  uncertainty_percent: 20\n", 1), encoding="utf-8")
    made = flow.json("convert", "w1", "--runs", runs, "--board", board, "--clock", "200")
    m = made["manifest"]
    assert (m["part"], m["clock_mhz"], m["clock_uncertainty_percent"]) == ("xczu7ev-ffvc1156-2-e", 187.5, 20)
    assert [la["reuse_factor"] for la in made["implementation"]["layers"]] == [
        la["reuse_factor"]
        for la in json.loads((runs / "first" / "winners.json").read_text())["winners"][0]["implementation"]["layers"]
    ]


# Model files


def test_a_model_file_is_solved_for_its_board_and_tested_with_random_inputs(
    model: Path, flow: Flow, tmp_path: Path
) -> None:
    made = flow.json("convert", model, "--board", "pynq-z2", "--out", tmp_path, "--fps", "1e6")
    folder = Path(made["project"])
    assert folder.parent == tmp_path
    assert folder.name.startswith("jet_tagger_2-")
    assert made["manifest"]["input"]["format"] == "ufixed<8,0>"
    assert made["manifest"]["test_data"] == "10 random inputs of ufixed<8,0>, no data"
    predicted = made["predicted"]
    assert predicted["clock_mhz"] * 1e6 / predicted["interval_cycles"] >= 1e6
    again = flow.json("convert", model, "--board", "pynq-z2", "--out", tmp_path, "--fps", "1e6")
    assert (again["project"], again["written"]) == (made["project"], False)


def test_reuse_factors_strategy_and_io_are_what_was_asked_for(model: Path, flow: Flow, tmp_path: Path) -> None:
    made = flow.json(
        "convert", model, "--board", "pynq-z2", "--out", tmp_path, "--reuse-factor", "4", "--reuse-factor", "second=12",
        "--strategy", "resource", "--io", "stream", "--input", "fixed<6,2>",
    )  # fmt: skip
    assert made["implementation"]["io_type"] == "io_stream"
    assert [(la["name"], la["reuse_factor"], la["strategy"]) for la in made["implementation"]["layers"]] == [
        ("first", 4, "Resource"), ("second", 12, "Resource"),
    ]  # fmt: skip
    assert made["manifest"]["input"]["format"] == "fixed<6,2>"


def test_data_of_the_user_goes_into_the_test_bench_and_what_it_loses_is_said(
    model: Path, flow: Flow, tmp_path: Path
) -> None:
    x = np.linspace(-0.1, 1.1, 96).reshape(12, 8)
    np.savez(tmp_path / "mine.npz", x=x)
    made = flow.json("convert", model, "--board", "pynq-z2", "--out", tmp_path, "--data", tmp_path / "mine.npz")
    text = made["manifest"]["test_data"]
    assert text.startswith("10 samples of mine.npz, rounded by at most 0.00")
    assert "of the values clipped to 0 to 0.996094" in text
    inputs = rows(Path(made["project"]) / "tb_data" / "tb_input_features.dat")
    assert np.abs(inputs - np.clip(x[:10], 0, 255 / 256)).max() <= 1 / 512


def test_every_layer_that_stands_in_the_way_is_named_and_nothing_is_written(flow: Flow, tmp_path: Path) -> None:
    path = tmp_path / "floats.keras"
    sequential(
        (8,), keras.layers.Dense(4, name="one"), qkeras.QActivation(q.quantized_relu(4), name="act"),
        keras.layers.Dense(3, activation="gelu", name="two"),
    ).save(path)  # fmt: skip
    done = flow("convert", path, "--board", "pynq-z2", "--out", tmp_path / "out")
    assert done.code == 2
    assert "one: it has float weights without a quantizer: quantize them, or name a format for floats" in done.error
    assert "; two: " in done.error
    assert not (tmp_path / "out").exists()
    rounded = flow("convert", path, "--board", "pynq-z2", "--out", tmp_path / "out", "--float-format", "fixed<12,4>")
    assert rounded.code == 2
    assert "the model cannot be converted: two: activation gelu has no exact fixed-point equivalent" in rounded.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--board", "icebreaker"], 2, "board icebreaker has no AMD part (iCE40UP5K-SG48)"),
        ([], 2, "which board is"),
        (["--board", "pynq-z2", "--reuse-factor", "5"], 2,
         "first: reuse factor 5 is not valid for 8 x 12 weights, nearest valid: 4 and 8; second: reuse factor 5"),
        (["--board", "pynq-z2", "--reuse-factor", "second=0"], 2, "--reuse-factor takes a whole number or LAYER="),
        (["--board", "pynq-z2", "--reuse-factor", "secnd=2"], 2, "unknown layer with weights 'secnd': did you mean s"),
        (["--board", "pynq-z2", "--strategy", "latency"], 2, "--strategy goes with --reuse-factor"),
        (["--board", "pynq-z2", "--reuse-factor", "4", "--lut", "9000"], 2, "--reuse-factor says how fast it gets"),
        (["--board", "pynq-z2", "--lut", "20"], 1, "no implementation meets the limits: it needs at least"),
        (["--board", "pynq-z2", "--input", "int8"], 2, "--input: not a fixed-point format: 'int8'"),
        (["--board", "pynq-z2", "--data", "none.npz"], 2, "cannot read samples none.npz: No such file"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_before_anything_is_loaded(
    more: list[str], code: int, message: str, model: Path, flow: Flow, tmp_path: Path
) -> None:
    done = flow("convert", model, "--out", tmp_path / "out", *more)
    assert (done.code, done.out) == (code, "")
    assert message in done.error
    assert "loading" not in done.err
    assert not (tmp_path / "out").exists()


def test_an_image_is_not_unrolled(flow: Flow, tmp_path: Path) -> None:
    path = tmp_path / "image.keras"
    conv = qkeras.QConv2D(2, 3, kernel_quantizer=bits(), bias_quantizer=bits(), name="conv")
    sequential((6, 6, 1), conv, keras.layers.Flatten(name="flat"), dense(3)).save(path)
    done = flow("convert", path, "--board", "pynq-z2", "--out", tmp_path, "--io", "parallel")
    assert (done.code, "conv: io_parallel unrolls images completely, use io_stream" in done.error) == (2, True)
    assert (
        flow.json("convert", path, "--board", "pynq-z2", "--out", tmp_path)["implementation"]["io_type"] == "io_stream"
    )
