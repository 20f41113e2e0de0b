"""Fixed-point formats in the ``ap_fixed<W,I>`` convention, and the interval arithmetic of accumulators.

``width`` is all bits; ``integer`` the bits left of the binary point, the sign bit included when signed. A value is
``code * 2**(integer - width)``. QKeras' ``quantized_bits(bits, integer)`` leaves the sign bit out of ``integer``;
``quantized_relu(bits, integer)`` has no sign bit.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from flow.errors import InputError

MAX_WIDTH = 64
"""Widest format accepted: 64-bit integers hold every code."""

_PATTERN = re.compile(r"(u?)fixed<\s*(-?\d+)\s*,\s*(-?\d+)\s*>")


@dataclass(frozen=True)
class FixedFormat:
    """A fixed-point format; see the module for the convention. Raises InputError if no such format exists."""

    width: int
    integer: int
    signed: bool = True

    def __post_init__(self) -> None:
        for value in (self.width, self.integer):
            if isinstance(value, bool) or not isinstance(value, int):
                raise InputError(f"fixed-point format: width and integer bits are whole numbers, not {value!r}")
        if not 1 <= self.width <= MAX_WIDTH or abs(self.integer) > MAX_WIDTH:
            raise InputError(f"fixed-point format {self}: width must be 1 to {MAX_WIDTH} bits")

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}fixed<{self.width},{self.integer}>"

    @property
    def fraction(self) -> int:
        """Bits right of the binary point."""
        return self.width - self.integer

    @property
    def low(self) -> int:
        """The smallest code."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest code."""
        return (1 << (self.width - 1)) - 1 if self.signed else (1 << self.width) - 1

    @property
    def step(self) -> float:
        """The value of one unit in the last place."""
        return 2.0**-self.fraction

    @classmethod
    def parse(cls, text: str) -> FixedFormat:
        """``fixed<W,I>`` or ``ufixed<W,I>``. Raises InputError."""
        found: object = text  # files give anything
        match = _PATTERN.fullmatch(found.strip()) if isinstance(found, str) else None
        if match is None:
            raise InputError(f"not a fixed-point format: {text!r}, expected fixed<W,I> or ufixed<W,I>")
        return cls(int(match[2]), int(match[3]), signed=not match[1])


@dataclass(frozen=True)
class WeightFormat:
    """How a layer's weights are coded: ``fixed`` (signed), ``binary`` {-1, 1} or ``ternary`` {-1, 0, 1}."""

    kind: Literal["fixed", "binary", "ternary"]
    width: int
    integer: int

    def __post_init__(self) -> None:
        if self.kind not in ("fixed", "binary", "ternary"):
            raise InputError(f"unknown weight kind {self.kind!r}, known: fixed, binary, ternary")
        FixedFormat(self.width, self.integer)
        if self.kind != "fixed" and (self.width, self.integer) != _SPECIAL[self.kind]:
            raise InputError(f"{self.kind} weights have width and integer bits {_SPECIAL[self.kind]}")

    def __str__(self) -> str:
        return f"fixed<{self.width},{self.integer}>" if self.kind == "fixed" else self.kind

    @property
    def fraction(self) -> int:
        """Bits right of the binary point."""
        return self.width - self.integer

    @property
    def low(self) -> int:
        """The smallest weight code."""
        return -(1 << (self.width - 1)) if self.kind == "fixed" else -1

    @property
    def high(self) -> int:
        """The largest weight code."""
        return (1 << (self.width - 1)) - 1 if self.kind == "fixed" else 1

    @classmethod
    def parse(cls, text: str) -> WeightFormat:
        """``binary``, ``ternary`` or ``fixed<W,I>``. Raises InputError."""
        if text in _SPECIAL:
            return cls("binary" if text == "binary" else "ternary", *_SPECIAL[text])
        found = FixedFormat.parse(text)
        if not found.signed:
            raise InputError(f"weights are signed: {text!r} is not")
        return cls("fixed", found.width, found.integer)


SCALE_GAIN = {"binary": 2, "ternary": 3}
"""Base-2 logarithm of the variance that the scale of such weights is made for, times the fan-in."""

_SPECIAL = {"binary": (1, 1), "ternary": (2, 2)}


def smallest_format(low: int, high: int, fraction: int) -> FixedFormat:
    """The narrowest format with ``fraction`` bits that holds the codes ``low`` to ``high``.

    Raises InputError beyond 64 bits.
    """
    signed = low < 0
    width = max(high.bit_length(), (-low - 1).bit_length() if signed else 0, 0 if signed else 1) + signed
    return FixedFormat(width, width - fraction, signed)


def accumulator(
    x: FixedFormat, w: WeightFormat, terms: int, bias: FixedFormat | None, scale_exponent: int = 0
) -> FixedFormat:
    """The exact format of a sum of ``terms`` products ``x * w * 2**scale_exponent`` plus ``bias``.

    Interval arithmetic over the codes of both operands: no overflow and no rounding can occur.
    """
    products = [a * b for a in (x.low, x.high) for b in (w.low, w.high)]
    low, high = terms * min(products), terms * max(products)
    fraction = x.fraction + w.fraction - scale_exponent
    if bias is not None:
        common = max(fraction, bias.fraction)
        low = (low << (common - fraction)) + (bias.low << (common - bias.fraction))
        high = (high << (common - fraction)) + (bias.high << (common - bias.fraction))
        fraction = common
    return smallest_format(low, high, fraction)


def bias_format(x: FixedFormat, w: WeightFormat, out_integer: int, scale_exponent: int = 0) -> FixedFormat:
    """Bias format of a layer: it covers twice the range of its activation, no finer than the products are.

    ``out_integer``: integer bits of the activation behind the layer. At most 8 fraction bits: finer ones moved no
    accuracy in training and cost adders.
    """
    integer = max(out_integer, 1) + 2
    fraction = min(x.fraction + w.fraction - scale_exponent, 8)
    return FixedFormat(max(integer + fraction, 2), integer)


def scale_exponent(w: WeightFormat, fan_in: int) -> int:
    """Power of two, at most 1, that binary and ternary weights are scaled by; 0 for fixed-point weights.

    ``round((gain - log2(fan_in)) / 2)``: a shift in hardware, where the scales of XNOR-Net (arXiv:1603.05279) take
    multipliers. A gain of 1 gives He's unit variance (arXiv:1502.01852); one more makes up for what quantized
    activations cut off and inputs below 1, another one for ternary weights that are 0. Measured on the digits, 10
    epochs, 20 networks: 0.931 of the validation samples right on average, with a gain of 0 it was 0.864.
    """
    if w.kind == "fixed":
        return 0
    return min(round((SCALE_GAIN[w.kind] - math.log2(fan_in)) / 2), 0)


def format_from_json(data: Any, where: str) -> FixedFormat:
    """A format from its text. Raises InputError naming ``where``."""
    try:
        return FixedFormat.parse(data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
