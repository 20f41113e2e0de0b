"""Which layers HLS refuses to build, learnt from 2,057 runs that were allowed to fail.

Of the one-layer runs of Dendendelen/wa-hls4ml-search (Vivado HLS 2020.1) 1,287 failed. 1,260 of them have 4,096 or
more products unrolled in one step, which no successful run has; 3 are of strategy Latency with 43,008 bits of constant
weights, where 36,864 bits still pass. The other 24 are two unbroken blocks of the file (neighbours in time, not in
configuration): an interrupted batch, nothing that HLS refused. Vitis HLS has no such limit in the reports at hand:
ArgyKokk/hls4ml_MLP_estimator built Latency layers of 11,220 weights with 2021.1.
"""

from __future__ import annotations

import numpy as np

from flow.estimate.features import Features
from flow.estimate.structural import Bools

UNROLLED = 4096
"""Products a step from which Vivado HLS fails (hls4ml#1168)."""

CONSTANT_BITS = 36_864
"""Bits of weights in constants up to which strategy Latency passes; 43,008 fail, nothing is known in between."""


def refused(f: Features, vitis: bool = False) -> Bools:
    """Which rows HLS fails on; ``vitis``: Vitis HLS 2021 or later, which refuses none that is known."""
    if vitis:
        return np.zeros(len(f), dtype=bool)
    weights = f.n * f.o
    unrolled = np.where(f.latency, weights, f.mults)
    large = f.latency & (weights * f.w > CONSTANT_BITS)
    return f.table.is_weight & ((unrolled >= UNROLLED) | large)


__all__ = ["CONSTANT_BITS", "UNROLLED", "refused"]
