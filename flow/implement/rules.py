"""The rules by which hls4ml 1.3 and Vivado/Vitis HLS accept a layer's implementation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from flow.network.network import Layer, Network

Strategy = Literal["Latency", "Resource"]
IoType = Literal["io_parallel", "io_stream"]

UNROLL_LIMIT = 4096
"""Multiplications a step that HLS unrolls; above it the run fails (hls4ml#1168; one-layer runs of Vivado HLS 2020.1:
Resource with reuse 1 fails whenever n_in * n_out is over it)."""

LATENCY_WEIGHTS = 2048
"""Weights up to which strategy Latency always synthesized in those runs: 17% up to 4096, never above."""


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


def strategy_for(weights: int, reuse: int) -> Strategy:
    """The strategy that synthesizes: Latency for reuse 1 while HLS is reliable with it, else Resource.

    Latency with reuse above 1 keeps every constant multiplier's LUTs (one-layer runs), so it is never chosen.
    """
    return "Latency" if reuse == 1 and weights <= LATENCY_WEIGHTS else "Resource"


def multipliers(weights: int, reuse: int) -> int:
    """Multiplications in one step."""
    return -(-weights // reuse)


def check_layer(layer: Layer, strategy: str, reuse: int) -> Refusal | None:
    """Why HLS would fail on this weight layer, or hls4ml silently change its reuse factor; None if it is fine."""
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
    if multipliers(weights, reuse) > UNROLL_LIMIT:
        return Refusal(
            "unroll limit",
            f"{name}: {weights:,} weights at reuse factor {reuse} are {multipliers(weights, reuse):,} "
            f"multiplications a step, HLS unrolls at most {UNROLL_LIMIT:,}",
        )
    if strategy == "Latency" and weights > LATENCY_WEIGHTS:
        return Refusal(
            "latency strategy",
            f"{name}: strategy Latency is reliable up to {LATENCY_WEIGHTS:,} weights, the layer has {weights:,}",
        )
    if strategy not in ("Latency", "Resource"):
        return Refusal("strategy", f"{name}: unknown strategy {strategy!r}, known: Latency, Resource")
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
