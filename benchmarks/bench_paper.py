"""The reference paper's solver: designs solved a second beside plain Python, and the share of feasible candidates.

    python benchmarks/bench_paper.py [--networks 2048] [--plain 24] [--samples 20000] [--seed 0] [--json]

The plain version below is written from the description of the model alone, on the same table of multipliers: the
tests take it as their oracle, and its results are compared here too. Seconds are those of one core; the figure that
holds on any machine is the ratio.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flow.paper.design import PaperLayer, PaperNetwork
from flow.paper.feasible import PAPER_LIMITS, share_of_feasible, shares_text
from flow.paper.model import CORRECTED, PAPER, HardwareModel, Limits, evaluate
from flow.paper.multipliers import PUBLISHED, SYMMETRIC
from flow.paper.solve import METHODS, Method, solve_many

PlainTile = tuple[int, int, int, int]
"""(cycles, LUTs, Tn, Tm)"""


@dataclass(frozen=True)
class PlainLayer:
    """A layer as plain numbers: channels, cycles of a step, LUTs of a multiplier, (integer, fraction) bits."""

    inputs: int
    outputs: int
    base: int
    multiplier: int
    product: tuple[int, int]
    out: tuple[int, int]


def plain_layers(network: PaperNetwork, total_bits: bool, image_rows: bool) -> list[PlainLayer]:
    """The convolutions of a network without skip connections."""
    height, width, channels = network.input_shape
    ai, af = network.input_bits
    table = (SYMMETRIC if total_bits else PUBLISHED).tolist()
    layers = []
    for layer in network.layers:
        (kh, kw), (sh, sw), (wi, wf) = layer.kernel, layer.stride, layer.weight
        out_h, out_w = (height + sh - 1) // sh, (width + sw - 1) // sw
        pad_h, pad_w = max(0, (out_h - 1) * sh + kh - height), max(0, (out_w - 1) * sw + kw - width)
        rows = height + pad_h if image_rows else channels
        multiplier = table[ai + af if total_bits else ai][wi + wf]
        base = rows * (width + pad_w) * kw * kh
        layers.append(PlainLayer(channels, layer.filters, base, multiplier, (ai + wi, af + wf), layer.activation))
        height, width = (out_h + layer.pool - 1) // layer.pool, (out_w + layer.pool - 1) // layer.pool
        channels, (ai, af) = layer.filters, layer.activation
    return layers


def plain_luts(layer: PlainLayer, tn: int, tm: int) -> int:
    """LUTs of a layer: multipliers, and for each output an adder tree, an accumulator and a truncation."""
    (integer, fraction), (oi, of) = layer.product, layer.out
    tree, n = 0, tn
    while n > 1:
        tree += n // 2 * (integer + fraction)
        n = n - n // 2
        integer += 1
    integer, fraction = max(integer, oi), max(fraction, of)
    accumulator = integer + fraction
    integer += 1
    i, di, f, df = max(integer, oi), abs(integer - oi), max(fraction, of), abs(fraction - of)
    truncation = 0
    if i >= 3 and f >= 2:
        truncation = 3 + (i - 3) + (f - 2) - (1 if di > 1 else 0) - df
        truncation -= 1 if di == i - 1 and df == f - 1 else 0
    return tn * tm * layer.multiplier + tm * (tree + accumulator + truncation)


def plain_tiles(layer: PlainLayer) -> list[PlainTile]:
    """Every tile of a layer."""
    tiles = []
    for tn in range(1, layer.inputs + 1):
        for tm in range(1, layer.outputs + 1):
            cycles = math.ceil(layer.inputs / tn) * math.ceil(layer.outputs / tm) * layer.base
            tiles.append((cycles, plain_luts(layer, tn, tm), tn, tm))
    return tiles


def plain_exact(layers: Sequence[PlainLayer], limits: Limits) -> int | None:
    """Fewest cycles of an image, by trying every number of cycles that a layer of a group can take."""
    fronts = []
    for layer in layers:
        front: list[tuple[int, int]] = []
        for cycles, luts, _, _ in sorted(plain_tiles(layer)):
            if not front or luts < front[-1][1]:
                front.append((cycles, luts))
        fronts.append(front)
    best: list[float] = [0]
    for j in range(len(layers)):
        options = [math.inf]
        for i in range(j + 1):
            run = fronts[i : j + 1]
            for limit in sorted({cycles for front in run for cycles, _ in front}):
                fast = [[luts for cycles, luts in front if cycles <= limit] for front in run]
                if all(fast) and sum(min(luts) for luts in fast) <= limits.lut:
                    options.append(best[i] + limit)
                    break
        best.append(min(options))
    return int(best[-1]) if best[-1] < math.inf and 1e8 / best[-1] > limits.throughput_per_s else None


def plain_paper(layers: Sequence[PlainLayer], limits: Limits) -> tuple[str, int] | None:
    """The paper's method by looking through all tiles each time: tiles and groups as text, and cycles."""
    most = 1e8 / limits.throughput_per_s
    states: dict[tuple[int, int, int], str] = {(0, 0, 0): ""}
    for number, layer in enumerate(layers):
        tiles = plain_tiles(layer)
        orders = sorted(tiles, key=lambda t: (t[1], t[0], t[2])), sorted(tiles, key=lambda t: (t[0], t[2], t[3]))
        grown: dict[tuple[int, int, int], str] = {}
        for (luts, total, before), text in states.items():
            for opens in (True, False) if number else (True,):
                used, start, group = (0, total, 0) if opens else (luts, before, total - before)
                for order in orders:
                    for cycles, more, tn, tm in order:
                        now = start + max(group, cycles)
                        if used + more <= limits.lut and now < most:
                            bar = "|" if opens and number else ""
                            grown.setdefault((used + more, now, start), f"{text}{bar}({tn},{tm})")
                            break
        kept = set()
        for a, b in ((0, 1), (1, 2), (0, 2)):
            for state in grown:
                if not any(
                    other[a] <= state[a] and other[b] <= state[b] and (other[a], other[b]) != (state[a], state[b])
                    for other in grown
                ):
                    same = [s for s in grown if (s[a], s[b]) == (state[a], state[b])]
                    kept.add(min(same))
        states = {state: grown[state] for state in grown if state in kept}
    if not states:
        return None
    best = min(states, key=lambda s: (s[1], s[0], s[2]))
    return states[best], best[1]


