"""``flow verify``: agreement on every bit is shown, and a difference is found, placed and ends with 1."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from flow.hls.agree import compare_codes, compare_keras
from flow.network.fixed import FixedFormat
from flow.network.quantized_keras import from_keras
from flow.network.quantized_reference import forward
from tests.commands.builder import Flow

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import
pytest.importorskip("hls4ml")
from tests.network.gallery import GALLERY, INPUT, dense, q, sequential  # noqa: E402

needs_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler")


@needs_compiler
def test_a_winner_agrees_and_is_compiled_once(runs: Path, flow: Flow) -> None:
    first = flow("verify", "w1", "--runs", runs, "--samples", "30")
    assert first.code == 0
    assert "first:w1: 30 samples of digits, validation split" in first.out
    assert re.search(r"QKeras +300 outputs in .* s: all as the integers", first.out)
    assert re.search(r"C simulation +300 outputs in .* s: all as the integers \(compiled in .* s\)", first.out)
    assert first.out.endswith("agree on every bit\n")
    again = flow.json("verify", "w1", "--runs", runs, "--samples", "40")
    assert again["agrees"]
    assert [(c["name"], c["outputs"], c["different"], c["note"]) for c in again["comparisons"]] == [
        ("QKeras", 400, 0, ""), ("C simulation", 400, 0, "compiled before"),
    ]  # fmt: skip


@needs_compiler
def test_a_project_whose_code_computes_something_else_is_found(runs: Path, flow: Flow) -> None:
    folder = Path(flow.json("convert", "w1", "--runs", runs)["project"])
    weights = sorted((folder / "firmware" / "weights").glob("w*.txt"))[-1]
    values = weights.read_text(encoding="utf-8").split(",")
    weights.write_text(",".join([str(float(values[0]) + 0.25), *values[1:]]), encoding="utf-8")
    header = weights.with_suffix(".h")
    header.write_text(
        header.read_text(encoding="utf-8").replace(f"{{{values[0]}", f"{{{float(values[0]) + 0.25}"), encoding="utf-8"
    )
    done = flow("verify", folder, "--samples", "20")
    assert done.code == 1
    assert re.search(r"C simulation +200 outputs in .* s: \d+ differ from the integers, by at most", done.out)
    assert re.search(r"first: sample \d+, output \d+: -?[\d.]+ instead of -?[\d.]+", done.out)
    assert done.out.endswith("DIFFERENT: C simulation and the integers do not agree\n")


def test_without_a_compiler_it_ends_with_3(runs: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    done = flow("verify", "w1", "--runs", runs)
    assert (done.code, "no C++ compiler found: install g++" in done.error) == (3, True)


@needs_compiler
def test_a_softmax_agrees_within_its_bound_and_says_so(flow: Flow, tmp_path: Path) -> None:
    path = tmp_path / "soft.keras"
    GALLERY["softmax"]().save(path)
    done = flow("verify", path, "--board", "pynq-z2", "--out", tmp_path, "--samples", "50", "--input", "fixed<7,2>")
    assert done.code == 0
    text = " ".join(done.out.split())
    assert re.search(r"differ from the integers, by at most [\d.e-]+, at most 0\.00\d+ is allowed: soft: softmax", text)
    assert "the largest output is the same in" in text
    assert text.endswith("agree as far as QKeras' own arithmetic is exact")


def test_the_number_of_samples_is_checked(runs: Path, flow: Flow) -> None:
    done = flow("verify", "w1", "--runs", runs, "--samples", "0")
    assert (done.code, done.error) == (2, "flow: error: --samples must be from 1 to 1,000,000, not 0")


# The comparison itself


def test_the_layer_where_qkeras_leaves_the_integers_is_named() -> None:
    model = sequential(
        (6,), dense(4, "a", activation=q.quantized_relu(4, 1)), dense(4, "b", activation=q.quantized_relu(4, 1)),
        dense(3, "c"),
    )  # fmt: skip
    network = from_keras(model, INPUT)
    codes = np.random.default_rng(0).integers(-64, 64, size=(20, 6))
    assert compare_keras(model, network, codes, lambda: 0.0).agrees
    weights = model.get_layer("b").get_weights()
    model.get_layer("b").set_weights([-weights[0], *weights[1:]])
    found = compare_keras(model, network, codes, lambda: 0.0)
    assert not found.agrees
    assert found.different > 0
    assert found.first.endswith("; the first layer that differs is b")


def test_the_first_difference_is_given_in_values() -> None:
    network = from_keras(sequential((6,), dense(3)), INPUT)
    codes = np.zeros((4, 6), dtype=np.int64)
    right = forward(network, codes)
    wrong = right.copy()
    wrong[2, 1] += 1
    found = compare_codes("C simulation", network, codes, wrong, 0.5, "compiled before")
    step = network.output_format.step
    expected = float(right[2, 1] * step)
    assert (found.different, found.outputs, found.largest) == (1, 12, step)
    assert found.first == f"sample 2, output 1: {expected + step!r} instead of {expected!r}"
    assert compare_codes("C simulation", network, codes, right, 0.5).agrees


def test_an_inexact_layer_inside_has_no_bound_for_the_outputs() -> None:
    network = from_keras(GALLERY["batch normalization in floats"](), INPUT, float_format=FixedFormat(12, 4))
    assert network.inexact
    model = GALLERY["batch normalization in floats"]()
    codes = np.random.default_rng(1).integers(-64, 64, size=(10, 5, 5, 2))
    found = compare_keras(model, network, codes, lambda: 0.0)
    assert (found.allowed, found.agrees) == (None, True)
    assert network.inexact[0].layer in found.note
