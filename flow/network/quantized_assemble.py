"""From operations with integer constants to a QuantizedNetwork: every format, by interval arithmetic.

Sums get the narrowest format that holds every value they can reach with their actual weights, so nothing overflows
and nothing is rounded but where a quantizer says so. The same intervals say where float32, QKeras' own arithmetic,
can't follow: its 24 bits hold a sum exactly as long as no partial sum reaches 2**24 units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat, smallest_format
from flow.network.network import widest
from flow.network.quantized import (
    MERGE_OPS,
    WEIGHT_OPS,
    Codes,
    Inexact,
    Op,
    QuantizedLayer,
    QuantizedNetwork,
    Rounding,
    Saturation,
)
from flow.network.quantized_reference import MAX_BITS, requantize

FLOAT_BITS = 24
"""Significant bits of float32, in which QKeras computes."""
MAX_TABLE = 1 << 14
"""Most entries of a lookup table: 14 address bits are 16 RAMB18 of 16-bit entries."""
_ROUNDERS = ("quantize", "relu", "clip", "hard_tanh", "hard_sigmoid", "sign")
"""Operations whose steps lie on multiples of half a unit of their result, or coarser: a mean need not be exact."""
_TABLE_SEARCH = 1 << 20
_CONSTANT_BEYOND = 32.0
"""Inputs beyond which tanh and the sigmoid are constant in float32."""


@dataclass(frozen=True)
class Step:
    """One operation before its formats are known; fields as in QuantizedLayer. ``inputs`` are names of steps.

    ``format``, ``rounding`` and ``saturation`` are what a quantizer asks for. ``threshold`` is where ternary starts,
    ``function`` what a table is made of (float32 in and out). ``deviation`` is how far QKeras' float32 constants are
    from the codes, ``noise`` why its activations are not exact in themselves, ``wide`` whether QKeras handles values
    beyond the format before it limits them.
    """

    name: str
    op: Op
    source: str
    inputs: tuple[str, ...]
    out_shape: tuple[int, ...]
    weight: Codes | None = None
    bias: Codes | None = None
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    format: FixedFormat | None = None
    rounding: Rounding = "exact"
    saturation: Saturation = "none"
    low: int | None = None
    high: int | None = None
    shift: int | None = None
    threshold: float | None = None
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    deviation: float = 0.0
    noise: str = ""
    wide: bool = False


@dataclass(frozen=True)
class _Value:
    """What is known about a step's result."""

    shape: tuple[int, ...]
    format: FixedFormat
    low: int
    high: int

    @property
    def largest(self) -> int:
        return max(-self.low, self.high)


