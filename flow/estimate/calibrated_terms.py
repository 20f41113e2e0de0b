"""The terms of the calibrated model: what each kind of layer consists of, in hardware, as columns.

A prediction is a sum of terms, each times a coefficient that is never negative. So a prediction is never negative,
is zero only where all its terms are, and grows wherever the hardware's parts do. Coefficients are LUTs, flip-flops or
cycles a unit of the term; the values beside the terms in ``PRIORS`` are what the generated C++ and public reports
suggest before anything is fitted, and what thin data is drawn to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from flow.estimate.features import CODE, Features
from flow.estimate.structural import Bools, Floats, Ints, bram18
from flow.estimate.table import LayerTable

Terms = dict[str, Floats]
Prior = Mapping[str, float]

REGIMES = ("folded", "constant", "activation", "softmax", "table", "maxpool", "gap", "padding", "batchnorm", "join")
"""Kinds of hardware; each has coefficients of its own. ``folded``: Resource with reuse above 1, weights from memory.
``constant``: weights are constants in the logic (reuse 1, or strategy Latency at any reuse)."""

_OPS = {"activation": ("activation",), "softmax": ("softmax",), "table": ("table_activation",),
        "maxpool": ("maxpool",), "gap": ("global_avgpool",), "padding": ("padding",), "batchnorm": ("batchnorm",),
        "join": ("add", "concat", "flatten", "linear")}  # fmt: skip


_REGIME_OF_OP = np.zeros(len(CODE), dtype=np.int64)
for _regime, _names in _OPS.items():
    for _name in _names:
        _REGIME_OF_OP[CODE[_name]] = REGIMES.index(_regime)


def regimes_of(f: Features) -> Ints:
    """The index in ``REGIMES`` of each row."""
    return np.where(f.table.is_weight, np.where(f.folded, 0, 1), _REGIME_OF_OP[f.table.op])


def rows_of(regime: str, f: Features) -> Bools:
    """Which rows belong to a regime: each row to exactly one."""
    mine: Bools = regimes_of(f) == REGIMES.index(regime)
    return mine


CELLS = (
    "folded, several outputs", "folded, one output", "folded, stream", "folded, conv", "constant, pipelined",
    "constant, 7-series", "constant, folded", "constant, stream", "activation", "activation, stream", "softmax",
    "table", "window", "join",
)  # fmt: skip
"""Kinds of rows with intervals of their own: where errors are alike. Finer than regimes."""

_CELL_OF_OP = np.full(len(CODE), CELLS.index("join"))
for _name, _cell in {"activation": "activation", "softmax": "softmax", "table_activation": "table", "maxpool": "window",
                     "global_avgpool": "window", "padding": "window"}.items():  # fmt: skip
    _CELL_OF_OP[CODE[_name]] = CELLS.index(_cell)


def cells_of(f: Features) -> Ints:
    """The index in ``CELLS`` of each row."""
    return cells(f.table, f.rf, f.stream, f.latency, f.ultra)


def cells(table: LayerTable, reuse: Ints | Floats, stream: Bools, latency: Bools, ultra: Bools | bool) -> Ints:
    """``cells_of`` without features; ``ultra``: UltraScale or later."""
    op = table.op
    conv = (op == CODE["conv2d"]) | (op == CODE["depthwise"])
    folded = np.where(conv, 3, np.where(stream, 2, np.where(reuse > np.maximum(table.fan_in, 1), 0, 1)))
    constant = np.where(stream, 7, np.where(reuse > 1, 6, np.where(ultra, 4, 5)))
    plain = _CELL_OF_OP[op] + (stream & (op == CODE["activation"]))
    return np.where(table.is_weight, np.where(~latency & (reuse > 1), folded, constant), plain)


def terms_of(regime: str, target: str, f: Features) -> Terms:
    """Terms of ``target`` ("lut", "ff" or "cycles") for rows that are all of ``regime``."""
    return _TERMS[regime, target](f) if (regime, target) in _TERMS else _plain(regime, target, f)


# --- weights from memory ------------------------------------------------------------------------------------------


def _folded_lut(f: Features) -> Terms:
    step = f.rf / f.n
    per = np.where(f.depthwise, 0.0, step)
    many, two = per > 2, (per > 1) & (per <= 2)
    below = (per < 1) & ~f.depthwise
    size = np.clip(np.ceil(np.log2(f.o)), 0, 24)
    out: Terms = {
        "1": np.ones(len(f)),
        # A multiplexer of all inputs, and below the fan-in another at each multiplier, of one size in all reports
        # (reuse 8 to 40). A convolution's window shifts.
        "inputs": np.where(f.conv, 0, f.n * f.x),
        "inputs below": np.where(below & ~f.conv, f.mults * f.x, 0),
        "inputs, conv": np.where(f.conv & ~f.depthwise, f.n * f.x, 0),
        "inputs below, conv": np.where(below & f.conv, f.mults * f.x, 0),
        "accumulators": f.o * f.acc,
        # Steps that address outputs in turn divide the step's number by the fan-in.
        "addressing": np.where((per > 1) & ~f.conv, 1.0, 0.0),
        "two outputs": np.where(two, f.mults * f.acc, 0),
        "tree": np.maximum(f.mults - f.o, 0) * np.minimum(f.acc, f.x + f.w + 2),
        "lut products": f.mults * np.where(f.wide & (f.dsp > 0), 0.0, np.where(np.minimum(f.x, f.w) > 4, f.x * f.w, 1)),
        "stream": np.where(f.stream & ~f.conv, f.n * f.x, 0),
    }
    # Each multiplier reads and writes one of all outputs: multiplexers of the next power of two.
    for knot in (5, 6, 7, 8):
        hat = np.clip(1 - np.abs(size - knot), 0, 1)
        edge = (size < knot) if knot == 5 else (size > knot) if knot == 8 else np.zeros(len(f), dtype=bool)
        scale = np.where(edge, 2.0 ** (size - knot), hat)
        out[f"outputs {2**knot}"] = np.where(many, f.mults * f.acc * scale, 0)
    return out | _conv_lut(f)


def _folded_ff(f: Features) -> Terms:
    per = np.where(f.depthwise, 0.0, f.rf / f.n)
    below = (per < 1) & ~f.depthwise
    return {
        "1": np.ones(len(f)),
        "accumulators": f.o * f.acc,
        "counters": np.log2(f.rf + 1),
        # Registers behind the weight memory (two outputs or less a multiplier), or behind the product.
        "weights": np.where((per > 1) & (per <= 2) & f.wide, f.mults * f.w, 0),
        "products": np.where((per > 2) & f.wide, f.mults * f.x, 0),
        "narrow weights": np.where(f.wide, 0, f.mults * f.w),
        "inputs": np.where(below, f.n * f.x, 0),
        "inputs below": np.where(below, f.mults * f.x, 0),
        "stream": np.where(f.stream & ~f.conv, f.n * f.x, 0),
    } | _conv_ff(f)


def _folded_cycles(f: Features) -> Terms:
    # Of one position. Products wider than a DSP take more stages; a shorter clock more registers.
    slow = 1 / f.clock
    return {
        "1": np.ones(len(f)),
        "tree": f.stages,
        "wide products": np.where(np.maximum(f.x, f.w) > 18, 1.0, 0.0),
        "stream": np.where(f.stream, slow, 0.0),
        "conv": np.where(f.conv, slow, 0.0),
    }


# --- weights in the logic -----------------------------------------------------------------------------------------


def _constant_lut(f: Features) -> Terms:
    tree = np.minimum(f.acc, f.x + f.w + 2)
    soft = f.nonzero - f.hard
    built = np.where(f.latency & (f.rf > 1), np.minimum(f.hard, limit(f)), f.hard) * (1 - f.dsp)
    return {
        "1": np.ones(len(f)),
        "sums": f.nonzero * tree,
        "digits": soft * np.maximum(f.digits - 1, 0) * f.x,
        "lut products": built * f.x * f.w,
        # A DSP's product is cut to the accumulator's bits, which a wide one has to be rounded to.
        "hard": f.hard * f.dsp * np.maximum(f.x + f.w - f.acc, 0),
        "outputs": f.o * f.acc,
    } | _conv_lut(f)


def _constant_ff(f: Features) -> Terms:
    deep = (f.stages >= 1).astype(np.float64)
    each = ((f.rf == 1) & f.latency).astype(np.float64)
    # While hard products take turns on few multipliers, what they are added to waits in registers.
    waits = (f.latency & (f.rf > 1) & (f.hard > 2 * limit(f))).astype(np.float64)
    held = f.nonzero * f.acc * f.registers * deep
    return {
        "1": np.ones(len(f)),
        "outputs": f.o * f.acc,
        # Registers in the adder tree: behind each as many levels as fit a cycle. A new result each cycle takes more.
        "pipeline": held * (1 - waits),
        "full pipeline": (held + deep * f.o * f.acc) * each,
        "hard": f.hard * f.acc * f.dsp * (1 - waits),
        "hard, not pipelined": f.hard * f.acc * f.dsp * ~f.latency,
        "waiting": f.nonzero * f.acc * waits,
    } | _conv_ff(f)


def _constant_cycles(f: Features) -> Terms:
    some = (f.hard > 0.5).astype(np.float64)
    return {
        "1": np.ones(len(f)),
        "tree": f.stages,
        "hard": some,
        "hard, fast clock": some * f.dsp * np.clip(5 / f.clock - 1, 0, 4) * ~f.ultra,
        # With more than a cycle a result, HLS takes an easier schedule where a level is fast.
        "unhurried": np.where(f.latency & (f.rf > 1) & f.ultra, 1.0, 0.0),
        "stream": np.where(f.stream, 1.0, 0.0),
    }


LONGEST = 1023
"""The most that strategy Latency reuses a multiplier: at reuse 1024 each of the 15 one-layer runs with multipliers has
one more than hls4ml allows (2, 3, 4 for 1,024, 2,048 and 3,072 weights), and the cycles of so many; at 512 none has."""


def limit(f: Features) -> Floats:
    """Multipliers that strategy Latency allows: hls4ml's ``multiplier_limit``, at least one."""
    zeros, reuse = f.n * f.o - f.nonzero, np.minimum(f.rf, LONGEST)
    allowed: Floats = np.maximum(np.ceil(f.n * f.o / reuse) - np.floor(zeros / reuse), 1.0)
    return allowed


