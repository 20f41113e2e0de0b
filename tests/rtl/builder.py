"""Small networks for tests of generated hardware."""

from __future__ import annotations

from typing import Any

import numpy as np

from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble


def weights(shape: tuple[int, ...], bits: int = 4, seed: int = 0) -> Codes:
    """Random weights of ``bits`` bits."""
    of = FixedFormat(bits, 1)
    return Codes(np.random.default_rng(seed).integers(of.low, of.high, size=shape, endpoint=True), of)


def relu(x: str, shape: tuple[int, ...], bits: int = 4) -> Step:
    """A ReLU of ``bits`` bits behind the step ``x``."""
    return Step(f"{x}_relu", "relu", f"{x}_relu", (x,), shape, format=FixedFormat(bits, 2, signed=False),
                rounding="half_even", saturation="clip")  # fmt: skip


def dense_network(source: str = "fc1", **changes: Any) -> QuantizedNetwork:
    """16 -> 8 -> 4, a ReLU between; ``changes`` replace fields of the first layer's step."""
    fields: dict[str, Any] = {"name": "fc1", "op": "dense", "source": source, "inputs": ("x",), "out_shape": (8,),
                              "weight": weights((16, 8)), "bias": weights((8,), 6)}  # fmt: skip
    steps = [
        Step(**{**fields, **changes}),
        relu("fc1", (8,)),
        Step("fc2", "dense", "fc2", ("fc1_relu",), (4,), weight=weights((8, 4), 2)),
    ]
    return assemble("x", (16,), FixedFormat(4, 0, signed=False), steps)


def conv_network(channels: int = 4) -> QuantizedNetwork:
    """A 3x3 convolution over 6x6x2, ReLU, pooling by two, dense."""
    window: dict[str, Any] = {"kernel": (3, 3), "stride": (1, 1), "padding": ((1, 1), (1, 1))}
    steps = [
        Step("conv", "conv", "conv", ("x",), (6, 6, channels), weight=weights((3, 3, 2, channels)), **window),
        relu("conv", (6, 6, channels)),
        Step("pool", "maxpool", "pool", ("conv_relu",), (3, 3, channels), kernel=(2, 2), stride=(2, 2),
             padding=((0, 0), (0, 0))),
        Step("flat", "reshape", "flat", ("pool",), (9 * channels,)),
        Step("fc", "dense", "fc", ("flat",), (3,), weight=weights((9 * channels, 3))),
    ]  # fmt: skip
    return assemble("x", (6, 6, 2), FixedFormat(4, 0, signed=False), steps)
