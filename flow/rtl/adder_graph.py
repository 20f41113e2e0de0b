"""Weights as adders: the product with a constant matrix as a graph of additions and subtractions, with da4ml.

da4ml (Sun et al., "da4ml: Distributed Arithmetic for Real-time Neural Networks on FPGAs", arXiv:2507.04535) finds
partial sums that outputs share. Here its answer becomes plain integers, with the exact range of every sum, cut into
pipeline stages. The number of stages follows from the weights alone, so that a schedule needs no solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from flow.errors import InputError, MissingDependency, ToolError
from flow.network.fixed import FixedFormat
from flow.network.quantized import IntArray, QuantizedLayer

ADDERS_PER_STAGE = 2
"""Adders in a row between registers: two of them and their wires are far below 10 ns on 7-series."""

_EXTRA_LEVELS = 2
"""Levels beyond the fewest that the solver may use: none costs 3% more adders, more than two gain nothing."""
_MAX_WEIGHT_BITS = 20
"""da4ml takes float32 weights."""
_BLOCK_ROWS = 256
_BLOCK_WEIGHTS = 1 << 13
"""The largest matrix solved in one piece: 10 s; its time grows with the cube of the inputs."""


@dataclass(frozen=True)
class Sum:
    """``(a << left) +- (b << right)``, indices of sums before it; an input has neither and ``a`` is its number.

    ``low`` and ``high`` are the ends of its range, ``level`` is how many adders are before it.
    """

    a: int
    b: int | None
    left: int
    right: int
    minus: bool
    low: int
    high: int
    level: int


@dataclass(frozen=True)
class Output:
    """A result: a sum (None for 0) shifted to the left, or its negative."""

    sum: int | None
    shift: int
    minus: bool


@dataclass(frozen=True)
class AdderGraph:
    """Sums in an order in which each follows what it is made of; the inputs come first."""

    inputs: int
    sums: tuple[Sum, ...]
    outputs: tuple[Output, ...]

    @property
    def adders(self) -> int:
        """Additions and subtractions."""
        return len(self.sums) - self.inputs

    def __call__(self, x: IntArray) -> IntArray:
        """Results of shape (n, outputs) for inputs of shape (n, inputs)."""
        values: list[IntArray] = []
        for item in self.sums:
            if item.b is None:
                values.append(x[:, item.a])
            else:
                b = values[item.b] << item.right
                values.append((values[item.a] << item.left) + (-b if item.minus else b))
        zero = np.zeros(len(x), dtype=np.int64)
        found = [zero if o.sum is None else (values[o.sum] << o.shift) * (-1 if o.minus else 1) for o in self.outputs]
        return np.stack(found, axis=1)


def digits(values: IntArray) -> IntArray:
    """Nonzero digits of each value in canonical signed digits: 1, 0 and -1, no two nonzero ones side by side."""
    values = np.abs(values)
    return np.asarray(np.bitwise_count(values ^ (3 * values)), dtype=np.int64)


def matrix_of(layer: QuantizedLayer) -> IntArray:
    """Weights as (inputs of a window, outputs); a depthwise layer's channels stand in a diagonal."""
    assert layer.weight is not None
    values = layer.weight.values
    if layer.op != "depthwise":
        return values.reshape(-1, values.shape[-1])
    channels = values.shape[-1]
    taps = values.reshape(-1, channels)
    wide = np.zeros((len(taps), channels, channels), dtype=np.int64)
    wide[:, np.arange(channels), np.arange(channels)] = taps
    return wide.reshape(-1, channels)


def graph_levels(layer: QuantizedLayer) -> int:
    """Most adders in a row, the bias's not counted: what the solver is allowed to use."""
    matrix = matrix_of(layer)
    levels = 0
    for rows, columns in _blocks(layer, matrix):
        terms = int(digits(matrix[rows][:, columns]).sum(axis=0).max(initial=0))
        least = (terms - 1).bit_length() if terms > 1 else 0
        levels = max(levels, least + (_EXTRA_LEVELS if least > 1 else 0))
    pieces = len({rows.start for rows, _ in _row_blocks(matrix)}) if layer.op != "depthwise" else 1
    return levels + (pieces - 1).bit_length()


