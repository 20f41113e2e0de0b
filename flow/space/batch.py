"""Many codes of a space to one LayerTable at once, with the validity rules applied; no Python object a candidate.

It gives what ``build_network`` and ``table_of`` give for each candidate, thousands of times faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.estimate.table import COLUMNS, OP_CODE, WEIGHT_CODE, WEIGHT_KINDS, LayerTable
from flow.network.fixed import SCALE_GAIN
from flow.network.network import OUTPUT_INTEGER_BITS
from flow.space.space import Codes, Position, SearchSpace, Task

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
RULES = ("", "format", "skip shape", "residual shape", "pooling", "accumulator")
"""Names of the validity rules; a candidate's code is the index of the first rule it breaks, 0 for none."""

_SCALE_GAIN = np.array([SCALE_GAIN.get(kind, 0) for kind in WEIGHT_KINDS])
"""``flow.network.fixed.SCALE_GAIN`` by the code of a kind of weights."""


@dataclass(frozen=True)
class Batch:
    """``table`` numbers networks as the rows of the codes; a candidate with ``broken`` > 0 has no rows in it.

    ``faults``: how often each candidate breaks a rule, 0 if it is valid. It is what a search can climb down.
    """

    table: LayerTable
    broken: Ints
    faults: Ints


@dataclass
class _Stream:
    """What flows between blocks, one entry a candidate."""

    h: Ints
    w: Ints
    c: Ints
    width: Ints
    integer: Ints
    signed: Ints

    def where(self, mask: Mask, other: _Stream) -> _Stream:
        """``other`` where ``mask``, else this."""
        return _Stream(*(np.where(mask, getattr(other, n), getattr(self, n)) for n in _STREAM))

    def copy(self, **changes: Any) -> _Stream:
        return _Stream(**{n: changes.get(n, getattr(self, n)) for n in _STREAM})


_STREAM = ("h", "w", "c", "width", "integer", "signed")


@dataclass
class _Weights:
    kind: Ints
    width: Ints
    integer: Ints

    def code_ranges(self) -> tuple[Ints, Ints]:
        fixed = self.kind == WEIGHT_CODE["fixed"]
        half = np.int64(1) << np.maximum(self.width - 1, 0)
        return np.where(fixed, -half, -1), np.where(fixed, half - 1, 1)


def batch_table(space: SearchSpace, codes: Codes, task: Task) -> Batch:
    """The layers of every valid candidate in ``codes`` (shape (n, decisions)), and which rule the others break."""
    return _BatchBuilder(space, codes, task).build()


