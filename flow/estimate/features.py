"""What the calibrated model sees of a layer: its table row, how it is implemented, and what is known of its weights.

Everything is columns of float64, one value a row, so that many networks are described in one go. Units: bits for
widths, ns for times, counts otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from flow.estimate.structural import Bools, Floats, Ints, padded
from flow.estimate.table import KIND_CODE, WEIGHT_CODE, LayerTable

CODE = KIND_CODE

CLOCK_MARGIN = 0.875
"""Share of the clock period that HLS plans with: its default uncertainty is 12.5% (AMD UG902, UG1399)."""

TRAINED_SPREAD = 1.6
"""Standard deviation of trained weights over Glorot's sqrt(2 / (n_in + n_out)): the value at which the share of
products that HLS maps to DSPs is that of 19 trained 8-bit layers (ArgyKokk/hls4ml_MLP_estimator)."""

HARD_DIGITS, HARD_BITS = 3, 5
"""A product with a constant is "hard" (a DSP, or a LUT multiplier where there are none) if its canonical signed
digits are at least 3 and its odd part has at least 5 bits; else shifts and adders. This gives the DSP counts of the
one-layer designs of Dendendelen/wa-hls4ml-search at 8 to 14 bits within 2% of the weights (root mean square)."""


@dataclass(frozen=True, eq=False)
class Details:
    """What may be known beyond the table, one value a row or one for all.

    ``density`` is the share of weights that are not zero, ``hard`` the share of those whose product takes a
    multiplier (see ``HARD_DIGITS``) and ``digits`` the mean number of canonical signed digits of the others; NaN where
    unknown: then they follow from the width and Glorot's spread. ``trained`` says which spread. ``use_dsp`` is False
    where DSPs are ruled out. ``serial`` marks forks of hls4ml that pass one channel a cycle; not hls4ml itself.
    ``integer``: integer bits of the weights, the sign included.
    """

    clock_ns: Floats | float = 5.0
    density: Floats | float = math.nan
    hard: Floats | float = math.nan
    digits: Floats | float = math.nan
    trained: Bools | bool = True
    use_dsp: Bools | bool = True
    serial: Bools | bool = False
    integer: Floats | float = 1.0

    def select(self, rows: NDArray[np.bool_] | Ints) -> Details:
        """The given rows."""
        return Details(*(v[rows] if isinstance(v, np.ndarray) else v for v in vars(self).values()))


DEFAULT = Details()


@dataclass(frozen=True, eq=False)
class Features:
    """Columns that the terms of the model are made of; see the comments in ``features_of`` for their meaning."""

    table: LayerTable
    rf: Floats
    stream: Bools
    latency: Bools
    ultra: Bools
    clock: Floats
    n: Floats
    o: Floats
    x: Floats
    w: Floats
    acc: Floats
    mults: Floats
    folded: Bools
    wide: Bools
    dsp: Floats
    nonzero: Floats
    hard: Floats
    digits: Floats
    stages: Floats
    registers: Floats
    conv: Bools
    depthwise: Bools
    positions: Floats
    rows: Floats
    columns: Floats
    serial: Bools

    def __len__(self) -> int:
        return len(self.rf)

    def select(self, rows: Ints) -> Features:
        """The given rows."""
        return Features(self.table.select(rows), *(v[rows] for name, v in vars(self).items() if name != "table"))

    def is_op(self, *names: str) -> Bools:
        """Rows of these operations."""
        mask: Bools = self.table.op == CODE[names[0]]
        for name in names[1:]:
            mask = mask | (self.table.op == CODE[name])
        return mask


def features_of(
    table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, ultra: Bools | bool, details: Details = DEFAULT
) -> Features:
    """Features of the rows of ``table``; arguments as ``Estimator.rows``, ``ultra``: UltraScale or later."""
    rows = len(table)
    rf = np.maximum(_column(reuse, rows), 1.0)
    n, o, x, w, acc = (c.astype(np.float64) for c in (table.fan_in, table.out_c, table.x_width, table.w_width,
                                                      table.out_width))  # fmt: skip
    n, o = np.maximum(n, 1.0), np.maximum(o, 1.0)
    latencies, wide_chip = np.broadcast_to(latency, (rows,)), np.broadcast_to(ultra, (rows,))
    clock = _column(details.clock_ns, rows)
    weight = table.is_weight
    mults = np.ceil(n * o / rf)
    fixed = table.w_kind == WEIGHT_CODE["fixed"]
    # 8x8 and 16x4 are LUT products, 16x6 a DSP; narrow factors never pay off.
    wide = fixed & (x * w > 80) & (np.minimum(x, w) > 4)
    density, hard, digits = _weights(table, n, o, w, details)
    nonzero = n * o * density
    # Levels of the adder tree of one output, and how many of them fit a clock cycle; an adder takes about 4 ns with
    # its multiplexing on 7-series, 1.05 ns on UltraScale+ (latencies of constant layers at 3.33 and 5 ns).
    per_level = np.minimum(np.where(wide_chip, 1.05, 4.0) / (CLOCK_MARGIN * clock), 1.0)
    summed = np.where((rf > 1) & ~latencies, n / rf, n)
    stages = np.log2(np.maximum(summed, 1.0)) * per_level
    registers = 1 / (2 ** (1 / per_level) - 1)
    padding = table.op == CODE["padding"]
    conv = (table.op == CODE["conv2d"]) | (table.op == CODE["depthwise"])
    ph = np.where(
        conv,
        padded(table.in_h, table.out_h, table.kernel_h, table.stride_h),
        np.where(padding, table.out_h, table.in_h),
    )
    pw = np.where(
        conv,
        padded(table.in_w, table.out_w, table.kernel_w, table.stride_w),
        np.where(padding, table.out_w, table.in_w),
    )
    return Features(
        table, rf, np.broadcast_to(stream, (rows,)), latencies, wide_chip, clock, n, o, x, w, acc, mults,
        weight & ~latencies & (rf > 1), wide, np.broadcast_to(details.use_dsp, (rows,)).astype(np.float64), nonzero,
        nonzero * hard, digits, stages, registers, conv, table.op == CODE["depthwise"], np.maximum(ph * pw, 1.0),
        ph, pw,
        np.broadcast_to(details.serial, (rows,)),
    )  # fmt: skip


def weight_statistics(codes: NDArray[np.int64]) -> tuple[float, float, float]:
    """Density, hard share and digits (see ``Details``) of integer weight codes of any shape."""
    magnitudes = np.abs(codes.ravel())
    magnitudes = magnitudes[magnitudes > 0]
    if not magnitudes.size:
        return 0.0, 0.0, 0.0
    digits, hard = _digits(magnitudes)
    soft = digits[~hard]
    return magnitudes.size / codes.size, float(hard.mean()), float(soft.mean()) if soft.size else 0.0


def _weights(table: LayerTable, n: Floats, o: Floats, w: Floats, details: Details) -> tuple[Floats, Floats, Floats]:
    """Density, hard share and digits of each row: as given, else expected for its width."""
    rows = len(table)
    trained = np.broadcast_to(details.trained, (rows,))
    given = [_column(v, rows) for v in (details.density, details.hard, details.digits)]
    # Weights spread as Glorot's initialisation; depthwise layers have one output a channel.
    outputs = np.where(table.op == CODE["depthwise"], 1.0, o)
    steps = np.log2(np.sqrt(2 / (n + outputs))) + w - _column(details.integer, rows)
    steps = np.where(trained, steps + math.log2(TRAINED_SPREAD), steps)
    at = np.minimum(steps, w)
    knots, values = _expectations(True)
    expected = [np.interp(at, knots, v) for v in values]
    if not trained.all():
        knots, values = _expectations(False)
        expected = [np.where(trained, e, np.interp(at, knots, v)) for v, e in zip(values, expected, strict=True)]
    density, hard, digits = (np.where(np.isnan(g), e, g) for g, e in zip(given, expected, strict=True))
    binary, ternary = table.w_kind == WEIGHT_CODE["binary"], table.w_kind == WEIGHT_CODE["ternary"]
    # Ternary weights of trained layers: a third is zero under the usual threshold of 0.7 mean magnitudes, more or less.
    density = np.where(binary, 1.0, np.where(ternary & np.isnan(given[0]), 2 / 3, density))
    narrow = binary | ternary
    return density, np.where(narrow, 0.0, hard), np.where(narrow, 1.0, digits)


@lru_cache(maxsize=2)
def _expectations(normal: bool) -> tuple[Floats, tuple[Floats, Floats, Floats]]:
    """Density, hard share and digits over log2 of the standard deviation in steps of the format.

    Of weights drawn normally (trained ones: bell-shaped), or uniformly (Glorot's initialisation, untrained).
    """
    knots = np.arange(-3.0, 13.0, 0.5)
    out = np.zeros((3, len(knots)))
    for i, knot in enumerate(knots):
        sigma = 2.0**knot
        limit = sigma * math.sqrt(3)
        # Every code, or an odd step through them: that meets all ends of binary numbers equally often.
        last = int(6 * sigma + 2 if normal else limit + 1.5)
        codes = np.arange(1, last + 1, last // 1024 // 2 * 2 + 1, dtype=np.int64)
        digits, hard = _digits(codes)
        if normal:
            zero = math.erf(0.5 / sigma / math.sqrt(2))
            share = np.exp(-0.5 * (codes / sigma) ** 2)
        else:
            zero = min(0.5 / limit, 0.5)  # the untrained designs were truncated to the format: -0.1 becomes -1 step
            share = np.clip(limit - (codes - 0.5), 0, 1)
        share = share / share.sum() if share.sum() else np.eye(1, len(share))[0]
        soft = share * ~hard
        many = float(share @ hard)
        # A tenth of the variance above the plain rule: borderline constants go to DSPs too (same designs).
        out[:, i] = 1 - zero, many + 0.1 * many * (1 - many), soft @ digits / max(soft.sum(), 1e-9)
    return knots, (out[0], out[1], out[2])


def _digits(magnitudes: NDArray[np.int64]) -> tuple[NDArray[np.int64], Bools]:
    """Canonical signed digits of positive integers (count of bits set in ``3m ^ m``, Reitwiesner), and which are
    hard."""
    digits = np.bitwise_count((3 * magnitudes) ^ magnitudes).astype(np.int64)
    odd = magnitudes // (magnitudes & -magnitudes)
    return digits, (digits >= HARD_DIGITS) & (odd >= 1 << (HARD_BITS - 1))


def _column(value: Floats | Ints | float, rows: int) -> Floats:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (rows,))
