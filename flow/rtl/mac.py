"""The multiply-accumulate arrays behind a folded layer: their styles, encodings and latencies.

A style is a Verilog module ``flow_mac_STYLE`` with the one interface described in ``flow_mac_multiply.v``. Another
style needs a module there, and here its latency and the modules it is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.network.fixed import FixedFormat, smallest_format
from flow.network.quantized import Codes, IntArray
from flow.rtl.window import ceil_log2

_GROUP_PAIRS = 4
"""Pairs that ``flow_plane_sum`` chains in a cycle: its parameter GROUP."""


@dataclass(frozen=True)
class MacStyle:
    """A style: its library modules, and its latency in cycles for (inputs, weight bits)."""

    name: str
    modules: tuple[str, ...]
    latency: Callable[[int, int], int]


def _multiply_latency(inputs: int, weight_bits: int) -> int:
    return 1 + ceil_log2(inputs)


def _planes_latency(inputs: int, weight_bits: int) -> int:
    pairs = -(-inputs // 2)
    groups = -(-pairs // min(pairs, _GROUP_PAIRS))
    return 2 + ceil_log2(groups) + max(ceil_log2(weight_bits), 1)


STYLES: dict[str, MacStyle] = {
    style.name: style
    for style in (
        MacStyle("multiply", ("flow_delay", "flow_tree", "flow_mac_multiply"), _multiply_latency),
        MacStyle(
            "planes",
            ("flow_add", "flow_delay", "flow_tree", "flow_plane_sum", "flow_plane_join", "flow_mac_planes"),
            _planes_latency,
        ),
    )
}  # fmt: skip
"""All styles by name."""


@dataclass(frozen=True)
class WeightCode:
    """How weights are coded for an array: ``bits`` each, two's complement, or one bit for -1 and 1 if ``binary``."""

    bits: int
    binary: bool

    def encode(self, values: IntArray) -> IntArray:
        """Weights as unsigned words of ``bits`` bits."""
        return (values > 0).astype(np.int64) if self.binary else values & ((1 << self.bits) - 1)


def weight_code(weight: Codes) -> WeightCode:
    """The narrowest code for the weights that there are."""
    values = weight.values
    if values.size and bool((np.abs(values) == 1).all()):
        return WeightCode(1, True)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return WeightCode(smallest_format(min(low, -1), high, 0).width, False)


def sum_bits(x: FixedFormat, code: WeightCode, inputs: int, accumulator_bits: int) -> int:
    """Bits of the sum of a cycle's products: exact, but never more than the accumulator, which works modulo."""
    ends = (-1, 1) if code.binary else (-(1 << (code.bits - 1)), (1 << (code.bits - 1)) - 1)
    products = [a * b for a in (x.low, x.high) for b in ends]
    exact = smallest_format(min(*products, -1) * inputs, max(*products, 0) * inputs, 0)
    return min(exact.width, accumulator_bits)


def pack_words(words: NDArray[np.int64], bits: int) -> list[str]:
    """Each row of ``words`` (unsigned, ``bits`` bits each) as one hexadecimal number, the first in the lowest bits."""
    rows, count = words.shape
    digits = (words[:, :, None] >> np.arange(bits)) & 1
    flat = digits.reshape(rows, count * bits).astype(np.uint8)
    packed = np.packbits(flat, axis=1, bitorder="little")[:, ::-1]
    width = -(-count * bits // 4)
    return [row.tobytes().hex()[-width:] for row in packed]