def shared_cycles(f: Features) -> Floats:
    """Cycles in which the hard products of a layer with strategy Latency take turns on the multipliers allowed."""
    # As ``limit``, but with zeros taken off each round of multipliers: so more reuse is never faster.
    products = f.n * f.o
    many = np.ceil(products / np.minimum(f.rf, LONGEST)) * f.nonzero / products
    return np.where(f.latency & (f.rf > 1), f.hard / np.maximum(many, 1.0), 0)


# --- windows and layers without weights ---------------------------------------------------------------------------


def _conv_lut(f: Features) -> Terms:
    t = f.table
    if not f.conv.any():
        return {}
    window = (f.conv & f.stream).astype(np.float64)
    return {
        "conv": window,
        # Rows of a line buffer are SRL32s, about a LUT a bit for each 32 columns: 1, 1.5, 2.4 and 4 at up to 32, 34, 66
        # and 130 columns in reports of line buffers alone.
        "rows": window * (t.kernel_h - 1) * t.in_c * f.x * np.maximum(f.columns / 32 + 0.4, 1),
        "window": window * t.kernel_h * t.kernel_w * t.in_c * f.x,
    }


def _conv_ff(f: Features) -> Terms:
    t = f.table
    if not f.conv.any():
        return {}
    window = (f.conv & f.stream).astype(np.float64)
    return {"conv": window, "window": window * t.kernel_h * t.kernel_w * t.in_c * f.x}