def graph_stages(layer: QuantizedLayer) -> int:
    """Pipeline stages of an unrolled layer's sums: registers from its window to its results, those included.

    The last adder level adds the bias, or changes the sign of a result.
    """
    return -(-(graph_levels(layer) + 1) // ADDERS_PER_STAGE)


def graph_of(layer: QuantizedLayer, x: FixedFormat) -> AdderGraph:
    """The adders of a layer's weights. Raises MissingDependency without da4ml, InputError for too wide weights."""
    matrix = matrix_of(layer)
    if int(np.abs(matrix).max(initial=0)).bit_length() > _MAX_WEIGHT_BITS:
        raise InputError(f"{layer.name}: weights of more than {_MAX_WEIGHT_BITS} bits can't be unrolled")
    return _graph(layer.op == "depthwise", matrix.tobytes(), matrix.shape, x.low, x.high)


def _blocks(layer: QuantizedLayer, matrix: IntArray) -> list[tuple[Any, Any]]:
    return _channel_blocks(matrix) if layer.op == "depthwise" else _row_blocks(matrix)


def _channel_blocks(matrix: IntArray) -> list[tuple[slice, slice]]:
    channels = matrix.shape[1]
    return [(slice(c, None, channels), slice(c, c + 1)) for c in range(channels)]


def _row_blocks(matrix: IntArray) -> list[tuple[slice, slice]]:
    """Pieces of a matrix that are solved by themselves, all columns of a piece of rows first."""
    rows, columns = matrix.shape
    pieces = -(-rows // _BLOCK_ROWS)
    height = -(-rows // pieces)
    width = max(_BLOCK_WEIGHTS // height, 1)
    return [
        (slice(r, min(r + height, rows)), slice(c, min(c + width, columns)))
        for r in range(0, rows, height)
        for c in range(0, columns, width)
    ]


@lru_cache(maxsize=64)
def _graph(depthwise: bool, data: bytes, shape: tuple[int, int], low: int, high: int) -> AdderGraph:
    matrix = np.frombuffer(data, dtype=np.int64).reshape(shape)
    builder = _Builder(matrix, low, high)
    for rows, columns in _channel_blocks(matrix) if depthwise else _row_blocks(matrix):
        builder.solve(range(*rows.indices(shape[0])), range(*columns.indices(shape[1])))
    return builder.graph()


@dataclass(frozen=True)
class _Value:
    """``+- sum << shift``."""

    sum: int
    shift: int
    minus: bool


class _Builder:
    def __init__(self, matrix: IntArray, low: int, high: int) -> None:
        self.matrix, self.low, self.high = matrix, low, high
        self.sums = [Sum(i, None, 0, 0, False, low, high, 0) for i in range(matrix.shape[0])]
        self.parts: list[list[_Value]] = [[] for _ in range(matrix.shape[1])]

    def graph(self) -> AdderGraph:
        outputs = []
        for parts in self.parts:
            while len(parts) > 1:
                joined = [self.add(parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2)]
                parts = joined + parts[len(parts) - len(parts) % 2 :]
            outputs.append(Output(parts[0].sum, parts[0].shift, parts[0].minus) if parts else Output(None, 0, False))
        return AdderGraph(self.matrix.shape[0], tuple(self.sums), tuple(outputs))

    def add(self, a: _Value, b: _Value, shift: int = 0, minus: bool = False) -> _Value:
        """The value of ``a +- (b << shift)``."""
        left, right = a.shift, b.shift + shift
        moved = min(left, right)
        negative = b.minus != minus
        if a.minus and not negative:
            a, b, left, right, negative, sign = b, a, right, left, True, False
        else:
            sign = a.minus
            negative = negative != sign
        x, y = self.sums[a.sum], self.sums[b.sum]
        left, right = left - moved, right - moved
        ends = [(v << right) * (-1 if negative else 1) for v in (y.low, y.high)]
        made = Sum(a.sum, b.sum, left, right, negative, (x.low << left) + min(ends), (x.high << left) + max(ends),
                   max(x.level, y.level) + 1)  # fmt: skip
        self.sums.append(made)
        return _Value(len(self.sums) - 1, moved, sign)

    def solve(self, rows: range, columns: range) -> None:
        """The adders of a block of the matrix."""
        block = self.matrix[np.ix_(rows, columns)]
        rows_used, columns_used = np.flatnonzero(block.any(axis=1)), np.flatnonzero(block.any(axis=0))
        if not len(rows_used):
            return
        x: list[_Value | None] = [_Value(rows[i], 0, False) for i in rows_used]
        for logic in _solve(block[np.ix_(rows_used, columns_used)], self.low, self.high):
            x = self.run(logic, x)
        for column, value in zip(columns_used, x, strict=True):
            if value is not None:
                self.parts[columns[column]].append(value)

    def run(self, logic: Any, x: list[_Value | None]) -> list[_Value | None]:
        """One of da4ml's programs, on values."""
        values: list[_Value | None] = []
        for op in logic.ops:
            if op.opcode == -1:
                values.append(_shifted(x[op.id0], int(logic.inp_shifts[op.id0])))
            elif op.opcode in (0, 1):
                a, b = values[op.id0], values[op.id1]
                if a is None or b is None:
                    raise ToolError("da4ml gave an adder graph that can't be read")
                values.append(self.add(a, b, int(op.data), op.opcode == 1))
            else:
                raise ToolError(f"da4ml gave an operation that is no addition: {op.opcode}")
        found: list[_Value | None] = []
        for index, shift, minus in zip(logic.out_idxs, logic.out_shifts, logic.out_negs, strict=True):
            value = _shifted(values[index], int(shift)) if index >= 0 else None
            found.append(_Value(value.sum, value.shift, value.minus != bool(minus)) if value else None)
        return found


def _shifted(value: _Value | None, shift: int) -> _Value | None:
    return None if value is None else _Value(value.sum, value.shift + shift, value.minus)


def _solve(block: IntArray, low: int, high: int) -> Any:
    try:
        from da4ml.cmvm import solve
    except ImportError as error:
        raise MissingDependency("da4ml", "rtl") from error
    # Small matrices get the thorough search, which takes four times as long.
    return solve(
        block.astype(np.float32), method0="mc", method1="mc", hard_dc=_EXTRA_LEVELS, decompose_dc=0,
        qintervals=[(float(low), float(high), 1.0)] * len(block), adder_size=1, carry_size=-1,
        search_all_decompose_dc=block.size <= 1 << 11,
    ).solutions  # fmt: skip
