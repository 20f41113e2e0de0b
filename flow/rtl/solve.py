"""The folding of a network that keeps a spec with the fewest LUTs: exact for the sum of prices.

Every layer has options: its folds in each style that keep the interval, and itself unrolled, priced with the
activations behind it, which are as wide as it is. Where one folded layer reads another, a converter between their
widths is priced too, and has to keep the interval itself. A dynamic program over the layers keeps, for each width of
the last one, the choices that no other beats in LUTs and block RAM at once: so the best within the block RAM is found,
not approached. Converters at branches and merges are not part of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from flow.errors import NothingFeasible
from flow.network.quantized import QUANTIZE_OPS, QuantizedLayer, QuantizedNetwork
from flow.rtl.design import build_design
from flow.rtl.features import Facts, facts_of
from flow.rtl.folding import FOLDED_OPS, Fold, Folding, fold_cost, fold_options, is_folded, layer_cycles
from flow.rtl.mac import STYLES
from flow.rtl.price import Prices, load_prices
from flow.rtl.schedule import Schedule, schedule
from flow.spec import Spec

RANKING = "xc7"
"""The family by whose prices options are compared where the device's own has none."""
SHRINK, TRIES = 0.75, 12
"""How much shorter an interval is tried, and how often, until the latency is kept."""
TRUSTED = 25
"""Samples that a style of arrays must have been priced by, to be chosen: a bad price attracts the solver."""
MOST_WEIGHTS = 1 << 12
"""Most weights of a layer that is tried unrolled: its adders are found in seconds."""
_BEHIND = (*QUANTIZE_OPS, "scale")


@dataclass(frozen=True)
class Option:
    """A layer's fold with its price; ``takes`` and ``gives`` are the lanes of its input and output."""

    fold: Fold
    takes: int
    gives: int
    lut: float
    bram18: float


@dataclass(frozen=True)
class _Choice:
    """Options of the layers so far, the last first, as a linked list; ``start``: the lanes of the input."""

    lut: float
    bram18: float
    start: int
    option: Option | None = None
    before: _Choice | None = None


def solve_folding(network: QuantizedNetwork, spec: Spec, prices: Prices | None = None) -> Folding:
    """The folding of least price that keeps throughput, latency and block RAM of ``spec``.

    ``prices``: those of 7-series if None. Raises NothingFeasible saying which limit stands in the way, InputError for
    a network that can't be built.
    """
    interval, limit = spec.max_interval_cycles, spec.max_latency_cycles
    known = prices or load_prices(RANKING)
    for _ in range(TRIES):
        try:
            folding = _cheapest(network, interval, spec.budget.bram18, known)
        except NothingFeasible:
            if interval == spec.max_interval_cycles:
                raise
            break  # the latency can't be kept by being faster
        found = schedule(network, folding)
        if found.interval > spec.max_interval_cycles:
            raise NothingFeasible(
                f"{found.bottleneck} needs {found.interval:,} cycles an inference, "
                f"{spec.min_throughput_per_s:,.10g} inferences/s leave {spec.max_interval_cycles:,}"
            )
        if limit is None or found.latency <= limit:
            return folding
        shorter = int(min(interval, found.interval) * SHRINK)
        if shorter < 1:
            break
        interval = shorter
    raise NothingFeasible(f"no folding was found that takes at most {limit:,} cycles of latency")