_LOGIC = ("activation", "batchnorm", "join")


def _plain(regime: str, target: str, f: Features) -> Terms:
    t = f.table
    stream = f.stream.astype(np.float64)
    bits, out_bits = t.in_c.astype(np.float64) * f.x, t.out_c.astype(np.float64) * f.acc
    elements = np.where(f.stream, 1.0, f.positions)
    window = np.maximum(t.kernel_h * t.kernel_w - 1, 0).astype(np.float64)
    fast = np.clip(5 / f.clock - 1, 0, 4) * ~f.ultra
    dropped: Floats = np.maximum(f.x - f.acc, 0.0)
    if target == "cycles":
        # Beyond one cycle a position, which is not fitted.
        # Where logic is fast (UltraScale) the tree over the elements fits into the first cycles.
        return {"1": np.ones(len(f)), "stream": stream, "fast clock": fast,
                "elements": np.log2(t.in_c + 1.0) * ~f.ultra}  # fmt: skip
    # In parallel and at an easy clock these layers are logic only: no registers at all.
    some = np.maximum(stream, (fast > 0).astype(np.float64)) if target == "ff" and regime in _LOGIC else np.ones(len(f))
    elements = elements * some
    out: Terms = {
        "1": some,
        "stream": stream,
        "in": elements * bits,
        "out": elements * out_bits,
    }
    if regime in ("activation", "softmax", "table"):
        out["dropped bits"] = elements * t.out_c * dropped
        out["stream bits"] = stream * bits
        if target == "ff":
            out["fast clock"] = elements * out_bits * ((fast > 0) & ~f.stream)
    if regime == "softmax" and target == "ff":
        out["7-series"] = elements * bits * ~f.ultra
    if regime in ("softmax", "batchnorm"):
        out["lut products"] = elements * t.in_c * f.x * (1 - f.dsp)
    if regime == "maxpool":
        out["window"] = window * bits
        out["rows"] = (t.kernel_h - 1) * bits * np.ceil(f.columns / 32)
    if regime == "gap":
        out["sums"] = t.in_c * (f.x + np.ceil(np.log2(f.positions)))
    return out