@dataclass
class _BatchBuilder:
    space: SearchSpace
    codes: Codes
    task: Task
    parts: list[dict[str, Ints]] = field(default_factory=list)

    def build(self) -> Batch:
        count = len(self.codes)
        self.broken, self.faults = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        shape = (1, 1, *self.task.input_shape)[-3:]
        x = self.task.input_format
        stream = _Stream(*(np.full(count, v, dtype=np.int64) for v in (*shape, x.width, x.integer, int(x.signed))))
        self.vector = np.full(count, len(self.task.input_shape) == 1)
        self.gap = np.array([h == "gap" for h in self.space.file.head])[self.codes[:, self.space.head_column]]
        ends: list[_Stream] = []
        present = self.space.present(self.codes)
        for index, position in enumerate(self.space.positions):  # formats first, as building the candidate does
            self.formats(position, "weight", present[index])
            self.formats(position, "activation", present[index])
        for index, position in enumerate(self.space.positions):
            stream = stream.where(present[index], self.block(position, present[index], stream, ends, present))
            ends.append(stream)
        everyone = np.ones(count, dtype=bool)
        stream = self.to_vector(everyone, stream)
        weights = self.formats_of(self.space.file.output_weight, self.codes[:, self.space.output_column])
        full = np.full(count, OUTPUT_INTEGER_BITS, dtype=np.int64)
        units = np.full(count, self.task.classes, dtype=np.int64)
        self.weight_rows(everyone, np.full(count, OP_CODE["dense"]), stream, units, weights, full)
        columns = {name: np.concatenate([p[name] for p in self.parts]) for name in COLUMNS}
        keep = self.broken[columns["network"]] == 0
        table = LayerTable.from_columns(count, {n: v[keep] for n, v in columns.items()})
        return Batch(table, self.broken, self.faults)

    def refuse(self, mask: Mask, rule: str) -> None:
        self.broken[mask & (self.broken == 0)] = RULES.index(rule)
        self.faults += mask

    def lookup(self, position: Position, name: str) -> Ints:
        column = position.columns[name]
        options = np.array(self.space.decisions[column].options, dtype=np.int64)
        return options[self.codes[:, column]]

    def pair(self, position: Position, name: str) -> tuple[Ints, Ints]:
        if name in position.columns:
            both = self.lookup(position, name)
            return both[:, 0], both[:, 1]
        return self.lookup(position, f"{name}.height"), self.lookup(position, f"{name}.width")

    def formats_of(self, options: tuple[Any, ...], chosen: Ints) -> _Weights:
        kinds = np.array([WEIGHT_CODE[getattr(o, "kind", "fixed")] for o in options])
        widths, integers = np.array([o.width for o in options]), np.array([o.integer for o in options])
        return _Weights(kinds[chosen], widths[chosen], integers[chosen])

    def formats(self, position: Position, name: str, mask: Mask | None = None) -> _Weights:
        """The chosen formats; with ``mask``, candidates in it are refused if theirs has no bits."""
        if name in position.columns:
            column = position.columns[name]
            return self.formats_of(self.space.decisions[column].options, self.codes[:, column])
        integer, fraction = self.lookup(position, f"{name}.integer"), self.lookup(position, f"{name}.fraction")
        if mask is not None:
            self.refuse(mask & (integer + fraction < 1), "format")
        width = np.maximum(integer + fraction, 1)
        return _Weights(np.full(len(width), WEIGHT_CODE["fixed"]), width, integer)

    def emit(self, mask: Mask, op: str | Ints, before: _Stream, after: _Stream, **more: Any) -> None:
        rows = np.flatnonzero(mask)
        ones, zeros = np.ones(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
        values: dict[str, Any] = {
            "op": OP_CODE[op] if isinstance(op, str) else op, "in_h": before.h, "in_w": before.w, "in_c": before.c,
            "out_h": after.h, "out_w": after.w, "out_c": after.c, "x_width": before.width,
            "x_signed": before.signed, "out_width": after.width, "kernel_h": 1, "kernel_w": 1, "stride_h": 1,
            "stride_w": 1, "inputs": 1, **more,
        }  # fmt: skip
        part = {"network": rows}
        for name in COLUMNS[1:]:
            value = values.get(name, 0)
            part[name] = value[rows] if isinstance(value, np.ndarray) else (ones * value if value else zeros)
        self.parts.append(part)

    def to_vector(self, mask: Mask, stream: _Stream) -> _Stream:
        image = mask & ~self.vector
        ones = np.ones_like(stream.h)
        flat = stream.copy(h=ones, w=ones, c=stream.h * stream.w * stream.c)
        self.emit(image & ~self.gap, "flatten", stream, flat)
        extra = _bit_length(stream.h - 1) + _bit_length(stream.w - 1)
        mean = stream.copy(h=ones, w=ones, width=stream.width + extra)
        self.emit(image & self.gap, "global_avgpool", stream, mean, kernel_h=stream.h, kernel_w=stream.w)
        self.vector = self.vector | image
        return stream.where(image & ~self.gap, flat).where(image & self.gap, mean)

    def block(
        self, position: Position, mask: Mask, stream: _Stream, ends: list[_Stream], present: list[Mask]
    ) -> _Stream:
        kinds = np.array([OP_CODE[k] for k in self.space.file.groups[position.group].kinds])
        op = kinds[self.codes[:, position.columns["kind"]]]
        dense = bool(np.all(kinds == OP_CODE["dense"]))
        if dense:
            stream = self.to_vector(mask, stream)
        weights = self.formats(position, "weight")
        activation = self.formats(position, "activation")
        if not dense:
            stream = self.concat(position, mask, stream, ends, present)
        units = np.where(op == OP_CODE["depthwise"], stream.c, self.lookup(position, "units"))
        kernel, stride = self.pair(position, "kernel"), self.pair(position, "stride")
        after = self.weight_rows(mask, op, stream, units, weights, activation.integer, kernel, stride)
        act = after.copy(width=activation.width, integer=activation.integer, signed=np.zeros_like(after.h))
        self.emit(mask, "activation", after, act)
        if dense:
            return act
        return self.pool(position, mask, self.residual(position, mask, stream, act))

    def concat(
        self, position: Position, mask: Mask, stream: _Stream, ends: list[_Stream], present: list[Mask]
    ) -> _Stream:
        joined, inputs = stream, np.ones_like(stream.h)
        for source, end in enumerate(ends):
            column = position.columns.get(f"concat.{source}")
            if column is None:
                continue
            chosen = mask & present[source] & (self.codes[:, column] == 1)
            self.refuse(chosen & ((end.h != stream.h) | (end.w != stream.w)), "skip shape")
            signed = joined.signed | end.signed
            integer = np.maximum(
                joined.integer + (signed & ~joined.signed & 1), end.integer + (signed & ~end.signed & 1)
            )
            fraction = np.maximum(joined.width - joined.integer, end.width - end.integer)
            both = _Stream(stream.h, stream.w, joined.c + end.c, integer + fraction, integer, signed)
            joined = joined.where(chosen, both)
            inputs = inputs + chosen
        self.emit(mask & (inputs > 1), "concat", stream, joined, inputs=inputs)
        return joined

    def weight_rows(
        self,
        mask: Mask,
        op: Ints,
        x: _Stream,
        units: Ints,
        weights: _Weights,
        out_integer: Ints,
        kernel: tuple[Any, Any] = (1, 1),
        stride: tuple[Any, Any] = (1, 1),
    ) -> _Stream:
        channels = np.where(op == OP_CODE["depthwise"], 1, x.c)
        fan_in = kernel[0] * kernel[1] * channels
        gained = np.minimum(np.round((_SCALE_GAIN[weights.kind] - np.log2(fan_in)) / 2), 0).astype(np.int64)
        exponent = np.where(weights.kind == WEIGHT_CODE["fixed"], 0, gained)
        product = x.width - x.integer + weights.width - weights.integer - exponent
        bias_integer = np.maximum(out_integer, 1) + 2
        bias_fraction = np.minimum(product, 8)
        bias_width = np.maximum(bias_integer + bias_fraction, 2)
        bias_fraction = bias_width - bias_integer
        w_low, w_high = weights.code_ranges()
        x_low = np.where(x.signed == 1, -(np.int64(1) << np.maximum(x.width - 1, 0)), 0)
        x_high = np.where(x.signed == 1, -x_low - 1, (np.int64(1) << np.minimum(x.width, 62)) - 1)
        products = np.stack([a * b for a in (x_low, x_high) for b in (w_low, w_high)])
        common = np.maximum(product, bias_fraction)
        half = np.int64(1) << np.minimum(bias_width - 1, 62)
        low = fan_in * products.min(0) * 2.0 ** (common - product) - half * 2.0 ** (common - bias_fraction)
        high = fan_in * products.max(0) * 2.0 ** (common - product) + (half - 1) * 2.0 ** (common - bias_fraction)
        self.refuse(mask & (np.maximum(-low, high) >= 2.0**52), "accumulator")
        width = np.maximum(_bit_length(high), _bit_length(-low - 1)) + 1
        h, w = -(-x.h // stride[0]), -(-x.w // stride[1])
        after = _Stream(h, w, units, width, width - common, np.ones_like(width))
        self.emit(
            mask,
            op,
            x,
            after,
            kernel_h=kernel[0],
            kernel_w=kernel[1],
            stride_h=stride[0],
            stride_w=stride[1],
            fan_in=fan_in,
            w_kind=weights.kind,
            w_width=weights.width,
            bias_width=bias_width,
        )
        return after

    def residual(self, position: Position, mask: Mask, source: _Stream, act: _Stream) -> _Stream:
        chosen = mask & (self.lookup(position, "residual") == 1)
        if not chosen.any():
            return act
        same = (source.h == act.h) & (source.w == act.w) & (source.c == act.c)
        self.refuse(chosen & ~same, "residual shape")
        fraction = np.maximum(source.width - source.integer, act.width - act.integer)
        low, high = np.zeros(len(chosen)), np.zeros(len(chosen))
        for s in (source, act):
            shift = 2.0 ** (fraction - (s.width - s.integer))
            low += np.where(s.signed == 1, -(2.0 ** (s.width - 1)), 0) * shift
            high += (np.where(s.signed == 1, 2.0 ** (s.width - 1), 2.0**s.width) - 1) * shift
        signed = (low < 0).astype(np.int64)
        width = (
            np.maximum(np.maximum(_bit_length(high), np.where(signed, _bit_length(-low - 1), 0)), 1 - signed) + signed
        )
        total = act.copy(width=width, integer=width - fraction, signed=signed)
        self.emit(chosen, "add", source, total, inputs=2)
        return act.where(chosen, total)

    def pool(self, position: Position, mask: Mask, stream: _Stream) -> _Stream:
        size = self.lookup(position, "pool")
        pooled = mask & (size > 1)
        self.refuse(pooled & ((stream.h < size) | (stream.w < size)), "pooling")
        after = stream.copy(h=np.maximum(stream.h // size, 1), w=np.maximum(stream.w // size, 1))
        self.emit(pooled, "maxpool", stream, after, kernel_h=size, kernel_w=size, stride_h=size, stride_w=size)
        return stream.where(pooled, after)


def _bit_length(values: Any) -> Ints:
    """Bits of non-negative whole numbers below 2**53; 0 has none."""
    return np.frexp(np.asarray(values, dtype=np.float64))[1].astype(np.int64)
