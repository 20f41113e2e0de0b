"""The paper's networks as our own Verilog: the same layers, their LUTs predicted, and counted by Yosys on request."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.cli import main
from flow.errors import InputError
from flow.network.network import build_network
from flow.network.quantized_reference import forward
from flow.network.reference import LayerCodes, integer_forward
from flow.paper.candidates import to_candidate
from flow.paper.design import PaperDesign, PaperNetwork, dense
from flow.paper.logged import LOGGED, LoggedDesign
from flow.paper.model import Limits
from flow.paper.reproduce import reproduce
from flow.paper.verilog import COMMAND, random_network, verilog_columns

SMALL = replace(
    PaperNetwork.parse("3x3-4-2 a1.2 w1.2; 5x1-3-1-s2x1 a2.2 w0.3"),
    input_shape=(8, 6, 2),
    dense=(dense(6, (2, 2), (1, 3)), dense(10, (2, 2), (1, 3))),
)


def small_design(per_s: float) -> LoggedDesign:
    network = replace(SMALL, layers=SMALL.layers[:1], dense=SMALL.dense[-1:])
    design = PaperDesign(network, ((1, 1),), (0,))
    return replace(LOGGED[0], name=f"small, {per_s:g}", design=design, limits=Limits(30_000, per_s))


def test_the_network_with_random_weights_computes_what_its_candidate_says() -> None:
    network = build_network(to_candidate(SMALL))
    made = random_network(network)
    codes = {
        layer.name: LayerCodes(layer.weight.values, layer.bias.values)
        for layer in made.layers
        if layer.weight is not None and layer.bias is not None
    }
    rng = np.random.default_rng(0)
    x = rng.integers(network.input_format.low, network.input_format.high + 1, (20, *network.input_shape))
    wanted = integer_forward(network, codes, x)[network.layers[-1].name]
    found = forward(made, x)
    shift = made.layers[-1].output.fraction - network.layers[-1].output.fraction
    assert np.array_equal(found, wanted << shift if shift >= 0 else wanted >> -shift)
    assert np.unique(found).size > 20


def test_layers_that_the_papers_networks_do_not_have_are_refused() -> None:
    candidate = to_candidate(SMALL)
    first = replace(candidate.layers[0], kind="depthwise")
    with pytest.raises(InputError, match="no depthwise layer"):
        random_network(build_network(replace(candidate, layers=(first, *candidate.layers[1:]))))


def test_the_three_designs_are_predicted_with_an_interval_and_unknown_until_they_are_measured() -> None:
    data = reproduce(verilog_columns(measure=False))
    assert [(c["name"], c["source"]) for c in data["columns"][-2:]] == [
        ("Verilog", "predicted"),
        ("Verilog, measured", "synthesized"),
    ]
    assert COMMAND in data["columns"][-1]["note"]
    for design in data["designs"]:
        values = design["values"]["Verilog"]
        low, middle, high = (values[n] for n in ("LUTs, low end of 90%", "lut", "LUTs, high end of 90%"))
        assert 0 < low <= middle <= high
        assert values["images_per_s"] >= design["limits"]["images_per_s"]
        assert design["values"]["Verilog, measured"] == {}
        assert design["fits"]["Verilog, measured"] is None


@pytest.mark.slow
def test_what_is_measured_is_what_yosys_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_CACHE", str(tmp_path))
    logged = small_design(50_000)
    predicted, measured = (column.values(logged) for column in verilog_columns(measure=True))
    assert measured["images_per_s"] == predicted["images_per_s"]
    assert (measured["images_per_s"] or 0) >= 50_000
    assert measured["DSP"] == 0
    assert 0.5 < (measured["lut"] or 0) / (predicted["lut"] or 1) < 2
    assert list(tmp_path.rglob("*")), "what was synthesized is kept"


def test_a_rate_that_no_folding_reaches_is_unknown() -> None:
    predicted, measured = (column.values(small_design(1e7)) for column in verilog_columns(measure=True))
    assert predicted == measured == {}


def test_the_columns_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "iccad19", "--json"]) == 0
    names = [c["name"] for c in json.loads(capsys.readouterr().out)["columns"]]
    assert names == ["claimed", "paper", "corrected", "corrected, re-tiled", "hls4ml", "Verilog", "Verilog, measured"]
