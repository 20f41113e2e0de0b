"""What our own backends make of the paper's networks, as further columns of ``flow.paper.reproduce``."""

from __future__ import annotations

from dataclasses import replace

from flow.board import Board, load_board
from flow.errors import NothingFeasible
from flow.estimate.models import load_estimator
from flow.estimate.predict import predict
from flow.implement.solver import solve
from flow.network.network import build_network
from flow.paper.candidates import to_candidate
from flow.paper.logged import LoggedDesign
from flow.paper.model import CLOCK_MHZ
from flow.paper.reproduce import Column, Values
from flow.resources import Measurement, Resources
from flow.spec import Spec, make_spec

BOARD = "pynq-z2"
"""A board of the family (7-series) and of about the size that the paper's first limit stands for."""


def hls4ml_column(estimator: str = "calibrated") -> Column:
    """The networks as hls4ml would build them: the fewest LUTs predicted for the required images/s."""
    board = load_board(BOARD)
    model = load_estimator(estimator)

    def values(logged: LoggedDesign) -> Values:
        network = build_network(to_candidate(logged.design))
        spec = spec_for(board, logged.limits.throughput_per_s)
        try:
            implementation = solve(network, spec, board.family, model)
        except NothingFeasible:
            return {}
        total = predict(network, implementation, board.part, board.family, model).total
        return predicted_values(total)

    return Column(
        "hls4ml",
        "predicted",
        values,
        f"{model.name}, {model.note}; all layers resident, streamed, dense layers in 8 bits; the reuse factors of the "
        f"fewest LUTs for the images/s, whatever the LUT limit; {board.part}",
    )


def predicted_values(found: Measurement) -> Values:
    """A prediction with its interval, by the names in a column."""
    return {
        "lut": found.resources.lut,
        "LUTs, low end of 90%": found.low.lut,
        "LUTs, high end of 90%": found.high.lut,
        "images_per_s": found.throughput_per_s,
        "FF": found.resources.ff,
        "BRAM18": found.resources.bram18,
        "DSP": found.resources.dsp,
    }


def spec_for(board: Board, per_s: float) -> Spec:
    """At least ``per_s`` images a second at the paper's clock, on a part as large as it takes."""
    return replace(make_spec(board, fps=per_s, clock_mhz=CLOCK_MHZ), budget=Resources())
