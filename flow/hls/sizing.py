"""How a model is built, from what the user asked for: reuse factors as given, or solved for a spec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from flow.errors import InputError, NothingFeasible, unknown_name
from flow.hls.convert import check_implementation, rule_layer
from flow.implement.implementation import Implementation, LayerImplementation
from flow.implement.rules import IoType, Strategy, check_layer, strategy_of
from flow.implement.solver import attempt
from flow.network.network import Network
from flow.network.quantized import QuantizedNetwork
from flow.spec import Spec

EVERY = ""
"""The name that stands for all layers in ``Sizing.reuse``."""


@dataclass(frozen=True)
class Sizing:
    """What was asked for; None or empty: not said. ``reuse``: factors by layer, ``EVERY`` for the others.

    ``limited``: whether throughput, latency or LUTs were asked for, which the solver meets and reuse factors decide.
    """

    io: IoType | None = None
    strategy: Strategy | None = None
    reuse: Mapping[str, int] = field(default_factory=dict)
    limited: bool = False

    def __post_init__(self) -> None:
        if self.strategy is not None and not self.reuse:
            raise InputError("--strategy goes with --reuse-factor: without it the solver chooses both")
        if self.limited and self.reuse:
            raise InputError("--reuse-factor says how fast it gets: leave --fps, --latency and --lut out, or let them "
                             "decide and leave --reuse-factor out")  # fmt: skip

    @property
    def is_given(self) -> bool:
        """Whether anything was asked for."""
        return bool(self.io or self.reuse or self.limited)


def parse_reuse(texts: Sequence[str]) -> dict[str, int]:
    """``N`` for all layers and ``LAYER=N`` for one, as ``--reuse-factor`` takes them. Raises InputError."""
    found: dict[str, int] = {}
    for text in texts:
        match = re.fullmatch(r"(?:([A-Za-z_]\w*)=)?(\d{1,12})", text)
        if not match or int(match[2]) < 1:
            raise InputError(f"--reuse-factor takes a whole number or LAYER=NUMBER, not {text!r}")
        name = match[1] or EVERY
        if name in found:
            raise InputError(f"--reuse-factor says twice how often {name or 'every layer'} reuses its multipliers")
        found[name] = int(match[2])
    return found


def implementation_for(
    network: QuantizedNetwork, estimate: Network | None, sizing: Sizing, spec: Spec, family: str
) -> Implementation:
    """The implementation asked for: as given, else the cheapest that meets ``spec``.

    ``estimate`` is the network as the solver sees it, None if its layers can't be predicted; ``family`` the part's.
    Raises InputError naming every layer with a reuse factor or strategy that hls4ml or HLS refuse, NothingFeasible if
    no implementation meets the spec.
    """
    if sizing.reuse:
        return _as_given(network, sizing, spec.clock_mhz)
    if estimate is None:
        raise InputError("its layers can't be predicted, so no reuse factors can be solved for: give --reuse-factor")
    found = attempt(estimate, spec, family)
    if found.reason:
        raise NothingFeasible(
            f"no implementation meets the limits: {found.sentence}; change --fps, --latency, --lut or --clock, "
            "or give --reuse-factor"
        )
    implementation = found.implementation
    if sizing.io is not None:
        implementation = replace(implementation, io_type=sizing.io)
    refusal = check_implementation(network, implementation)
    if refusal is not None:
        raise InputError(refusal.sentence)
    return implementation


def _as_given(network: QuantizedNetwork, sizing: Sizing, clock_mhz: float) -> Implementation:
    layers = network.weight_layers
    for name in sizing.reuse:
        if name != EVERY and name not in {layer.name for layer in layers}:
            raise unknown_name("layer with weights", name, [layer.name for layer in layers])
    io = sizing.io or default_io(network)
    chosen, refusals = [], []
    for layer in layers:
        rule = rule_layer(layer)
        reuse = sizing.reuse.get(layer.name, sizing.reuse.get(EVERY, 1))
        strategy = sizing.strategy or strategy_of(rule, reuse)
        refusal = check_layer(rule, strategy, reuse, io)
        if refusal is not None:
            refusals.append(refusal.sentence)
        chosen.append(LayerImplementation(layer.name, reuse, strategy))
    if refusals:
        raise InputError("; ".join(refusals))
    return Implementation(io, clock_mhz, tuple(chosen))


def default_io(network: QuantizedNetwork) -> IoType:
    """io_stream as soon as there are images, else io_parallel (``flow.implement.rules.io_type_for``)."""
    image = any(max(len(layer.in_shape), len(layer.out_shape)) > 1 for layer in network)
    return "io_stream" if image else "io_parallel"
