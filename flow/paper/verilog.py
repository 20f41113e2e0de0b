"""The paper's networks as our own Verilog: what it is predicted to take, and what Yosys counts.

Nobody has the paper's trained weights, so they are random here, over the whole of their formats: that is the dearest
case for logic, since trained weights have zeros and small values. No accuracy follows from it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flow.board import load_board
from flow.errors import InputError, NothingFeasible
from flow.network.fixed import FixedFormat
from flow.network.network import Layer, Network, build_network
from flow.network.quantized import Codes, QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble
from flow.network.reference import same_padding, weight_shape
from flow.paper.backends import BOARD, predicted_values, spec_for
from flow.paper.candidates import to_candidate
from flow.paper.logged import LoggedDesign
from flow.paper.model import CLOCK_MHZ
from flow.paper.reproduce import Column, Values

if TYPE_CHECKING:
    from flow.rtl.plan import BuildPlan

SEED = 1
INPUT = "image"
TIMEOUT_S = 7200.0
"""Of one layer: the largest of these designs take Yosys many times as long as those that fit a small board."""
COMMAND = "flow reproduce iccad19 --synthesize"
NOTE = (
    "all layers resident, dense layers in 8 bits, random weights; folded so that the predicted LUTs are the fewest for "
    "the images/s, whatever the LUT limit"
)


def random_network(network: Network, seed: int = SEED) -> QuantizedNetwork:
    """A network of convolutions, ReLUs, pooling and dense layers with random weights and biases.

    Raises InputError for a layer of another kind.
    """
    rng = np.random.default_rng(seed)
    names = [INPUT, *(layer.name for layer in network)]
    steps = [_step(layer, tuple(names[i + 1] for i in layer.inputs), rng) for layer in network]
    return assemble(INPUT, network.input_shape, network.input_format, steps)


def _step(layer: Layer, inputs: tuple[str, ...], rng: np.random.Generator) -> Step:
    name, shape = layer.name, layer.out_shape
    if layer.op in ("conv2d", "dense"):
        assert layer.weight is not None
        assert layer.bias is not None
        weights = rng.integers(layer.weight.low, layer.weight.high + 1, weight_shape(layer))
        weight = Codes(weights, FixedFormat(layer.weight.width, layer.weight.integer))
        bias = Codes(rng.integers(layer.bias.low, layer.bias.high + 1, shape[-1]), layer.bias)
        if layer.op == "dense":
            return Step(name, "dense", name, inputs, shape, weight=weight, bias=bias)
        sizes = zip(layer.in_shape[:2], layer.kernel, layer.stride, strict=True)
        padding = tuple(same_padding(size, kernel, stride) for size, kernel, stride in sizes)
        return Step(
            name, "conv", name, inputs, shape, weight=weight, bias=bias, kernel=layer.kernel, stride=layer.stride,
            padding=padding,
        )  # fmt: skip
    if layer.op == "activation":
        return Step(
            name, "relu", name, inputs, shape, format=layer.output, rounding="half_even", saturation="clip"
        )  # fmt: skip
    if layer.op == "maxpool":
        none = ((0, 0), (0, 0))
        return Step(name, "maxpool", name, inputs, shape, kernel=layer.kernel, stride=layer.stride, padding=none)
    if layer.op == "flatten":
        return Step(name, "reshape", name, inputs, shape)
    raise InputError(f"{name}: the paper's networks have no {layer.op} layer")


@lru_cache(maxsize=8)
def plan_for(logged: LoggedDesign) -> BuildPlan | None:
    """The Verilog of a design's network for its images/s, None if no folding is fast enough."""
    from flow.rtl.measure import family_of
    from flow.rtl.plan import build_plan
    from flow.rtl.price import load_prices
    from flow.rtl.solve import solve_folding

    board = load_board(BOARD)
    network = random_network(build_network(to_candidate(logged.design)))
    spec = spec_for(board, logged.limits.throughput_per_s)
    try:
        return build_plan(network, solve_folding(network, spec, load_prices(family_of(board))))
    except NothingFeasible:
        return None


def verilog_columns(measure: bool) -> tuple[Column, Column]:
    """Our Verilog as the prices of its parts say (``flow.rtl.price``), and as Yosys synthesizes it where ``measure``.

    Without, the second column is unknown and names the command that fills it. What was synthesized before is not
    synthesized again (``flow.rtl.cache``). Its values raise ToolError and MissingDependency.
    """
    board = load_board(BOARD)

    def predicted(logged: LoggedDesign) -> Values:
        from flow.rtl.measure import family_of
        from flow.rtl.price import load_prices

        prices, made = load_prices(family_of(board)), plan_for(logged)
        if prices is None or made is None:
            return {}
        return predicted_values(prices.design(made.design, made.schedule, board.part, CLOCK_MHZ))

    def measured(logged: LoggedDesign) -> Values:
        from flow.rtl.measure import measure_synthesized

        made = plan_for(logged) if measure else None
        if made is None:
            return {}
        found = measure_synthesized(made, board, clock_mhz=CLOCK_MHZ, timeout_s=TIMEOUT_S).measurement
        used = found.resources
        return {
            "lut": used.lut, "images_per_s": found.throughput_per_s, "FF": used.ff, "BRAM18": used.bram18,
            "DSP": used.dsp,
        }  # fmt: skip

    note = "the same as counted by Yosys for 7-series; its clock is not checked by place and route"
    if not measure:
        note = f"not measured here: `{COMMAND}` does, in minutes for D and longer for E and F the first time"
    return (
        Column("Verilog", "predicted", predicted, f"{NOTE}; {board.part}"),
        Column("Verilog, measured", "synthesized", measured, note),
    )
