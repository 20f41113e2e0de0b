"""Candidate: one immutable point of a search space, architecture times quantization, with a content digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from flow.errors import InputError
from flow.fileio import read_json
from flow.network.fixed import FixedFormat, WeightFormat

Kind = Literal["conv2d", "depthwise", "dense"]
KINDS: tuple[Kind, ...] = ("conv2d", "depthwise", "dense")
SCHEMA = 1
MAX_SIZE = 1 << 20
"""Largest dimension, width or kernel accepted from a file: keeps arithmetic in 64 bits."""


@dataclass(frozen=True)
class LayerChoice:
    """One block: a weight layer, its batch norm (folded), ReLU activation, and max pooling behind it.

    ``units`` are filters or neurons (a depthwise layer keeps its channels and has 0). ``kernel`` and ``stride`` are
    (height, width). ``pool`` is the size and stride of the pooling, 1 for none. ``residual`` adds the block's input
    to its output before pooling. ``concat`` lists earlier blocks whose outputs are concatenated to the input.
    """

    kind: Kind
    units: int
    weight: WeightFormat
    activation: FixedFormat
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pool: int = 1
    residual: bool = False
    concat: tuple[int, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A network to try: input, blocks, head and output layer. Equal candidates have equal digests.

    ``input_shape`` is (height, width, channels) or (features,); ``head`` says how images become vectors before the
    first dense layer: ``flatten`` or ``gap`` (global average pooling).
    """

    input_shape: tuple[int, ...]
    input_format: FixedFormat
    classes: int
    layers: tuple[LayerChoice, ...]
    output_weight: WeightFormat
    head: Literal["flatten", "gap"] = "flatten"

    def to_dict(self) -> dict[str, Any]:
        """JSON form; formats as text."""
        layers = []
        for choice in self.layers:
            item = {f.name: getattr(choice, f.name) for f in fields(choice)}
            item |= {"weight": str(choice.weight), "activation": str(choice.activation)}
            item |= {n: list(item[n]) for n in ("kernel", "stride", "concat")}
            layers.append(item)
        return {
            "schema": SCHEMA,
            "input_shape": list(self.input_shape),
            "input_format": str(self.input_format),
            "classes": self.classes,
            "layers": layers,
            "head": self.head,
            "output_weight": str(self.output_weight),
        }

    def canonical_json(self) -> str:
        """The one JSON text of this candidate: sorted keys, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """Content digest: the first 16 hex digits of SHA-256 over the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, data: Any, where: str = "candidate") -> Candidate:
        """Inverse of :meth:`to_dict`, checked field by field. Raises InputError naming ``where`` and the field."""
        top = _Fields(data, where)
        if top.integer("schema") != SCHEMA:
            raise InputError(f"{where}: schema {data['schema']} is not supported, expected {SCHEMA}")
        raw_layers = top.take("layers")
        if not isinstance(raw_layers, list):
            raise InputError(f"{where}: layers must be a list")
        candidate = cls(
            input_shape=top.integers("input_shape", (1, 3)),
            input_format=top.text_format("input_format", FixedFormat),
            classes=top.integer("classes", least=2),
            layers=tuple(_layer(raw, f"{where}: layers[{i}]") for i, raw in enumerate(raw_layers)),
            head=top.one_of("head", ("flatten", "gap")),
            output_weight=top.text_format("output_weight", WeightFormat),
        )
        top.finish()
        return candidate


def load_candidate(path: Path) -> Candidate:
    """The candidate in a JSON file. Raises InputError with the file and the field."""
    return Candidate.from_dict(read_json(path, "candidate"), str(path))


def _layer(raw: Any, where: str) -> LayerChoice:
    item = _Fields(raw, where)
    kind = item.one_of("kind", KINDS)
    choice = LayerChoice(
        kind=kind,
        units=item.integer("units", least=0 if kind == "depthwise" else 1),
        weight=item.text_format("weight", WeightFormat),
        activation=item.text_format("activation", FixedFormat),
        kernel=item.pair("kernel"),
        stride=item.pair("stride"),
        pool=item.integer("pool", least=1),
        residual=item.boolean("residual"),
        concat=item.integers("concat", None, least=0),
    )
    item.finish()
    return choice


class _Fields:
    """Takes typed fields out of a mapping and complains about missing, wrong and left-over ones."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise InputError(f"{where}: expected a mapping of fields, found {type(data).__name__}")
        self.data, self.where, self.taken = data, where, set[str]()

    def take(self, name: str) -> Any:
        self.taken.add(name)
        if name not in self.data:
            raise InputError(f"{self.where}: field {name!r} is missing")
        return self.data[name]

    def finish(self) -> None:
        for name in self.data:
            if name not in self.taken:
                raise InputError(f"{self.where}: unknown field {name!r}")

    def integer(self, name: str, least: int = 0) -> int:
        return self._whole(name, self.take(name), least)

    def _whole(self, name: str, value: Any, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_SIZE:
            raise InputError(f"{self.where}: {name} must be a whole number from {least} to {MAX_SIZE}, not {value!r}")
        return value

    def integers(self, name: str, lengths: tuple[int, ...] | None, least: int = 1) -> tuple[int, ...]:
        value = self.take(name)
        if not isinstance(value, list) or (lengths is not None and len(value) not in lengths):
            expected = "a list" if lengths is None else f"a list of {' or '.join(map(str, lengths))} numbers"
            raise InputError(f"{self.where}: {name} must be {expected}, not {value!r}")
        return tuple(self._whole(name, v, least) for v in value)

    def pair(self, name: str) -> tuple[int, int]:
        first, second = self.integers(name, (2,))
        return first, second

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise InputError(f"{self.where}: {name} must be true or false, not {value!r}")
        return value

    def one_of(self, name: str, known: tuple[Any, ...]) -> Any:
        value = self.take(name)
        if value not in known:
            raise InputError(f"{self.where}: {name} must be one of {', '.join(known)}, not {value!r}")
        return value

    def text_format(self, name: str, kind: Any) -> Any:
        try:
            return kind.parse(self.take(name))
        except InputError as error:
            raise InputError(f"{self.where}: {name}: {error}") from error
