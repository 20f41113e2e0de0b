"""Implementation: how the hardware runs a network, as a value that can be checked and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from flow.errors import InputError
from flow.implement.rules import IoType, Refusal, Strategy, check_io, check_layer
from flow.network.network import Network
from flow.resources import MAX_CLOCK_MHZ

MAX_REUSE = 1 << 40
"""Largest reuse factor accepted from a file: the weights of the largest layer a candidate may have."""


@dataclass(frozen=True)
class LayerImplementation:
    """One weight layer: each multiplier is used ``reuse`` times an inference (or an output position of an image)."""

    name: str
    reuse: int
    strategy: Strategy


@dataclass(frozen=True)
class Implementation:
    """How a network is built: one entry a weight layer, in the network's order; the clock is in MHz."""

    io_type: IoType
    clock_mhz: float
    layers: tuple[LayerImplementation, ...]

    def layer(self, name: str) -> LayerImplementation:
        """The entry of one weight layer. Raises InputError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise InputError(f"the implementation says nothing of layer {name!r}")

    def check(self, network: Network) -> Refusal | None:
        """Why ``network`` can't be built like this; None if it can. The rules are those of ``flow.implement.rules``."""
        weight_layers = [layer for layer in network if layer.weight is not None]
        wanted, named = [layer.name for layer in weight_layers], [layer.name for layer in self.layers]
        if wanted != named:
            return Refusal(
                "layers", f"the implementation names the layers {', '.join(named)}, the network has {', '.join(wanted)}"
            )
        refusal = check_io(network, self.io_type)
        for layer, chosen in zip(weight_layers, self.layers, strict=True):
            refusal = refusal or check_layer(layer, chosen.strategy, chosen.reuse, self.io_type)
        return refusal

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "io_type": self.io_type,
            "clock_mhz": self.clock_mhz,
            "layers": [{"name": la.name, "reuse_factor": la.reuse, "strategy": la.strategy} for la in self.layers],
        }

    @classmethod
    def from_dict(cls, data: Any, where: str = "implementation") -> Implementation:
        """Inverse of :meth:`to_dict`. Raises InputError naming ``where`` and the field."""
        _check_fields(data, {"io_type", "clock_mhz", "layers"}, where)
        clock = data["clock_mhz"]
        if isinstance(clock, bool) or not isinstance(clock, int | float) or not 0 < clock <= MAX_CLOCK_MHZ:
            raise InputError(f"{where}: clock_mhz must be a number above 0, not {clock!r}")
        if not isinstance(data["layers"], list):
            raise InputError(f"{where}: layers must be a list")
        layers = tuple(_layer(raw, f"{where}: layers[{i}]") for i, raw in enumerate(data["layers"]))
        if len({layer.name for layer in layers}) != len(layers):
            raise InputError(f"{where}: a layer is listed twice")
        return cls(_word(data["io_type"], get_args(IoType), f"{where}: io_type"), float(clock), layers)


def _layer(raw: Any, where: str) -> LayerImplementation:
    _check_fields(raw, {"name", "reuse_factor", "strategy"}, where)
    name, reuse = raw["name"], raw["reuse_factor"]
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: name must be a text, not {name!r}")
    if isinstance(reuse, bool) or not isinstance(reuse, int) or not 1 <= reuse <= MAX_REUSE:
        raise InputError(f"{where}: reuse_factor must be a whole number of at least 1, not {reuse!r}")
    return LayerImplementation(name, reuse, _word(raw["strategy"], get_args(Strategy), f"{where}: strategy"))


def _check_fields(data: Any, names: set[str], where: str) -> None:
    if not isinstance(data, Mapping):
        raise InputError(f"{where}: expected a mapping of fields, found {type(data).__name__}")
    for name in sorted(names - data.keys()):
        raise InputError(f"{where}: field {name!r} is missing")
    for name in data:
        if name not in names:
            raise InputError(f"{where}: unknown field {name!r}")


def _word(value: Any, known: tuple[Any, ...], where: str) -> Any:
    if value not in known:
        raise InputError(f"{where} must be one of {', '.join(known)}, not {value!r}")
    return value