_TERMS: dict[tuple[str, str], Callable[[Features], Terms]] = {
    ("folded", "lut"): _folded_lut,
    ("folded", "ff"): _folded_ff,
    ("folded", "cycles"): _folded_cycles,
    ("constant", "lut"): _constant_lut,
    ("constant", "ff"): _constant_ff,
    ("constant", "cycles"): _constant_cycles,
}


# --- what is exact ------------------------------------------------------------------------------------------------


def dsps(f: Features, tiles: Floats) -> Floats:
    """DSP slices, of ``tiles`` each. Resource with reuse above 1 has one multiplier for each reused weight."""
    hard = np.rint(f.hard)
    shared = np.where(f.latency & (f.rf > 1), np.minimum(hard, limit(f)), hard)
    weights = np.where(f.folded, np.where(f.wide, f.mults, 0), shared) * tiles * f.dsp
    # A batch normalisation in parallel is QKeras' scale, a power of two: shifts.
    plain = np.where(f.is_op("softmax") | (f.is_op("batchnorm") & f.stream), f.table.in_c * f.dsp, 0)
    return np.where(f.table.is_weight, weights, plain)


def memories(f: Features) -> Floats:
    """RAMB18 of weight memories and activation tables, line buffers and FIFOs not counted.

    A word of all weights used at once for each step; under 1 kbit in LUTs. Steps that address outputs in turn have an
    index ROM, up to 2 steps an output in LUTs. Tables have 1,024 entries: one block an element and one more.
    """
    memory = np.zeros(len(f))
    index = np.flatnonzero(f.folded & (f.n * f.o * f.w > 1024))
    if index.size:
        rf, n = f.rf[index], f.n[index]
        memory[index] = bram18(f.mults[index] * f.w[index], rf) + ((rf > 2 * n) & ~f.depthwise[index])
    tables = np.where(f.is_op("softmax"), np.where(f.stream, 2, f.table.in_c), 0)
    tables = np.where(f.is_op("table_activation"), f.table.in_c, tables)
    return memory + tables


