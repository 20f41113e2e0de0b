"""The implementation of one network: ``solve`` gives the cheapest valid one under a spec, or says why there is none.

It is ``solve_batch`` of one network with the names of its layers, so both decide alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow.errors import InputError, NothingFeasible
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.structural import Estimator
from flow.estimate.table import table_of
from flow.implement.batch import REASONS, BatchSolution, solve_batch
from flow.implement.implementation import Implementation, LayerImplementation
from flow.network.network import Network

if TYPE_CHECKING:
    from flow.spec import Spec

__all__ = [
    "REASONS", "Attempt", "BatchSolution", "Implementation", "LayerImplementation", "NoImplementation", "attempt",
    "refusal_text", "solve", "solve_batch",
]  # fmt: skip


class NoImplementation(NothingFeasible):
    """No implementation of a network meets the spec; ``reason`` is one of ``REASONS``, ``str`` says by how much."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True)
class Attempt:
    """The implementation nearest to a spec; it meets it if ``reason`` is empty, else ``sentence`` says why not."""

    implementation: Implementation
    reason: str
    sentence: str


def solve(network: Network, spec: Spec, family: str, estimator: Estimator = CALIBRATED) -> Implementation:
    """The cheapest valid implementation of ``network`` that meets ``spec``; see ``solve_batch`` for what cheapest is.

    ``family``: device family of the part. Raises NoImplementation if there is none, InputError for an empty network.
    """
    found = attempt(network, spec, family, estimator)
    if found.reason:
        raise NoImplementation(found.reason, f"no implementation meets the spec: {found.sentence}")
    return found.implementation


def attempt(network: Network, spec: Spec, family: str, estimator: Estimator = CALIBRATED) -> Attempt:
    """The implementation that ``solve`` gives, or the valid one nearest to the spec. Raises InputError if empty."""
    if not network.layers:
        raise InputError("the network has no layers")
    solution = solve_batch(table_of([network]), spec, family, estimator)
    layers = tuple(
        LayerImplementation(layer.name, int(reuse), "Latency" if latency else "Resource")
        for layer, reuse, latency in zip(network, solution.reuse, solution.latency_strategy, strict=True)
        if layer.weight is not None
    )
    implementation = Implementation("io_stream" if solution.stream[0] else "io_parallel", spec.clock_mhz, layers)
    refusal = implementation.check(network)
    assert refusal is None, refusal
    return Attempt(implementation, REASONS[solution.reason[0]], refusal_text(solution, 0, spec))


def refusal_text(solution: BatchSolution, index: int, spec: Spec) -> str:
    """Why one network of ``solution`` has no implementation under ``spec``, with by how much; empty if it has one."""
    reason = REASONS[solution.reason[index]]
    needed, limit = float(solution.needed[index]), float(solution.limit[index])
    if reason == "":
        return ""
    if reason == "invalid":
        return "it is not a valid network"
    times = f", {needed / limit:.3g} times as much" if limit > 0 else ""
    clock = f"at {spec.clock_mhz:g} MHz"
    if reason in ("throughput", "unroll limit"):
        why = "its slowest layer" if reason == "throughput" else "HLS cannot unroll it more, so its slowest layer"
        return (
            f"{why} takes at least {needed:,.0f} cycles an inference, {spec.min_throughput_per_s:,.10g} inferences/s "
            f"{clock} leave {limit:,.0f}"
        )
    if reason == "latency":
        return f"it takes at least {needed:,.0f} cycles, {spec.max_latency_us:,.10g} us {clock} are {limit:,.0f}"
    if reason == "limits together":
        return "each limit can be met alone, but no reuse factors meet throughput, latency and resources together"
    end = " (upper end of its 90% interval)" if spec.bound == "upper" else ""
    return f"it needs at least {needed:,.0f} {reason}{end} of {limit:,.0f}{times}"
