"""LUTs of one multiplier by the widths of its operands: the table of the reference paper, as it is and repaired."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_BITS = 14
"""Widest operand the table has."""

# Row a lists the LUTs of a x b bits for b = a..14. Source: the published code of arXiv:1911.00105.
_UPPER = (
    (1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    (4, 11, 14, 17, 20, 23, 26, 29, 32, 35, 38, 41, 44),
    (17, 21, 26, 32, 36, 41, 46, 51, 56, 61, 66, 71),
    (29, 34, 39, 44, 49, 54, 59, 64, 69, 74, 79),
    (41, 47, 53, 59, 65, 73, 79, 85, 91, 97),
    (58, 65, 72, 79, 86, 93, 100, 107, 114),
    (74, 82, 92, 100, 108, 116, 124, 132),
    (95, 104, 113, 122, 131, 42, 149),
    (118, 128, 138, 148, 158, 168),
    (140, 152, 163, 174, 185),
    (167, 179, 191, 204),
    (195, 208, 221),
    (224, 238),
    (255,),
)


def _published() -> NDArray[np.int64]:
    table = np.zeros((MAX_BITS + 1, MAX_BITS + 1), dtype=np.int64)
    for row, luts in enumerate(_UPPER, start=1):
        table[row, row:] = luts
    table.setflags(write=False)
    return table


def _repaired() -> NDArray[np.int64]:
    table = np.maximum(PUBLISHED, PUBLISHED.T)
    table[8, 13] = table[13, 8] = 140  # printed as 42, between 131 for 12 bits and 149 for 14
    table.setflags(write=False)
    return table


PUBLISHED = _published()
"""``PUBLISHED[a, b]`` in LUTs, a and b in 0..14 bits. Zero for a > b and for a = 0: free multipliers (a defect)."""

SYMMETRIC = _repaired()
"""The same with a x b = b x a, and 140 LUTs for 8 x 13. Zero only where an operand has no bits."""
