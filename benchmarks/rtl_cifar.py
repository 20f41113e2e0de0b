"""A CIFAR-10-sized network as Verilog, counted by Yosys for 7-series: LUTs by layer, against time and throughput.

    .venv/bin/python benchmarks/rtl_cifar.py [--bits 4] [--per-second 1293] [--dsp]

Five 3x3 convolutions and a dense layer, 51.6 million multiply-accumulates, random weights: no accuracy is claimed, only
what such hardware costs. Throughput follows from the schedule (which simulation meets exactly, see tests/rtl) at
100 MHz; timing is estimated from the mapped netlist. Needs ``yosys`` or ``pyosys``; takes 3 minutes and more.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from flow.board import load_board
from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble
from flow.rtl.folding import Folding, fold_for
from flow.rtl.measure import measure_synthesized
from flow.rtl.plan import build_plan

CLOCK_MHZ = 100.0
CHANNELS = ((32, False), (64, True), (96, True), (192, False), (64, True))
"""Filters of each convolution, and whether 2x2 max pooling follows."""


def network_of(bits: int, seed: int = 1) -> tuple[QuantizedNetwork, int]:
    """The network with random weights of ``bits`` bits and activations as wide; and its multiply-accumulates."""
    rng = np.random.default_rng(seed)
    weight_format, activation = FixedFormat(bits, 1), FixedFormat(bits, 2, signed=False)
    bias_format = FixedFormat(8, 4)
    steps: list[Step] = []
    shape, last, macs = (32, 32, 3), "image", 0

    def weights(*size: int) -> Codes:
        return Codes(rng.integers(weight_format.low, weight_format.high + 1, size), weight_format)

    def biases(count: int) -> Codes:
        return Codes(rng.integers(-64, 64, count), bias_format)

    for i, (filters, pool) in enumerate(CHANNELS, 1):
        height, width, before = shape
        shape = (height, width, filters)
        steps.append(
            Step(
                f"conv{i}", "conv", f"conv{i}", (last,), shape, weight=weights(3, 3, before, filters),
                bias=biases(filters), kernel=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1)),
            )
        )  # fmt: skip
        macs += math.prod(shape) * 9 * before
        last = f"relu{i}"
        steps.append(
            Step(last, "relu", last, (f"conv{i}",), shape, format=activation, rounding="half_even", saturation="clip")
        )
        if pool:
            shape, name = (height // 2, width // 2, filters), f"pool{i}"
            steps.append(
                Step(name, "maxpool", name, (last,), shape, kernel=(2, 2), stride=(2, 2), padding=((0, 0), (0, 0)))
            )
            last = name
    count = math.prod(shape)
    steps.append(Step("flatten", "reshape", "flatten", (last,), (count,)))
    steps.append(Step("dense", "dense", "dense", ("flatten",), (10,), weight=weights(count, 10), bias=biases(10)))
    return assemble("image", (32, 32, 3), FixedFormat(8, 0, signed=False), steps), macs + 10 * count


def with_dsps(network: QuantizedNetwork, folding: Folding, count: int) -> Folding:
    """The folding with the arrays of the largest layers that ``count`` DSPs are enough for made of multipliers."""
    folds, left = dict(folding.folds), count
    for layer in sorted(network, key=lambda layer: -folding.of(layer).macs):
        fold = folding.of(layer)
        if layer.op == "conv" and fold.macs <= left:
            folds[layer.name], left = replace(fold, style="multiply"), left - fold.macs
    return Folding(folds, folding.input_lanes)


def main() -> None:
    """Generate, synthesize and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--per-second", type=float, default=1293.0)
    parser.add_argument("--dsp", action="store_true", help="with the DSPs of the board, too")
    args = parser.parse_args()
    board = load_board("pynq-z2")
    network, macs = network_of(args.bits)
    start = time.perf_counter()
    folding = fold_for(network, int(CLOCK_MHZ * 1e6 // args.per_second))
    if args.dsp:
        folding = with_dsps(network, folding, int(board.capacity.dsp or 0))
    plan = build_plan(network, folding)
    generated = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = measure_synthesized(plan, board, clock_mhz=CLOCK_MHZ, dsp=args.dsp, cache=Path(folder))
        took = time.perf_counter() - start
    total = found.synthesized
    print(
        f"{macs / 1e6:.1f}M multiply-accumulates, {args.bits}-bit weights and activations, {total.tool} {total.version}"
    )
    for name, part in found.parts.items():
        fold = folding.folds.get(name)
        wide = f"  {fold.macs} MACs a cycle, {fold.style}" if fold and fold.macs > 1 else ""
        print(f"  {name:12} " + "  ".join(f"{kind} {amount:,.0f}" for kind, amount in part if amount) + wide)
    print(
        "total         " + "  ".join(f"{kind} {amount:,.0f}" for kind, amount in total.resources if amount is not None)
    )
    print(f"{total.throughput_per_s:,.1f} inferences/s at {CLOCK_MHZ:g} MHz, {plan.schedule.interval:,} cycles each")
    if found.timing is not None:
        low, high = found.timing.fmax_range_mhz
        print(f"estimated {found.timing.fmax_mhz:.0f} MHz ({low:.0f} to {high:.0f}): {found.timing.critical.text()}")
        for layer, path in list(found.timing.layers.items())[:6]:
            print(f"  {layer:12} {path.delay_ns:.2f} ns, {path.levels} levels")
    print(f"generated in {generated:.1f} s, synthesized in {took:.0f} s")


if __name__ == "__main__":
    main()
