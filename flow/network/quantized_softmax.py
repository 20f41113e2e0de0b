"""Softmax as hls4ml 1.3 computes it, "stable" implementation, and how far that is from the real one.

From ``nnet_activation.h``: the differences to the largest input address a table of exp(-d), the sum of the
exponentials addresses a table of 1 / sum, and both are multiplied. hls4ml's defaults let the difference wrap
around; with the formats here it saturates, where exp(-d) is below half a unit of the result's last place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flow.network.fixed import FixedFormat
from flow.network.quantized import IntArray
from flow.network.quantized_reference import requantize

RESULT = FixedFormat(16, 0, signed=False)
"""Format of probabilities; 1 becomes 1 - 2**-16."""
_DIFFERENCE_BITS = 12
_DIFFERENCE_INTEGER = 4
"""exp(-16) is 1.1e-7: nothing is lost where differences saturate."""
_EXP_FRACTION = 17
_SUM_BITS = 12


@dataclass(frozen=True)
class SoftmaxFormats:
    """The formats inside: of the difference, the exponentials, their sum, what addresses the second table, 1 / sum."""

    difference: FixedFormat
    exponential: FixedFormat
    total: FixedFormat
    address: FixedFormat
    inverse: FixedFormat

    @property
    def exponential_entries(self) -> int:
        """Entries of the table of exponentials: all differences."""
        return 1 << self.difference.width

    @property
    def inverse_entries(self) -> int:
        """Entries of the table of inverses: all addresses."""
        return 1 << self.address.width


def softmax_formats(x: FixedFormat, classes: int) -> SoftmaxFormats:
    """The formats for inputs of format ``x``: differences keep the input's fraction bits as far as 12 bits allow."""
    carry = max(classes - 1, 1).bit_length()
    fraction = max(min(x.fraction, _DIFFERENCE_BITS - _DIFFERENCE_INTEGER), 0)
    return SoftmaxFormats(
        difference=FixedFormat(_DIFFERENCE_INTEGER + fraction, _DIFFERENCE_INTEGER, signed=False),
        exponential=FixedFormat(_EXP_FRACTION + 1, 1, signed=False),
        total=FixedFormat(_EXP_FRACTION + 1 + carry, 1 + carry, signed=False),
        address=FixedFormat(_SUM_BITS, 1 + carry, signed=False),
        inverse=FixedFormat(_EXP_FRACTION + 1, 1, signed=False),
    )


def _tables(formats: SoftmaxFormats) -> tuple[IntArray, IntArray]:
    """Both tables, from float32 arguments and results, as the C++ code makes them."""
    d = np.arange(formats.exponential_entries).astype(np.float32) * np.float32(formats.difference.step)
    s = np.arange(formats.inverse_entries).astype(np.float32) * np.float32(formats.address.step)
    exponentials = np.exp(-d)
    inverses = np.float32(1) / np.maximum(s, np.float32(formats.address.step))
    tables = []
    for values, format_ in ((exponentials, formats.exponential), (inverses, formats.inverse)):
        rounded = np.floor(values.astype(np.float64) * 2.0**format_.fraction + 0.5)  # AP_RND: half up
        tables.append(np.clip(rounded, format_.low, format_.high).astype(np.int64))
    return tables[0], tables[1]


def softmax_codes(codes: IntArray, x: FixedFormat, result: FixedFormat) -> IntArray:
    """Codes of the probabilities over the last axis."""
    formats = softmax_formats(x, codes.shape[-1])
    exponential_table, inverse_table = _tables(formats)
    difference = requantize(
        codes.max(axis=-1, keepdims=True) - codes, x.fraction, formats.difference, "half_even", "clip"
    )
    exponentials = exponential_table[difference]
    total = exponentials.sum(axis=-1, keepdims=True)
    address = requantize(total, formats.total.fraction, formats.address, "half_even", "clip")
    products = exponentials * inverse_table[address]
    return requantize(products, formats.exponential.fraction + formats.inverse.fraction, result, "half_even", "clip")


def error_bound(x: FixedFormat, classes: int) -> float:
    """Largest possible difference of a probability from the real softmax.

    Each term is an absolute error of the result for probabilities of at most 1: rounding of the differences (twice:
    numerator and sum), of the exponentials (once, and once for each class in the sum), the address of the inverse,
    its rounding, and the result's own rounding and saturation; 1% covers second-order terms and float32.
    """
    f = softmax_formats(x, classes)
    lost = max(x.fraction - f.difference.fraction, 0) > 0
    difference = f.difference.step / 2 if lost else 0.0
    relative = 2 * math.expm1(difference) + (1 + classes) * f.exponential.step / 2 + math.exp(-16) * classes
    relative += f.address.step / 2 + f.inverse.step / 2
    return 1.01 * relative + RESULT.step