class AssemblyError(InputError):
    """A step can't get a format; ``source`` is the layer it comes from, ``reason`` why."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source, self.reason = source, reason


def assemble(
    input_name: str, input_shape: tuple[int, ...], input_format: FixedFormat, steps: Sequence[Step]
) -> QuantizedNetwork:
    """The network of ``steps``, which are in topological order. Raises AssemblyError naming the layer."""
    builder = _Assembler(input_name, input_shape, input_format, steps)
    for step in steps:
        try:
            builder.add(step)
        except AssemblyError:
            raise
        except InputError as error:
            raise AssemblyError(step.source, str(error)) from error
    return QuantizedNetwork(input_name, input_shape, input_format, tuple(builder.layers), tuple(builder.inexact))


class _Assembler:
    def __init__(
        self, input_name: str, input_shape: tuple[int, ...], input_format: FixedFormat, steps: Sequence[Step]
    ) -> None:
        self.values: dict[str, _Value] = {
            input_name: _Value(input_shape, input_format, input_format.low, input_format.high)
        }
        self.index = {input_name: -1}
        self.consumers: dict[str, list[Step]] = {}
        for step in steps:
            for name in step.inputs:
                self.consumers.setdefault(name, []).append(step)
        self.layers: list[QuantizedLayer] = []
        self.inexact: list[Inexact] = []

    def add(self, step: Step) -> None:
        x = [self.values[name] for name in step.inputs]
        build = getattr(self, f"_{step.op}", None)
        if build is None:
            build = self._weights if step.op in (*WEIGHT_OPS, "scale") else self._quantizer
        layer, low, high = build(step, x)
        layer = self._wide_enough(step, layer)
        if step.noise:
            self.inexact.append(Inexact(step.name, step.noise, 2.0**-23 * max(-low, high) * layer.output.step))
        self.index[step.name] = len(self.layers)
        self.layers.append(layer)
        self.values[step.name] = _Value(step.out_shape, layer.output, low, high)

    def layer(
        self, step: Step, x: list[_Value], output: FixedFormat, *, accumulator: FixedFormat | None = None,
        low: int | None = None, high: int | None = None, table: Codes | None = None,
    ) -> QuantizedLayer:  # fmt: skip
        return QuantizedLayer(
            name=step.name, op=step.op, inputs=tuple(self.index[n] for n in step.inputs), in_shape=x[0].shape,
            out_shape=step.out_shape, output=output, source=step.source, rounding=step.rounding,
            saturation=step.saturation, accumulator=accumulator, weight=step.weight, bias=step.bias,
            kernel=step.kernel, stride=step.stride, padding=step.padding,
            low=step.low if low is None else low, high=step.high if high is None else high, shift=step.shift,
            table=table,
        )  # fmt: skip

    def _wide_enough(self, step: Step, layer: QuantizedLayer) -> QuantizedLayer:
        """HLS' ap_fixed aborts in simulation when it rounds more bits away than a value has (``ap_fixed_base.h``)."""
        behind = [s.format.fraction for s in self.consumers.get(step.name, []) if s.format is not None]
        width = max((layer.output.fraction - f for f in behind), default=0)
        if width <= layer.output.width:
            return layer
        if layer.op not in (*WEIGHT_OPS, *MERGE_OPS, "scale", "avgpool"):
            return layer  # its format is given: the quantizer behind it complains
        output = FixedFormat(width, width - layer.output.fraction, layer.output.signed)
        return replace(layer, output=output)

    def floats(self, step: Step, units: int, terms: int, step_value: float) -> None:
        """Record that float32 can't hold partial sums of ``units`` units in the last place exactly."""
        if units > 1 << FLOAT_BITS:
            bits = units.bit_length()
            reason = f"its sums need {bits} bits, float32 has {FLOAT_BITS}"
            self.inexact.append(Inexact(step.name, reason, (terms + 1) * 2.0**-FLOAT_BITS * units * step_value))

    # Weights

    def _weights(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        (value,), weight, bias = x, step.weight, step.bias
        assert weight is not None
        # Padding brings in zeros, and no harm is done by allowing them anywhere.
        x_low, x_high = min(value.low, 0), max(value.high, 0)
        matrix = weight.values.reshape(1, -1) if step.op == "scale" else weight.values.reshape(-1, step.out_shape[-1])
        # Python integers from here on: the products may be wider than 64 bits before they are found to be.
        up, down = (np.maximum(m, 0).sum(axis=0).astype(object) for m in (matrix, -matrix))
        lows, highs = up * x_low - down * x_high, up * x_high - down * x_low
        reach = (up + down) * max(-x_low, x_high)
        product = fraction = value.format.fraction + weight.format.fraction
        used = np.bitwise_or.reduce(np.abs(matrix), axis=0).astype(object)
        if bias is not None:
            fraction = max(product, bias.format.fraction)
            offsets = bias.values.astype(object) << (fraction - bias.format.fraction)
            lows, highs, reach, used = (v << (fraction - product) for v in (lows, highs, reach, used))
            lows, highs, reach, used = lows + offsets, highs + offsets, reach + abs(offsets), used | abs(offsets)
        low, high = min(int(lows.min()), 0), max(int(highs.max()), 0)
        output = _holding(low, high, fraction, "accumulator")
        # In units of the last place that the constants of an output really use.
        units = max(int(r) // (int(u) & -int(u) or 1) for r, u in zip(reach, used, strict=True))
        self.floats(step, units, matrix.shape[0], 2.0**-fraction)
        if step.deviation:
            bound = step.deviation * (matrix.shape[0] * value.largest * value.format.step + 1)
            reason = "its float constants are rounded to codes" if step.deviation > 1e-6 else (
                "its quantized float32 constants are not exactly on their grid"
            )  # fmt: skip
            self.inexact.append(Inexact(step.name, reason, bound))
        accumulator = output if step.op != "scale" else None
        return self.layer(step, x, output, accumulator=accumulator), low, high

    # Quantizers

    def _quantizer(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        (value,) = x
        if step.format is not None and value.format.fraction - step.format.fraction > value.format.width:
            raise InputError(f"it rounds all values of format {value.format} to 0")
        if step.format is None:  # a plain ReLU
            assert step.op == "relu"
            output = _holding(0, max(value.high, 0), value.format.fraction, "result")
            return self.layer(step, x, output), 0, max(value.high, 0)
        output = step.format
        finest = max(output.fraction, value.format.fraction + (step.shift or 0))
        if step.op.startswith("hard"):
            finest, largest = max(value.format.fraction + 1, 1), 2.0
        elif not step.wide and step.shift is None:
            largest = (output.high + 1) * output.step
        else:
            largest = (value.largest + 1) * value.format.step + (output.high + 1) * output.step
        self.floats(step, math.ceil(largest * 2.0**finest), 1, 2.0**-finest)
        low, high = output.low + (step.saturation == "symmetric"), output.high
        if step.op in ("quantize", "relu"):
            ends = np.array([value.low, value.high], dtype=np.int64)
            if step.op == "relu":
                ends = np.maximum(ends, 0)
            low, high = (
                int(v) for v in requantize(ends, value.format.fraction, output, step.rounding, step.saturation)
            )
        elif step.op == "clip":
            assert step.low is not None
            assert step.high is not None
            low, high = step.low, step.high
        return self.layer(step, x, output), min(low, 0), max(high, 0)

    def _sign(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        assert step.format is not None
        return self.layer(step, x, step.format), -1, 1

    def _ternary(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        assert step.format is not None
        assert step.threshold is not None
        # |x| >= threshold, for codes: at least the threshold in steps, rounded up. Exact: the threshold is a float32.
        high = math.ceil(step.threshold * 2.0 ** x[0].format.fraction)
        return self.layer(step, x, step.format, low=-high, high=high), -1, 1

    def _table(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        (value,) = x
        assert step.format is not None
        assert step.function is not None
        end = math.ceil(_CONSTANT_BEYOND * 2.0**value.format.fraction)
        low, high = max(value.low, -end), min(value.high, end)
        if high - low >= _TABLE_SEARCH:
            raise InputError(
                f"a lookup table over {value.format} is too large: quantize its input to fewer bits before"
            )
        codes = np.arange(low, high + 1, dtype=np.int64)
        results = step.function((codes * value.format.step).astype(np.float32))
        entries = np.rint(results.astype(np.float64) * 2.0**step.format.fraction).astype(np.int64)
        inner = np.flatnonzero(np.diff(entries))  # beyond its first and last change the table is constant
        first, last = (int(inner[0]), int(inner[-1]) + 1) if inner.size else (0, 0)
        if last - first >= MAX_TABLE:
            raise InputError(
                f"its lookup table would have {last - first + 1:,} entries, at most {MAX_TABLE:,} are supported: "
                "quantize its input to fewer bits before"
            )
        table = Codes(entries[first : last + 1], step.format)
        layer = self.layer(step, x, step.format, low=low + first, high=low + last, table=table)
        return layer, min(int(entries.min()), 0), max(int(entries.max()), 0)

    def _softmax(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        from flow.network.quantized_softmax import RESULT, error_bound

        bound = error_bound(x[0].format, x[0].shape[-1])
        self.inexact.append(Inexact(step.name, "softmax is computed with tables of limited precision", bound))
        return self.layer(step, x, RESULT), 0, RESULT.high

    # Pooling

    def _maxpool(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        return self.layer(step, x, x[0].format, accumulator=x[0].format), x[0].low, x[0].high

    def _avgpool(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        """The quotient has so many fraction bits that cutting it off changes nothing for the quantizers behind it:
        a quotient that is no tie of theirs is 1 / (count * 2**fraction) away from the nearest one at least."""
        (value,) = x
        count = math.prod(value.shape[:-1]) if len(step.out_shape) == 1 else math.prod(step.kernel)
        exact = count & (count - 1) == 0 and not any(any(p) for p in step.padding)
        behind = self._formats_behind(step.name)
        extra = (count - 1).bit_length()
        fraction = value.format.fraction
        if not exact and behind:
            fraction = max(fraction, *(f.fraction + 1 for f in behind))
        moved = fraction + extra - value.format.fraction
        low, high = value.low << moved, value.high << moved
        output = _holding(min(low, 0), max(high, 0), fraction + extra, "result")
        accumulator = _holding(min(low, 0) * count, max(high, 0) * count, fraction + extra, "sum")
        if exact or behind:
            self.floats(step, (value.largest * count) << (0 if exact else moved), count, value.format.step / count)
        else:
            reason = f"a mean of {count} values has no exact fixed-point value, and no quantizer behind it"
            self.inexact.append(Inexact(step.name, reason, output.step))
        layer = self.layer(step, x, output, accumulator=accumulator)
        return layer if exact else replace(layer, rounding="toward_zero"), min(low, 0), max(high, 0)

    def _formats_behind(self, name: str) -> list[FixedFormat]:
        """The formats of the quantizers that read a result, or none if something else reads it, too."""
        found: list[FixedFormat] = []
        for step in self.consumers.get(name, []):
            if step.op == "reshape":
                deeper = self._formats_behind(step.name)
                if not deeper:
                    return []
                found += deeper
            elif step.op in _ROUNDERS and step.format is not None:
                found.append(step.format)
            else:
                return []
        return found

    # Several inputs, and none of the values changed

    def _merge(
        self, step: Step, x: list[_Value], low: int, high: int, fraction: int
    ) -> tuple[QuantizedLayer, int, int]:
        output = _holding(min(low, 0), max(high, 0), fraction, "result")
        self.floats(step, max(-low, high), 1, output.step)
        return self.layer(step, x, output), low, high

    def _aligned(self, x: list[_Value], extra: int = 0) -> tuple[int, list[int], list[int]]:
        fraction = max(v.format.fraction for v in x) + extra
        moved = [fraction - v.format.fraction for v in x]
        return (
            fraction,
            [v.low << m for v, m in zip(x, moved, strict=True)],
            [v.high << m for v, m in zip(x, moved, strict=True)],
        )

    def _add(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        fraction, lows, highs = self._aligned(x)
        return self._merge(step, x, sum(lows), sum(highs), fraction)

    def _subtract(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        fraction, lows, highs = self._aligned(x)
        return self._merge(step, x, lows[0] - highs[1], highs[0] - lows[1], fraction)

    def _average(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        fraction, lows, highs = self._aligned(x, extra=1)
        return self._merge(step, x, sum(lows) // 2, sum(highs) // 2, fraction)

    def _multiply(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        products = [a * b for a in (x[0].low, x[0].high) for b in (x[1].low, x[1].high)]
        return self._merge(step, x, min(products), max(products), x[0].format.fraction + x[1].format.fraction)

    def _maximum(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        fraction, lows, highs = self._aligned(x)
        return self._merge(step, x, max(lows), max(highs), fraction)

    def _minimum(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        fraction, lows, highs = self._aligned(x)
        return self._merge(step, x, min(lows), min(highs), fraction)

    def _concat(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        output = widest([v.format for v in x])
        _, lows, highs = self._aligned(x)
        return self.layer(step, x, output), min(lows), max(highs)

    def _reshape(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        return self.layer(step, x, x[0].format), x[0].low, x[0].high

    def _pad(self, step: Step, x: list[_Value]) -> tuple[QuantizedLayer, int, int]:
        return self.layer(step, x, x[0].format), min(x[0].low, 0), max(x[0].high, 0)


def _holding(low: int, high: int, fraction: int, what: str) -> FixedFormat:
    """The narrowest format for codes from ``low`` <= 0 to ``high`` >= 0. Raises InputError beyond the limit."""
    width = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + (low < 0)
    if width > MAX_BITS:
        raise InputError(f"its {what} needs {width} bits, at most {MAX_BITS} are supported")
    return smallest_format(low, high, fraction)
