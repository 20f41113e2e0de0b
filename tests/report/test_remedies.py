"""What would make a network fit is enough when it is done, and nothing less is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flow.board import Board, load_board
from flow.errors import InputError
from flow.implement.solver import attempt
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.narrow import with_weight_bits
from flow.report.prediction import predict_subject
from flow.report.remedies import Asked, other_boards
from flow.report.subject import Subject, candidate_subject, load_subject
from flow.space.candidate import Candidate, LayerChoice
from flow.spec import Spec
from tests.archive.builder import write_small

BOARD = load_board("pynq-z2")


@pytest.fixture
def model(tmp_path: Path) -> Subject:
    return load_subject(write_small(tmp_path / "m.keras"))


def dense() -> Subject:
    """A network with one layer that takes nearly everything."""
    weight, relu = WeightFormat.parse("fixed<12,1>"), FixedFormat(8, 3, signed=False)
    blocks = (LayerChoice("dense", 64, weight, relu), LayerChoice("dense", 8, WeightFormat.parse("fixed<3,1>"), relu))
    return candidate_subject(Candidate((64,), FixedFormat(8, 0), 5, blocks, WeightFormat.parse("fixed<3,1>")))


def cures(subject: Subject, spec: Spec, board: Board = BOARD, asked: Asked | None = None) -> dict[str, dict[str, Any]]:
    """What would make a network fit that doesn't, by what changes."""
    result = predict_subject(subject, board, spec, asked=asked)
    assert not result["fits"]
    found = result["remedies"]
    times = [cure["times"] for cure in found if cure["times"] is not None]
    assert times == sorted(times)
    assert all(t > 1 for t in times)
    return {cure["what"]: cure for cure in found}


def fits(subject: Subject, spec: Spec, board: Board = BOARD) -> bool:
    return not attempt(subject.network, spec, board.family).reason


def test_a_lut_budget_that_is_too_small_is_told_the_one_that_is_enough(model: Subject) -> None:
    spec = Asked(lut=9_000, fps=20_000, bound="middle").spec(BOARD)
    value = cures(model, spec)["LUT"]["value"]
    assert fits(model, replace(spec, budget=replace(spec.budget, lut=value)))
    assert not fits(model, replace(spec, budget=replace(spec.budget, lut=value - 1)))


def test_a_throughput_that_is_too_high_is_told_the_one_that_is_reached(model: Subject) -> None:
    spec = Asked(lut=20_000, fps=400_000, bound="middle").spec(BOARD)
    value = cures(model, spec)["FPS"]["value"]
    assert value < 400_000
    assert fits(model, replace(spec, min_throughput_per_s=value))
    assert not fits(model, replace(spec, min_throughput_per_s=1.05 * value))


def test_a_clock_that_helps_is_one_the_board_makes(model: Subject) -> None:
    board = load_board("zcu104")
    spec = Asked(fps=350_000, bound="middle").spec(board)
    clock = cures(model, spec, board)["CLOCK"]["value"]
    made = board.resolve_clock(clock).mhz
    assert clock - 0.1 <= made <= clock
    assert fits(model, Asked(fps=350_000, bound="middle", clock_mhz=clock).spec(board), board)


def test_a_dsp_budget_of_the_user_is_told_the_one_that_is_enough(tmp_path: Path) -> None:
    subject = dense()
    spec = Asked(fps=1_000_000, bound="middle").spec(BOARD)
    spec = replace(spec, budget=replace(spec.budget, dsp=3))
    found = cures(subject, spec)
    value = found["DSP"]["value"]
    assert fits(subject, replace(spec, budget=replace(spec.budget, dsp=value)))
    assert not fits(subject, replace(spec, budget=replace(spec.budget, dsp=value - 1)))


def test_bits_that_help_are_those_of_the_largest_layer_and_the_most_that_do() -> None:
    subject = dense()
    spec = Asked(fps=1_000_000, bound="middle").spec(BOARD)
    spec = replace(spec, budget=replace(spec.budget, dsp=3))
    cure = cures(subject, spec)["bits"]
    assert cure["layer"] == "dense1"
    assert cure["text"] == f"weights of {cure['value']} bits instead of 12 in dense1, trained again"
    for bits in range(int(cure["value"]), 12):
        network = with_weight_bits(subject.network, "dense1", bits)
        assert bool(attempt(network, spec, BOARD.family).reason) == (bits > cure["value"])


def test_no_lut_budget_is_advised_that_the_board_does_not_have(model: Subject) -> None:
    small = load_board("arty-a7-35t")
    spec = Asked(fps=300_000, bound="middle").spec(small)
    found = cures(model, spec, small)
    assert "LUT" not in found
    available = small.available.lut
    assert available is not None
    assert not fits(model, replace(spec, budget=replace(spec.budget, lut=available)), small)


def test_upper_ends_that_do_not_fit_where_the_middle_does_are_told_apart(model: Subject) -> None:
    spec = Asked().spec(BOARD)
    assert cures(model, spec)["bound"]["value"] == "middle"
    assert fits(model, replace(spec, bound="middle"))


def test_other_boards_are_judged_with_what_was_asked(model: Subject) -> None:
    asked = Asked(bound="middle")
    found = other_boards(model.network, BOARD, asked)
    assert BOARD.name not in {e.board for e in found}
    assert [e.lut for e in found] == sorted(e.lut or 0 for e in found)
    for other in found:
        board = load_board(other.board)
        assert board.toolchain.name != "open"
        reason = attempt(model.network, asked.spec(board), board.family).sentence
        assert (other.fits, other.sentence) == (not reason, reason)


def test_a_limit_that_another_board_does_not_have_is_its_own_there() -> None:
    small = load_board("arty-a7-35t")
    asked = Asked(lut=45_000, clock_mhz=400)
    with pytest.raises(InputError):
        asked.spec(small)
    elsewhere = asked.spec_elsewhere(small)
    assert elsewhere.budget == small.budget
    assert Asked(lut=5_000).spec_elsewhere(small).budget.lut == 5_000


def test_the_smallest_board_that_fits_is_named(model: Subject) -> None:
    asked = Asked(fps=150_000)
    result = predict_subject(model, load_board("arty-a7-35t"), asked.spec(load_board("arty-a7-35t")), asked=asked)
    fitting = [b["board"] for b in result["boards"] if b["fits"]]
    assert fitting
    assert [r["value"] for r in result["remedies"] if r["what"] == "board"] == [fitting[0]]
    large = predict_subject(model, load_board("alveo-u250"), Asked().spec(load_board("alveo-u250")), asked=Asked())
    assert large["fits"]
    assert set(large["smaller_boards"]) <= {b["board"] for b in large["boards"] if b["fits"]}
    assert large["smaller_boards"]
