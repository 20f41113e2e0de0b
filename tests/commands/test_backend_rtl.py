"""``--backend rtl``: a winner or a model becomes Verilog that is simulated bit for bit, and counted by open tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow.commands.backend_rtl import _cycles
from flow.errors import ToolError
from flow.rtl.folding import Folding, serial_folding
from flow.rtl.plan import build_plan
from flow.rtl.simulate import Stalls, simulate
from flow.rtl.verilator import find_verilator
from flow.rtl.yosys import find_yosys
from tests.commands.builder import Flow
from tests.rtl.builder import dense_network
from tests.rtl.random_networks import random_codes

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import
pytest.importorskip("hls4ml")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tools make is kept for these tests only."""
    monkeypatch.setenv("FLOW_CACHE", str(tmp_path_factory.getbasetemp() / "rtl_commands"))


@pytest.fixture
def with_yosys() -> None:
    try:
        find_yosys()
    except ToolError as error:
        pytest.skip(f"needs Yosys: {error}")


@pytest.fixture
def with_verilator() -> None:
    try:
        find_verilator()
    except ToolError as error:
        pytest.skip(f"needs Verilator and a C++ compiler: {error}")


def test_a_winner_becomes_a_folder_of_verilog(runs: Path, flow: Flow) -> None:
    found = flow.json("convert", "w1", "--runs", runs, "--backend", "rtl")
    folder = Path(found["project"])
    assert folder.parent.name == "rtl"
    assert all((folder / name).is_file() for name in found["files"])
    assert "module flow_top" in (folder / "flow_top.v").read_text(encoding="utf-8")
    written = json.loads((folder / "folding.json").read_text(encoding="utf-8"))
    assert Folding.from_dict({k: v for k, v in written.items() if k != "schema"}).to_dict() == found["folding"]
    assert found["clock_mhz"] * 1e6 / found["interval_cycles"] >= 1000  # what the run asks for
    done = flow("convert", "w1", "--runs", runs, "--backend", "rtl")
    assert f"interval   {found['interval_cycles']:,} cycles" in done.out
    faster = flow.json("convert", "w1", "--runs", runs, "--backend", "rtl", "--fps", "1000000")
    assert faster["interval_cycles"] <= 100
    assert faster["digest"] != found["digest"]


def test_a_winner_is_synthesized_and_the_count_kept_with_it(runs: Path, flow: Flow, with_yosys: None) -> None:
    done = flow("synth", "w1", "--runs", runs, "--backend", "rtl")
    assert done.code == 0, done.err
    assert "first:w1: fits" in done.out
    assert "kept with the winner: flow show first" in done.out
    assert "synthesized / predicted" in done.out
    winners = json.loads((runs / "first" / "winners.json").read_text(encoding="utf-8"))["winners"]
    kept = [m for m in winners[0]["measurements"] if m["source"] == "synthesized"]
    assert [m["tool"].split()[0] for m in kept] == ["yosys"]
    assert 0 < kept[0]["lut"] < 5000
    assert not any(m["source"] == "synthesized" for w in winners[1:] for m in w["measurements"])
    other = flow("synth", "w2", "--runs", runs, "--backend", "rtl", "--fps", "200000")
    assert other.code == 0, other.err
    assert "not with the winner, which is built otherwise" in other.out


def test_a_design_over_its_budget_ends_with_1(runs: Path, flow: Flow, with_yosys: None) -> None:
    done = flow("synth", "w1", "--runs", runs, "--backend", "rtl", "--lut", "20")
    assert done.code == 1
    assert "does not fit" in done.out
    assert "LUT of 20" in done.out


def test_a_winner_agrees_on_every_bit_in_the_cycles_promised(runs: Path, flow: Flow, with_verilator: None) -> None:
    found = flow.json("verify", "w1", "--runs", runs, "--backend", "rtl", "--samples", "12")
    assert [(c["name"], c["outputs"], c["different"]) for c in found["comparisons"]] == [
        ("QKeras", 120, 0), ("Verilog", 120, 0), ("Verilog, stalled", 120, 0),
    ]  # fmt: skip
    assert found["notes"][0].startswith("exactly as scheduled: interval ")
    assert not found["faults"]


def test_the_largest_output_alone_is_compared_and_drawn(runs: Path, flow: Flow, with_verilator: None) -> None:
    found = flow.json("verify", "w1", "--runs", runs, "--backend", "rtl", "--samples", "5", "--argmax", "--waveform")
    assert [(c["name"], c["outputs"], c["different"]) for c in found["comparisons"]] == [
        ("QKeras", 50, 0), ("Verilog", 5, 0), ("Verilog, stalled", 5, 0),
    ]  # fmt: skip
    folder = Path(found["project"])
    assert "an inference every" in (folder / "waveform.svg").read_text(encoding="utf-8")
    assert "index of the largest output" in (folder / "design.svg").read_text(encoding="utf-8")
    for command, option in (("convert", "--argmax"), ("verify", "--argmax"), ("verify", "--waveform")):
        refused = flow(command, "w1", "--runs", runs, option)
        assert (refused.code, refused.error) == (2, f"flow: error: {option} goes with --backend rtl")


def test_cycles_that_were_not_promised_are_a_fault(tmp_path: Path, with_verilator: None) -> None:
    network = dense_network()
    plan = build_plan(network, serial_folding(network))
    found = simulate(plan, random_codes(network, 3, 0), tmp_path, Stalls(even=True))
    assert _cycles(plan, found)[1] == []
    wider = build_plan(network, Folding({}, input_lanes=16))
    other = simulate(wider, random_codes(network, 3, 0), tmp_path, Stalls(10, 30, seed=1))
    assert any("were promised" in text for text in _cycles(wider, other)[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reuse-factor", "4"], "--reuse-factor is for HLS: leave it out"),
        (["--io", "stream"], "--io is for HLS: leave it out"),
        (["--fps", "50000000"], "takes longer than 2 cycles"),
    ],
)
def test_what_has_no_meaning_or_no_solution_is_refused(
    runs: Path, flow: Flow, arguments: list[str], said: str
) -> None:  # fmt: skip
    done = flow("convert", "w1", "--runs", runs, "--backend", "rtl", *arguments)
    assert done.code in (1, 2)
    assert said in done.error


def test_only_open_boards_are_routed(runs: Path, flow: Flow, with_yosys: None) -> None:
    done = flow("synth", "w1", "--runs", runs, "--backend", "rtl", "--route")
    assert (done.code, "no open tool places and routes for xc7z020" in done.error) == (2, True)
    hls = flow("synth", "w1", "--runs", runs, "--route")
    assert (hls.code, hls.error) == (2, "flow: error: --route goes with --backend rtl")