def sample_networks(count: int, seed: int) -> list[PaperNetwork]:
    """Uniform samples of the paper's space: 6 layers, linear, no stride."""
    rng = np.random.default_rng(seed)

    def layer() -> PaperLayer:
        kh, kw = rng.choice([1, 3, 5, 7], 2).tolist()
        filters, pool = int(rng.choice([24, 36, 48, 64])), int(rng.integers(1, 3))
        (ai, wi), (af, wf) = rng.integers(0, 4, 2).tolist(), rng.integers(0, 7, 2).tolist()
        return PaperLayer((kh, kw), filters, (ai, af), (wi, wf), pool)

    return [PaperNetwork(tuple(layer() for _ in range(6))) for _ in range(count)]


def compare(
    networks: Sequence[PaperNetwork], plain: int, limits: Limits, model: HardwareModel, method: Method
) -> dict[str, Any]:
    """Designs a second of ``flow.paper`` and of plain Python, after checking that they agree."""
    start = time.process_time()
    expected: list[Any] = []
    for network in networks[:plain]:
        layers = plain_layers(network, model.total_bits, model.image_rows)
        expected.append((plain_exact if method == "exact" else plain_paper)(layers, limits))
    plain_rate = plain / (time.process_time() - start)
    for found, wanted in zip(solve_many(networks[:plain], limits, model, method), expected, strict=True):
        cycles = None if found is None else evaluate(found, model).cycles
        got = cycles if method == "exact" or found is None else (found.tiling, cycles)
        if got != wanted:
            raise SystemExit(f"{model.name}, {method}, {limits}: {got} is not {wanted}")
    rates = []
    for _ in range(3):
        start = time.process_time()
        solve_many(networks, limits, model, method)
        rates.append(len(networks) / (time.process_time() - start))
    return {
        "model": model.name, "method": method, "lut": limits.lut, "images_per_s": limits.throughput_per_s,
        "designs_per_s": round(max(rates)), "plain_designs_per_s": round(plain_rate, 2),
        "ratio": round(max(rates) / plain_rate),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="designs solved a second, and the share of feasible candidates")
    parser.add_argument("--networks", type=int, default=2048, help="networks solved by flow.paper")
    parser.add_argument("--plain", type=int, default=24, help="networks solved in plain Python, and compared")
    parser.add_argument("--samples", type=int, default=20_000, help="samples for the share of feasible candidates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    networks = sample_networks(args.networks, args.seed)
    results = [
        compare(networks, args.plain, limits, model, method)
        for method in METHODS
        for model in (PAPER, CORRECTED)
        for limits in PAPER_LIMITS
    ]
    options = CORRECTED.with_options(resident=True, dense=True)
    shares = share_of_feasible(args.samples, args.seed, (PAPER, CORRECTED, options))
    if args.json:
        print(json.dumps({"speed": results, "feasible": [share.to_dict() for share in shares]}, indent=1))
        return
    print("6-layer networks of the paper's space, one core; ratio: against plain Python in the same run")
    for r in results:
        print(
            f"  {r['model']:9} {r['method']:5} {r['lut']:7,} LUTs: {r['designs_per_s']:7,} designs/s, "
            f"plain {r['plain_designs_per_s']:6.2f}/s, ratio {r['ratio']:,}"
        )
    print(f"\nshare of feasible candidates, {args.samples:,} uniform samples")
    print(shares_text(shares))


if __name__ == "__main__":
    main()
