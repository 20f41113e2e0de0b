"""The rules by which hls4ml 1.3 and Vivado/Vitis HLS accept a layer's implementation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from flow.estimate.calibrated_refusals import CONSTANT_BITS, UNROLLED
from flow.network.network import Layer, Network

Strategy = Literal["Latency", "Resource"]
IoType = Literal["io_parallel", "io_stream"]

UNROLL_LIMIT = UNROLLED
"""Multiplications a step from which the run of HLS fails (hls4ml#1168; all 42 one-layer runs of Vivado HLS 2020.1 with
exactly so many failed, of either strategy; the most that passed are 3,072)."""

LATENCY_BITS = CONSTANT_BITS
"""Bits of weights up to which strategy Latency synthesizes below the unroll limit."""


@dataclass(frozen=True)
class Refusal:
    """Why an implementation is not accepted: a short ``rule`` to count by, and a ``sentence`` for the user."""

    rule: str
    sentence: str


@lru_cache(maxsize=65536)
def divisors(number: int) -> tuple[int, ...]:
    """All divisors of ``number`` >= 1, ascending."""
    low = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return tuple(low) + tuple(number // d for d in reversed(low) if d * d != number)


@lru_cache(maxsize=65536)
def valid_reuse_factors(n_in: int, n_out: int) -> tuple[int, ...]:
    """The reuse factors that hls4ml's ``_validate_reuse_factor`` accepts for strategy Resource, ascending.

    Up to ``n_in`` its conditions leave the divisors of ``n_in``; above, ``n_in`` times a divisor of ``n_out``.
    """
    return (*divisors(n_in), *(n_in * d for d in divisors(n_out)[1:]))


@lru_cache(maxsize=65536)
def depthwise_reuse_factors(kernel: int, channels: int) -> tuple[int, ...]:
    """Valid reuse factors of a depthwise layer with ``kernel`` positions in its window.

    hls4ml checks them as a layer of kernel * channels inputs and ``channels`` outputs, but its depthwise product is
    right only where the reuse factor divides the channels, or is a multiple of them that divides the weights.
    """
    return (*divisors(channels), *(channels * d for d in divisors(kernel)[1:]))


def layer_reuse_factors(layer: Layer) -> tuple[int, ...]:
    """Valid reuse factors of a weight layer, the unroll limit not applied."""
    if layer.op == "depthwise":
        return depthwise_reuse_factors(layer.fan_in, layer.out_shape[-1])
    return valid_reuse_factors(layer.fan_in, layer.out_shape[-1])


def strategy_for(weights: int, reuse: int, width: int) -> Strategy:
    """The strategy that synthesizes: Latency for reuse 1 while HLS is reliable with it, else Resource.

    ``width``: bits of a weight. Latency with reuse above 1 keeps every constant multiplier's LUTs (one-layer runs), so
    it is never chosen.
    """
    return "Latency" if reuse == 1 and weights < UNROLL_LIMIT and weights * width <= LATENCY_BITS else "Resource"


def strategy_of(layer: Layer, reuse: int) -> Strategy:
    """``strategy_for`` a weight layer."""
    return strategy_for(layer.weight_count, reuse, weight_width(layer))


def weight_width(layer: Layer) -> int:
    """Bits of one weight of a layer, 0 if it has none."""
    return layer.weight.width if layer.weight is not None else 0


def multipliers(weights: int, reuse: int) -> int:
    """Multiplications in one step."""
    return -(-weights // reuse)


def check_layer(layer: Layer, strategy: str, reuse: int, io_type: str = "io_stream") -> Refusal | None:
    """Why HLS would fail on this weight layer, or hls4ml silently change its reuse factor; None if it is fine."""
    if strategy not in ("Latency", "Resource"):
        return Refusal("strategy", f"{layer.name}: unknown strategy {strategy!r}, known: Latency, Resource")
    weights = layer.weight_count
    name = layer.name
    if reuse not in layer_reuse_factors(layer):
        below = max((r for r in layer_reuse_factors(layer) if r < reuse), default=None)
        above = min((r for r in layer_reuse_factors(layer) if r > reuse), default=None)
        near = " and ".join(str(r) for r in (below, above) if r is not None)
        return Refusal(
            "reuse factor",
            f"{name}: reuse factor {reuse} is not valid for {layer.fan_in} x {layer.out_shape[-1]} weights, "
            f"nearest valid: {near}",
        )
    if multipliers(weights, reuse) >= UNROLL_LIMIT:
        return Refusal(
            "unroll limit",
            f"{name}: {weights:,} weights at reuse factor {reuse} are {multipliers(weights, reuse):,} "
            f"multiplications a step, HLS unrolls fewer than {UNROLL_LIMIT:,}",
        )
    if strategy == "Latency":
        # Constants stay constants at any reuse factor: all products are there at once.
        if weights >= UNROLL_LIMIT:
            return Refusal(
                "latency strategy",
                f"{name}: strategy Latency unrolls all {weights:,} weights, HLS fewer than {UNROLL_LIMIT:,}",
            )
        bits = weights * weight_width(layer)
        if bits > LATENCY_BITS:
            return Refusal(
                "latency strategy",
                f"{name}: strategy Latency is reliable up to {LATENCY_BITS:,} bits of weights, the layer has {bits:,}",
            )
    return check_unrolled(layer, strategy, reuse) if io_type == "io_parallel" else None


def check_unrolled(layer: Layer, strategy: str, reuse: int) -> Refusal | None:
    """What hls4ml's convolutions for io_parallel can't do with strategy Resource; None if it is fine.

    From ``nnet_sepconv2d.h`` (an assertion) and ``nnet_conv2d_resource.h``: an assertion in the Vivado backend, wrong
    results without one in the Vitis backend.
    """
    if strategy != "Resource" or layer.op == "dense":
        return None
    if layer.op == "depthwise":
        return Refusal("strategy", f"{layer.name}: io_parallel has no depthwise convolution with strategy Resource")
    if reuse > layer.fan_in:
        return Refusal(
            "reuse factor",
            f"{layer.name}: reuse factor {reuse} of a convolution is at most {layer.fan_in} with io_parallel",
        )
    return None


def check_io(network: Network, io_type: str) -> Refusal | None:
    """Why a network can't be built with an io type; None if it can.

    Images are built as streams only: io_parallel keeps every pixel of every layer in registers and unrolls layers
    over all positions, which HLS survives for a few pixels at best.
    """
    if io_type not in ("io_parallel", "io_stream"):
        return Refusal("io type", f"unknown io type {io_type!r}, known: io_parallel, io_stream")
    if io_type == "io_parallel":
        for layer in network:
            if max(len(layer.in_shape), len(layer.out_shape)) > 1:
                return Refusal(
                    "io_parallel image", f"{layer.name}: io_parallel unrolls images completely, use io_stream"
                )
    return None


def io_type_for(layers: Iterable[Layer]) -> IoType:
    """The cheapest io type allowed: io_parallel for vectors, io_stream as soon as there are images.

    For vectors, streams cost FIFOs, unpacking and cycles on top of the same arithmetic: never less of anything.
    """
    return "io_stream" if any(max(len(la.in_shape), len(la.out_shape)) > 1 for la in layers) else "io_parallel"
