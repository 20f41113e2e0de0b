"""Structural model of what hls4ml 1.3 generates for each layer, vectorised over rows of a LayerTable. Uncalibrated.

It follows the C++ that is generated (``nnet_dense_resource.h``, ``nnet_conv2d_stream.h``, ...): multipliers, adders,
input and accumulator multiplexers, weight memory, line buffers, FIFOs, requantization, control. The amounts are those
of HLS reports (csynth), which logic synthesis usually undercuts. Constants were read off public hls4ml reports: 770
one-layer designs (Dendendelen/wa-hls4ml-search, "wa" below) and 493 layers of public projects ("layers" below).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flow.estimate.table import OP_CODE, WEIGHT_CODE, LayerTable
from flow.resources import RESOURCE_NAMES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TOP_LUT, TOP_FF = 100.0, 150.0
"""Control of the top-level function (start, done, constants of the interface), once a network."""


CELLS = ("constant", "folded", "folded stream", "plain")
"""Kinds of rows that the model's errors differ between: weight layers with reuse 1, with reuse above 1 (io_parallel or
io_stream), and layers without weights."""

ERRORS = {
    "constant": ((0.47, 1.61), (0.57, 9.51), (1.0, 1.0), (1.0, 1.0), (0.0, 1.57)),
    "folded": ((0.63, 1.76), (0.84, 11.1), (0.90, 1.0), (1.0, 1.0), (1.0, 1.0)),
    "folded stream": ((0.01, 5.31), (1.62, 3.87), (0.21, 1.0), (1.0, 1.0), (0.80, 1.0)),
    "plain": ((0.56, 1.89), (0.02, 3.87), (0.06, 1.0), (1.0, 1.0), (1.0, 1.0)),
}
"""5% and 95% quantiles of what csynth reports over what this model predicts, in the order of ``RESOURCE_NAMES``: 716
one-layer designs (wa) and 168 layers of public projects (layers), built as the solver would, every project counting the
same; none uses UltraRAM. ``benchmarks/structural_error.py`` prints this table."""

OFFSET = np.array([20.0, 20.0, 1.0, 1.0, 1.0])
"""Added to both sides of the ratios of weight layers, so that a block more than none is no infinite error."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Resources and cycles by row: whole numbers as float64. ``fill`` is the latency of one layer in its chain.

    The latency of a network is the sum of ``fill``, plus the largest ``interval`` where its layers stream.
    """

    lut: Floats
    ff: Floats
    bram18: Floats
    uram: Floats
    dsp: Floats
    interval: Floats
    fill: Floats

    def resources(self) -> Floats:
        """Shape (rows, 5), in the order of ``RESOURCE_NAMES``."""
        return np.stack([getattr(self, name) for name in RESOURCE_NAMES], axis=1)


class Estimator(Protocol):
    """What predicts rows. The solver asks for nothing else, so a fitted or another hardware's model fits in.

    Contract: results are finite, not negative, of the length of the table, in its order, and each row depends on
    that row alone; ``fill`` and ``interval`` never fall as the reuse factor grows from 2 up, nor from 1 to any other.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def note(self) -> str:
        """How far the numbers can be trusted, for the user."""

    def at_clock(self, clock_ns: float) -> Estimator:
        """The same estimator for a clock of that period; whoever knows the clock calls it before ``rows``."""

    def rows(self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Estimate:
        """``reuse``: reuse factor of weight rows, ignored elsewhere; ``stream``: io_stream, else io_parallel;
        ``latency``: strategy Latency, else Resource; ``family``: device family of the part."""

    def top(self) -> Floats:
        """Resources of the top level, once a network: shape (5,)."""

    def bounds(
        self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimate: Estimate
    ) -> tuple[Floats, Floats]:
        """Low and high end of a 90% interval of each amount of ``estimate``, which ``rows`` gave for the same
        arguments: multiples of 1/16 of shape (rows, 5), ``low <= estimate.resources() <= high``. Sums of
        them are exact, and the ends of a network's interval."""


class StructuralEstimator:
    """The estimator of this module."""

    name = "hls4ml structural model"
    version = "1"
    note = "uncalibrated"

    def at_clock(self, clock_ns: float) -> StructuralEstimator:
        """See ``Estimator.at_clock``: the clock makes no difference."""
        return self

    def rows(self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Estimate:
        """See ``Estimator.rows``."""
        return estimate_rows(table, reuse, stream, latency, family)

    def top(self) -> Floats:
        """See ``Estimator.top``."""
        return np.array([TOP_LUT, TOP_FF, 0.0, 0.0, 0.0])

    def bounds(
        self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimate: Estimate
    ) -> tuple[Floats, Floats]:
        """See ``Estimator.bounds``: the quantiles in ``ERRORS``."""
        values = estimate.resources()
        ratios = np.array([ERRORS[cell] for cell in CELLS])[cells(table, reuse, stream)]
        # Layers without weights take no blocks at all, or those of FIFOs.
        offset = np.where(table.is_weight[:, None] | (OFFSET > 1), OFFSET, 0.0)
        low, high = ((values + offset) * ratios[:, :, side] - offset for side in (0, 1))
        return np.floor(np.clip(low, 0.0, values)), np.ceil(np.maximum(high, values))


STRUCTURAL: Estimator = StructuralEstimator()


def cells(table: LayerTable, reuse: Ints, stream: Bools) -> Ints:
    """The index in ``CELLS`` of each row."""
    folded = 1 + stream.astype(np.int64)
    return np.where(table.is_weight, np.where(reuse == 1, 0, folded), CELLS.index("plain"))


def estimate_rows(table: LayerTable, reuse: Ints, stream: Bools | bool, latency: Bools | bool, family: str) -> Estimate:
    """Resources and cycles of each row; arguments as in ``Estimator.rows``. Any valid reuse factor, and 1."""
    rows = len(table)
    streams = np.broadcast_to(np.asarray(stream, dtype=bool), (rows,))
    latencies = np.broadcast_to(np.asarray(latency, dtype=bool), (rows,))
    reuses = np.broadcast_to(np.asarray(reuse, dtype=np.int64), (rows,))
    out = np.zeros((7, rows))
    weight = table.is_weight
    for chosen, model in ((weight, _weight_layers), (~weight, _plain_layers)):
        if chosen.all():
            out[:] = model(table, reuses, streams, latencies, family)
        elif chosen.any():
            index = np.flatnonzero(chosen)
            out[:, index] = model(table.select(index), reuses[index], streams[index], latencies[index], family)
    return Estimate(*(np.ceil(out - 1e-9) + 0.0))  # + 0.0: no negative zeros


# --- weight layers ------------------------------------------------------------------------------------------------


def _weight_layers(t: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Floats:
    rf = reuse.astype(np.float64)
    n, o, x, w, acc = (_f(c) for c in (t.fan_in, t.out_c, t.x_width, t.w_width, t.out_width))
    mults = n * o / rf
    unrolled = reuse == 1
    # Adders near the leaves of a tree are as wide as a product, at its root as wide as the accumulator.
    tree = np.minimum(acc, x + w + 2)
    out = np.zeros((7, len(t)))
    lut, ff, bram, _, dsp, _, _ = out
    fixed = t.w_kind == WEIGHT_CODE["fixed"]

    one, many = np.flatnonzero(unrolled), np.flatnonzero(~unrolled)
    lut[one], dsp[one], ff[one] = _constant(
        n[one], o[one], x[one], w[one], acc[one], tree[one], fixed[one], family
    )  # fmt: skip
    lut[many], dsp[many], ff[many] = _folded(
        t.op[many] == OP_CODE["depthwise"], rf[many], n[many], o[many], x[many], w[many], acc[many], tree[many],
        mults[many], fixed[many], family,
    )  # fmt: skip

    # Resource with reuse > 1: one memory word of mults weights for each of the rf steps; under 1 kbit a LUT ROM.
    word, bits = mults * w, n * o * w
    in_bram = ~unrolled & (bits > 1024)
    bram[in_bram] += bram18(word[in_bram], rf[in_bram])
    lut += np.where(~unrolled & ~in_bram, word * np.ceil(rf / 64), 0)
    # Steps that address outputs in turn (reuse above the fan-in) need an index ROM: 1 block in wa up to 2 steps an
    # output in which the choice is one bit and stays in LUTs.
    bram += np.where(in_bram & (rf > 2 * n), 1, 0)

    _cycles_and_buffers(t, rf, unrolled, stream, latency, out)
    counter = _bits(rf)
    lut += 20 + 2 * counter
    ff += 10 + 2 * counter
    return out


def _constant_dsp_share(x: Floats, w: Floats) -> Floats:
    """Share of products with constants that HLS puts in DSPs (wa, x of 16 bits; medians of all shapes)."""
    share = np.interp(w, [6, 8, 10, 12, 14, 18], [0, 0.22, 0.62, 0.85, 0.94, 1.0])
    return share * np.clip((x - 5) / 3, 0, 1)


def _constant(
    n: Floats, o: Floats, x: Floats, w: Floats, acc: Floats, tree: Floats, fixed: Bools, family: str
) -> tuple[Floats, Floats, Floats]:
    """LUT, DSP and FF of products with constants: shared odd multiples of each input, a tree of adders an output.

    The adders a weight costs grow with its non-zero digits: 0.4, 0.8, 1.16 of an adder at 2, 4, 6 bits in wa. Binary
    and ternary weights add, subtract or skip: no multiples. Widening never makes it cheaper at equal mapping.
    """
    dsp = np.where(fixed, n * o * _constant_dsp_share(x, w), 0.0)
    adders = np.maximum(0.4, 0.2 * w) * tree
    multiples = np.minimum(o, 2.0 ** np.clip(w - 2, 0, 30)) * (w > 2) * fixed
    in_lut = n * o - dsp
    lut = in_lut * adders + dsp * tree + n * multiples * x * 0.6 * in_lut / (n * o)
    # wa, Latency: result registers, and pipeline registers that grow with the weights' width beyond 2 bits.
    ff = o * acc + 0.5 * n * o * np.maximum(w - 2, 0.25) * np.minimum(x / 16, 1)
    return lut, np.round(dsp) * dsp_tiles(x, w, family), ff


def _folded(
    depthwise: Bools, rf: Floats, n: Floats, o: Floats, x: Floats, w: Floats, acc: Floats, tree: Floats,
    mults: Floats, fixed: Bools, family: str,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """LUT, DSP and FF of Resource with reuse > 1: multipliers, adders, input and accumulator multiplexers."""
    # 16x4 and 8x8 are LUT products, 16x6 a DSP (wa; layers). Narrow factors never pay off.
    use_dsp = fixed & (x * w > 80) & (np.minimum(x, w) > 4)
    dsp = np.where(use_dsp, mults * dsp_tiles(x, w, family), 0)
    product = np.where(fixed, 0.95 * x * w + 1, x + w)
    lut = np.where(use_dsp, 0, mults * product)
    # Depthwise: each channel's fan-in is its own; a step walks over channels, then over kernel positions.
    inputs = np.where(depthwise, n * o, n)
    below = (rf < inputs) & ~depthwise
    # Below the fan-in HLS builds a multiplexer of rf inputs at each multiplier (0.54 LUT a bit: 1,024 multipliers of
    # 32 steps take 305k LUT in layers); at and above it, one for all (2 LUT a bit: wa, 192 to 256 inputs).
    lut += np.where(below, mults * rf * x * 0.54, inputs * x * 2.0)
    # Accumulators: add and initialise, 2.8 LUT a bit (wa, 44.5 an output of 16 bits), and a tree into each.
    lut += o * acc * 2.8 + np.maximum(mults - o, 0) * tree
    # Above twice the fan-in every multiplier reads and writes one of all accumulators: multiplexers of the next power
    # of two, 0.34 LUT a bit (wa: 271, 391, 792, 1,481 LUT a multiplier at 32, 64, 128, 256 outputs of 16 bits), and
    # addressing, 1,500 (between layers and wa's 4,700).
    many = (rf > 2 * n) & ~depthwise
    lut += np.where(many, mults * 2.0 ** _bits(o - 1) * acc * 0.34 + 1500.0 - o * acc * 1.8, 0)
    ff = o * (acc + 4) + np.where(below, mults * x * 1.4, mults * 1.0) + 40
    return np.maximum(lut, 1), dsp, ff


def _cycles_and_buffers(t: LayerTable, rf: Floats, unrolled: Bools, stream: Bools, latency: Bools, out: Floats) -> None:
    """Cycles of weight layers; line buffer, window, padding and FIFO of streamed ones; added to ``out``."""
    lut, ff, _, _, _, interval, fill = out
    n, x, c, acc = (_f(v) for v in (t.fan_in, t.x_width, t.in_c, t.out_width))
    dense = t.op == OP_CODE["dense"]
    # wa: latency RF + 2 and interval RF. layers: a streamed dense layer takes RF + 4 as it is not pipelined.
    own = rf + 2
    own[unrolled] = 1 + np.ceil(np.log2(n[unrolled] + 1) / 3)
    interval += np.where(stream & dense & ~unrolled, rf + 4, rf)
    fill += own + np.where(stream, 2, 0)
    # A streamed dense layer unpacks its input into registers.
    ff += np.where(stream & dense, n * x, 0)
    add_fifo(out, stream, _f(t.out_c) * acc, _f(t.positions))

    conv = ~dense
    if not conv.any():
        return
    kh, kw = _f(t.kernel_h), _f(t.kernel_w)
    ph, pw = padded(t.in_h, t.out_h, t.kernel_h, t.stride_h), padded(t.in_w, t.out_w, t.kernel_w, t.stride_w)
    # layers: Resource takes RF + 5 or RF + 6 cycles a padded input position; Latency is pipelined, II = RF.
    step = np.where(latency, rf, rf + 6)
    positions = ph * pw
    interval[:] = np.where(conv, positions * step + 1, interval)
    fill += np.where(conv, ((kh - 1) * pw + kw - 1) * step + np.where(latency, 4, 6), 0)
    # ap_shift_reg rows become SRL32s: a LUT a bit for each 32 columns; the window is in flip-flops.
    window = kh * kw * c * x
    lut += np.where(conv, (kh - 1) * c * x * np.ceil(pw / 32) + 60 + 8 * _bits(positions), 0)
    ff += np.where(conv, np.where(kh * kw > 1, window, c * x) + 40, 0)
    # hls4ml puts a zero-padding layer and its FIFO before a "same" convolution (layers: 234 LUT at 1 channel).
    pads = conv & (positions > _f(t.in_h) * _f(t.in_w))
    lut += np.where(pads, 200 + c * x, 0)
    ff += np.where(pads, 40 + c, 0)
    add_fifo(out, pads, c * x, positions)


# --- layers without weights ---------------------------------------------------------------------------------------


def _plain_layers(t: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Floats:
    out = np.zeros((7, len(t)))
    lut, ff, _, _, _, interval, fill = out
    op, c, x, y = t.op, _f(t.in_c), _f(t.x_width), _f(t.out_width)
    in_positions = _f(t.in_h) * _f(t.in_w)
    # Parallel layers hold all elements at once, streams one position.
    elements = np.where(stream, c, c * in_positions)
    activation, add = op == OP_CODE["activation"], op == OP_CODE["add"]
    pool, gap = op == OP_CODE["maxpool"], op == OP_CODE["global_avgpool"]
    flatten, concat = op == OP_CODE["flatten"], op == OP_CODE["concat"]
    # ReLU with rounding and saturation, 16 to 8 bits: 37 to 55 LUT an element in layers, half of them registered.
    lut += np.where(activation, elements * (2.0 * x + 0.8 * y), 0)
    ff += np.where(activation, elements * y, 0)
    lut += np.where(add, elements * y, 0)
    ff += np.where(add, elements * y, 0)
    # Pooling: a comparison and a choice for each further window element (2.6 to 7.5 LUT a bit in layers), rows in SRLs.
    window = _f(t.kernel_h) * _f(t.kernel_w)
    rows = (_f(t.kernel_h) - 1) * c * x * np.ceil(_f(t.in_w) / 32)
    lut += np.where(pool, (window - 1) * c * x * 4.5 + rows + 150, 0)
    ff += np.where(pool, (window - 1) * c * x * 3.0 + 60, 0)
    # Average: an accumulator a channel, then the division by the number of positions.
    grown = x + _bits(np.maximum(in_positions, 1) - 1)
    lut += np.where(gap, c * (2.0 * grown + y) + 120, 0)
    ff += np.where(gap, c * (grown + y) + 60, 0)
    lut += np.where(stream & (flatten | concat | add), 40, 0)
    ff += np.where(stream & (flatten | concat | add), 20, 0)
    # Stream control.
    lut += np.where(stream & activation, 60 + 2 * c, 0)
    ff += np.where(stream & activation, 30, 0)
    interval += np.where(stream, np.maximum(in_positions, 1), 1)
    fill += np.where(stream, 2, np.where(activation | add | pool | gap, 1, 0))
    fill += np.where(pool & stream, (_f(t.kernel_h) - 1) * _f(t.in_w) + _f(t.kernel_w), 0)
    # The dense layer behind flatten reads the stream itself: no FIFO of its own. Joins need one for each bypass.
    add_fifo(out, stream & ~flatten, _f(t.out_c) * y, _f(t.positions))
    bypass = np.maximum(_f(t.inputs) - 1, 0)
    add_fifo(out, stream & (bypass > 0), bypass * c * x, in_positions)
    return out


# --- shared parts -------------------------------------------------------------------------------------------------


def add_fifo(out: Floats, where: Bools, width: Floats, depth: Floats) -> None:
    """Add a FIFO to the rows ``where``: depth is hls4ml's default, one entry a position.

    Up to 64 entries in SRL32s, above in block RAM (an assumption, between HLS's choices at different versions).
    """
    lut, ff, bram = out[:3]
    shallow = depth <= 64
    address = _bits(depth)
    lut += np.where(where, np.where(shallow & (depth > 1), width * np.ceil(depth / 32), 0) + 8 + 4 * address, 0)
    ff += np.where(where, np.where(depth <= 1, width, 0) + 4 + 2 * address, 0)
    deep = where & ~shallow
    if deep.any():
        bram[deep] += bram18(width[deep], depth[deep])


_SHAPES = 2.0 ** np.arange(9, 15)[:, None]
_WIDTHS = np.array([36.0, 18.0, 9.0, 4.0, 2.0, 1.0])[:, None]
"""Depths and widths of one RAMB18 as simple dual-port memory (AMD UG473, UG573)."""


def bram18(width: Floats, depth: Floats) -> Floats:
    """RAMB18 blocks of a memory of ``depth`` words of ``width`` bits: the best shape, the rest of the depth in its own.

    wa has exactly these counts: 256 bits x 512 in 8, 128 x 1280 in 12 (8 of 18x1024 and 4 of 36x512).
    """
    columns = np.ceil(width / _WIDTHS)
    full = np.floor(depth / _SHAPES)
    rest = depth - full * _SHAPES
    tail = np.full(rest.shape, np.inf)
    for height, column in zip(_SHAPES[:, 0], columns, strict=True):
        tail = np.minimum(tail, np.ceil(rest / height) * column)
    return np.asarray((full * columns + tail).min(axis=0))


def dsp_tiles(x: Floats, w: Floats, family: str) -> Floats:
    """DSP slices of one multiplication: DSP48E1 25x18, DSP48E2 27x18, ECP5 18x18, iCE40 16x16, all signed."""
    name = family.lower()
    if "ice40" in name:
        long, short = 16, 16
    elif "ecp5" in name:
        long, short = 18, 18
    else:
        long, short = (27, 18) if "ultra" in name or "zynqmp" in name else (25, 18)
    big, small = np.maximum(x, w), np.minimum(x, w)
    # Parts behind the first are unsigned: a bit less of each port carries data.
    across: Floats = 1 + np.ceil(np.maximum(big - long, 0) / (long - 1))
    down: Floats = 1 + np.ceil(np.maximum(small - short, 0) / (short - 1))
    return across * down


def padded(size: Ints, out: Ints, kernel: Ints, stride: Ints) -> Floats:
    """Rows or columns of an image after "same" padding."""
    return _f(size + np.maximum((out - 1) * stride + kernel - size, 0))


def _bits(number: Floats) -> Floats:
    """Bits of whole numbers: ``ceil(log2(number + 1))``."""
    return np.frexp(number)[1].astype(np.float64)


def _f(column: Ints) -> Floats:
    return column.astype(np.float64)
