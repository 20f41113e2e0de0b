"""LUTs a multiply-accumulate a cycle takes, by the widths of its operands, as Yosys counts them for 7-series.

    .venv/bin/python benchmarks/bench_rtl_macs.py [--outputs 8] [--inputs 16]

In one run, by operand widths (activation x weight bits): the folded engine's array "planes", the array of plain
multipliers with adder trees ("multiply": what a synthesizer makes of products, without DSPs), and a dense layer of the
unrolled engine with as many weights, random and uniform over their range. Beside them LUTs of one multiplier in the
reference paper's table, to which adders and registers come on top. Weight memories are not counted.
Needs ``yosys`` or ``pyosys``; takes some minutes, kept for the next time.
"""

from __future__ import annotations

import argparse

import numpy as np

from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble
from flow.paper.multipliers import SYMMETRIC
from flow.rtl.cache import Cache, default_cache
from flow.rtl.folding import Folding, unrolled
from flow.rtl.mac import STYLES, WeightCode, sum_bits
from flow.rtl.parts import Part, assemble_parts
from flow.rtl.plan import TOP, build_plan, library_text
from flow.rtl.synth import Synthesizer
from flow.rtl.technology import technology
from flow.rtl.yosys import find_yosys

WIDTHS = ((1, 1), (2, 1), (4, 1), (2, 2), (3, 3), (4, 2), (4, 4), (8, 2), (6, 6), (8, 4), (8, 8))
"""Bits of activations (unsigned) and weights; a weight of one bit is -1 or 1."""


def array_luts(worker: Synthesizer, style: str, x: int, w: int, outputs: int, inputs: int) -> float:
    """LUTs of an array of the folded engine."""
    code = WeightCode(w, w == 1)
    parameters = {
        "OUTPUTS": outputs, "INPUTS": inputs, "INPUT_BITS": x, "INPUT_SIGNED": 0, "WEIGHT_BITS": w,
        "BINARY": int(w == 1), "SUM_BITS": sum_bits(FixedFormat(x, x, signed=False), code, inputs, 64), "TAG_BITS": 3,
    }  # fmt: skip
    modules = STYLES[style].modules
    files = {f"{name}.v": library_text(name) for name in modules}
    bits = {name: f"32'b{value:032b}" for name, value in parameters.items()}
    found, _ = worker.part(Part("mac", f"flow_mac_{style}", bits, tuple(files)), files)
    return float(found.resources.lut or 0)


def unrolled_luts(worker: Synthesizer, x: int, w: int, outputs: int, inputs: int) -> float:
    """LUTs of a dense layer of the unrolled engine."""
    rng = np.random.default_rng(0)
    of = FixedFormat(2, 2) if w == 1 else FixedFormat(w, w)
    shape = (inputs, outputs)
    values = rng.choice([-1, 1], size=shape) if w == 1 else rng.integers(of.low, of.high, size=shape, endpoint=True)
    step = Step("fc", "dense", "fc", ("x",), (outputs,), weight=Codes(values, of, "binary" if w == 1 else "fixed"))
    network: QuantizedNetwork = assemble("x", (inputs,), FixedFormat(x, x, signed=False), [step])
    plan = build_plan(network, Folding({"fc": unrolled(network.layers[0])}, inputs))
    (part,) = (p for p in assemble_parts(plan.files, TOP, worker.tool, worker.cache).parts if p.name == "u_fc")
    found, _ = worker.part(part, plan.files)
    return float(found.resources.lut or 0)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, default=8)
    parser.add_argument("--inputs", type=int, default=16)
    args = parser.parse_args()
    size = (args.outputs, args.inputs)
    macs = args.outputs * args.inputs
    tool = find_yosys()
    worker = Synthesizer(technology("xc7"), False, tool, Cache(default_cache()))
    print(f"{tool.kind} {tool.version}, 7-series, {args.outputs} outputs x {args.inputs} inputs, LUTs a MAC\n")
    print("| activation x weight bits | planes | multiply | unrolled | one multiplier, reference paper |")
    print("|---|---|---|---|---|")
    for x, w in WIDTHS:
        cells = [array_luts(worker, style, x, w, *size) / macs for style in ("planes", "multiply")]
        cells.append(unrolled_luts(worker, x, w, *size) / macs)
        print(f"| {x} x {w} | " + " | ".join(f"{cell:.1f}" for cell in cells) + f" | {SYMMETRIC[x, w]} |", flush=True)


if __name__ == "__main__":
    main()