def _cheapest(network: QuantizedNetwork, interval: int, most_bram: float | None, prices: Prices | None) -> Folding:
    layers = [layer for layer in network if is_folded(layer)]
    most = math.inf if most_bram is None else most_bram
    channels, beats = network.input_shape[-1], math.prod(network.input_shape)
    fronts = {n: [_Choice(0.0, 0.0, n)] for n in divisors(channels) if beats // n <= interval}
    if not fronts:
        raise NothingFeasible(f"the input of {beats // channels:,} pixels takes longer than {interval:,} cycles")
    before: QuantizedLayer | None = None
    for layer in layers:
        options = options_of(network, layer, interval, prices)
        joined = reads(network, layer, before)
        fronts = _step(layer, options, fronts, interval, network, joined, prices)
        fronts = {lanes: _front(c for c in found if c.bram18 <= most) for lanes, found in fronts.items()}
        fronts = {lanes: found for lanes, found in fronts.items() if found}
        if not fronts:
            raise NothingFeasible(f"{layer.name}: no folding keeps {interval:,} cycles within {most:,.0f} RAMB18")
        before = layer
    best = min((c for found in fronts.values() for c in found), key=lambda c: (c.lut, c.bram18))
    folds: dict[str, Fold] = {}
    choice: _Choice | None = best
    for layer in reversed(layers):
        assert choice is not None
        assert choice.option is not None
        folds[layer.name], choice = choice.option.fold, choice.before
    return Folding({layer.name: folds[layer.name] for layer in layers}, best.start)


def _step(
    layer: QuantizedLayer, options: Sequence[Option], fronts: dict[int, list[_Choice]], interval: int,
    network: QuantizedNetwork, joined: bool, prices: Prices | None,
) -> dict[int, list[_Choice]]:  # fmt: skip
    """All choices with one more layer, by the lanes it gives."""
    frame, width = math.prod(layer.in_shape), network.format(layer.inputs[0]).width
    found: dict[int, list[_Choice]] = {}
    between: dict[tuple[int, int], float | None] = {}
    for option in options:
        for lanes, choices in fronts.items():
            key = (lanes, option.takes)
            if key not in between:
                between[key] = converter(*key, frame, width, interval, prices) if joined else 0.0
            extra = between[key]
            if extra is not None:
                found.setdefault(option.gives, []).extend(
                    _Choice(c.lut + option.lut + extra, c.bram18 + option.bram18, c.start, option, c) for c in choices
                )
    return found


def _front(choices: Iterable[_Choice]) -> list[_Choice]:
    """The choices that no other beats in LUTs and block RAM."""
    kept: list[_Choice] = []
    for choice in sorted(choices, key=lambda c: (c.lut, c.bram18)):
        if not kept or choice.bram18 < kept[-1].bram18:
            kept.append(choice)
    return kept


def options_of(
    network: QuantizedNetwork, layer: QuantizedLayer, interval: int, prices: Prices | None
) -> list[Option]:  # fmt: skip
    """The options of a layer that keep an interval. Raises NothingFeasible if none does."""
    trusted = prices is not None and prices.samples.get("unrolled", 0) >= TRUSTED
    small = trusted and layer.weight is not None and layer.weight.values.size <= MOST_WEIGHTS
    folds = [fold for fold in fold_options(layer) if fold.engine == "folded" or small]
    frame, found = math.prod(layer.in_shape), []
    for fold in folds:
        takes = fold.inputs if layer.op in FOLDED_OPS else fold.outputs
        if layer_cycles(layer, fold) > interval or frame > interval * takes:
            continue
        folded = fold.engine == "folded" and layer.weight is not None
        styled = [replace(fold, style=style) for style in _styles(prices)] if folded else [fold]
        for one in styled:
            lut, bram = price_of(network, layer, one, prices)
            found.append(Option(one, takes, fold.outputs, lut, bram))
    if not found:
        least = min(layer_cycles(layer, fold) for fold in folds)
        raise NothingFeasible(
            f"{layer.name} can't finish an inference in {interval:,} cycles: it needs {least:,} at its widest"
        )
    return found


def _styles(prices: Prices | None) -> list[str]:
    """Styles whose price is to be relied on; the default one always."""
    known = {} if prices is None else prices.samples
    return [style for style in STYLES if style == Fold().style or known.get(f"mac {style}", 0) >= TRUSTED]


def price_of(
    network: QuantizedNetwork, layer: QuantizedLayer, fold: Fold, prices: Prices | None
) -> tuple[float, float]:  # fmt: skip
    """(LUTs, RAMB18) of a layer with a fold and of the activations behind it; by a rough formula if it has no price."""
    source, layers = network.format(layer.inputs[0]), _with_behind(network, layer)
    alone = QuantizedNetwork("alone_input", layer.in_shape, source, layers)
    takes = fold.inputs if layer.op in FOLDED_OPS else fold.outputs
    design = build_design(alone, Folding({layer.name: fold}, takes if layer.in_shape[-1] % takes == 0 else 1))
    rings = {node.name: node.window.least_depth for node in design.nodes if node.window is not None}
    parts = facts_of(design, Schedule(0, 0, 0, {}, rings, {})).values()
    total = None if prices is None else prices.total(parts)
    bram = sum(facts.rom[1] + facts.ring[1] for facts in parts)
    if total is None or total.lut is None:
        return fold_cost(layer, fold, source.width), float(bram)
    return total.lut, float(bram)


def _with_behind(network: QuantizedNetwork, layer: QuantizedLayer) -> tuple[QuantizedLayer, ...]:
    """A layer and the value-by-value layers behind it, alone."""
    found = [replace(layer, inputs=(-1,))]
    index = next(i for i, other in enumerate(network.layers) if other is layer)
    while True:
        readers = [i for i, other in enumerate(network.layers) if index in other.inputs]
        if len(readers) != 1 or network.layers[readers[0]].op not in _BEHIND:
            return tuple(found)
        index = readers[0]
        found.append(replace(network.layers[index], inputs=(len(found) - 1,)))


def reads(network: QuantizedNetwork, layer: QuantizedLayer, before: QuantizedLayer | None) -> bool:
    """Whether a layer reads another (None: the input) as it is, with nothing but value-by-value layers between."""
    index = layer.inputs[0]
    while index >= 0:
        other = network.layers[index]
        if other is before:
            return True
        if len(other.inputs) != 1 or is_folded(other):
            return False
        index = other.inputs[0]
    return before is None


def converter(
    lanes: int, takes: int, frame: int, width: int, interval: int, prices: Prices | None
) -> float | None:  # fmt: skip
    """LUTs of what is between two widths, None if it can't keep the interval; ``frame``: values an inference."""
    common = math.gcd(lanes, takes)
    if frame > interval * common and lanes != takes:
        return None
    cost = 0.0
    pairs = (("narrow", lanes // common, lanes, common), ("widen", takes // common, common, takes))
    for kind, ratio, before, after in pairs:
        if ratio > 1:
            facts = Facts(kind, lanes_in=before, lanes=after, in_width=width, out_width=width, ratio=ratio)
            price = None if prices is None else prices.part(facts).lut
            cost += price if price is not None else 0.6 * width * max(before, after)
    return cost


def divisors(value: int) -> list[int]:
    """The divisors of a number, ascending."""
    return [n for n in range(1, value + 1) if value % n == 0]