PRIORS: dict[tuple[str, str], Prior] = {
    ("folded", "lut"): {
        "1": 100, "inputs": 2.0, "inputs below": 18, "inputs, conv": 0.1, "inputs below, conv": 4, "accumulators": 1.5,
        "addressing": 4500, "two outputs": 2.5, "tree": 1.0, "lut products": 0.97, "stream": 0.3, "outputs 32": 11,
        "outputs 64": 18.5, "outputs 128": 43, "outputs 256": 86, "conv": 900, "rows": 1.0, "window": 0.1,
    },
    ("folded", "ff"): {
        "1": 40, "accumulators": 1.0, "counters": 4, "weights": 1.0, "products": 1.0, "narrow weights": 1.0,
        "inputs": 1.9, "inputs below": 1.4, "stream": 1.0, "conv": 200, "window": 1.0,
    },
    ("folded", "cycles"): {"1": 1.5, "tree": 1.0, "wide products": 4, "stream": 9, "conv": 18},
    ("constant", "lut"): {
        "1": 20, "sums": 0.9, "digits": 1.0, "lut products": 0.97, "hard": 0.8, "outputs": 1.0,
        "conv": 900, "rows": 1.0, "window": 0.1,
    },
    ("constant", "ff"): {
        "1": 2, "outputs": 1.0, "pipeline": 1.0, "full pipeline": 0.4, "hard": 0.1, "hard, not pipelined": 0.5,
        "waiting": 0.73,
        "conv": 200, "window": 1.0,
    },
    ("constant", "cycles"): {"1": 0.01, "tree": 1.0, "hard": 0.4, "hard, fast clock": 3.0, "unhurried": 1.0,
                             "stream": 0.5},
    ("activation", "lut"): {"1": 5, "stream": 80, "in": 1.75, "out": 0.1, "dropped bits": 2.2, "stream bits": 1.0},
    ("activation", "ff"): {"1": 5, "stream": 20, "in": 0.02, "out": 0.05, "dropped bits": 0.1, "stream bits": 1.0,
                           "fast clock": 4.0},
    ("activation", "cycles"): {"1": 0.02, "stream": 3, "fast clock": 2.0, "elements": 0.01},
    ("softmax", "lut"): {"1": 20, "stream": 500, "in": 8, "out": 0.5, "dropped bits": 1, "stream bits": 1,
                         "lut products": 22},
    ("softmax", "ff"): {"1": 20, "stream": 500, "in": 2.5, "7-series": 10, "out": 0.5, "dropped bits": 1,
                        "stream bits": 1, "lut products": 0.1, "fast clock": 4.0},
    ("softmax", "cycles"): {"1": 4, "stream": 10, "fast clock": 6, "elements": 2.5},
    ("table", "lut"): {"1": 5, "stream": 50, "in": 7.5, "out": 0.5, "dropped bits": 1, "stream bits": 1},
    ("table", "ff"): {"1": 3, "stream": 30, "in": 0.1, "out": 0.1, "dropped bits": 1, "stream bits": 0.1,
                      "fast clock": 1.0},
    ("table", "cycles"): {"1": 1, "stream": 3, "fast clock": 1, "elements": 0.1},
    ("maxpool", "lut"): {"1": 50, "stream": 200, "in": 1, "out": 1, "window": 4.0, "rows": 1.0},
    ("maxpool", "ff"): {"1": 20, "stream": 50, "in": 1, "out": 1, "window": 3.0, "rows": 0.1},
    ("maxpool", "cycles"): {"1": 1, "stream": 3, "fast clock": 1, "elements": 0.1},
    ("gap", "lut"): {"1": 50, "stream": 100, "in": 0.5, "out": 1, "sums": 2.0},
    ("gap", "ff"): {"1": 20, "stream": 50, "in": 0.3, "out": 1, "sums": 1.0},
    ("gap", "cycles"): {"1": 1, "stream": 1, "fast clock": 1, "elements": 0.3},
    ("padding", "lut"): {"1": 50, "stream": 180, "in": 0.5, "out": 0.5},
    ("padding", "ff"): {"1": 5, "stream": 20, "in": 0.05, "out": 0.05},
    ("padding", "cycles"): {"1": 1, "stream": 2, "fast clock": 0.1, "elements": 0.1},
    ("batchnorm", "lut"): {"1": 5, "stream": 60, "in": 0.5, "out": 0.5, "lut products": 8},
    ("batchnorm", "ff"): {"1": 1, "stream": 30, "in": 0.1, "out": 1.0, "lut products": 0.1},
    ("batchnorm", "cycles"): {"1": 0.1, "stream": 2, "fast clock": 0.5, "elements": 0.01},
    ("join", "lut"): {"1": 1, "stream": 40, "in": 0.1, "out": 0.9},
    ("join", "ff"): {"1": 1, "stream": 20, "in": 0.1, "out": 0.9},
    ("join", "cycles"): {"1": 0.1, "stream": 1.9, "fast clock": 0.5, "elements": 0.01},
}  # fmt: skip
