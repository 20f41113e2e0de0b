"""The YAML form of a search space, checked field by field into typed choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.errors import InputError, nearest
from flow.fileio import read_yaml, yaml_line
from flow.network.fixed import FixedFormat, WeightFormat
from flow.space.candidate import KINDS, MAX_SIZE

SCHEMA = 1
MAX_REPEAT = 64


@dataclass(frozen=True)
class Bits:
    """Formats chosen as integer bits times fraction bits, two decisions, as the reference paper does."""

    integer: tuple[int, ...]
    fraction: tuple[int, ...]


@dataclass(frozen=True)
class Pairs:
    """(height, width) chosen separately, two decisions."""

    height: tuple[int, ...]
    width: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """A run of blocks with the same choices; ``repeat`` lists how many blocks it may have."""

    kinds: tuple[str, ...]
    repeat: tuple[int, ...]
    units: tuple[int, ...]
    weight: tuple[WeightFormat, ...] | Bits
    activation: tuple[FixedFormat, ...] | Bits
    kernel: tuple[tuple[int, int], ...] | Pairs = ((1, 1),)
    stride: tuple[tuple[int, int], ...] | Pairs = ((1, 1),)
    pool: tuple[int, ...] = (1,)
    residual: tuple[bool, ...] = (False,)
    concat: bool = False


@dataclass(frozen=True)
class SpaceFile:
    """A checked space file."""

    name: str
    title: str
    source: str
    groups: tuple[Group, ...]
    head: tuple[str, ...]
    output_weight: tuple[WeightFormat, ...]
    variants: tuple[str, ...]


def read_space_file(path: Path, variant: str | None = None) -> SpaceFile:
    """The space in ``path``, with the overrides of ``variant`` applied.

    Raises InputError naming file, line and field.
    """
    return _Reader(path).space(read_yaml(path, "search space"), variant)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, field: str, problem: str) -> InputError:
        line = yaml_line(self.path, field, "search space")
        return InputError(f"{self.path}{f':{line}' if line else ''}: {field}: {problem}")

    def space(self, data: dict[str, Any], variant: str | None) -> SpaceFile:
        known = {"schema", "name", "title", "source", "layers", "head", "output", "variants"}
        self.check_names(data, known, "")
        for name in ("schema", "name", "layers"):
            if name not in data:
                raise InputError(f"{self.path}: field {name!r} is missing")
        if data["schema"] != SCHEMA:
            raise self.fail("schema", f"{data['schema']!r} is not supported, expected {SCHEMA}")
        variants = data.get("variants", {})
        if not isinstance(variants, Mapping):
            raise self.fail("variants", "expected a mapping of names to changed fields")
        changes: Mapping[str, Any] = {}
        if variant is not None:
            if variant not in variants:
                raise InputError(f"{self.path}: unknown variant {variant!r}: {nearest(variant, variants)}")
            changes = variants[variant]
            if not isinstance(changes, Mapping):
                raise self.fail(f"variants.{variant}", "expected a mapping of layer fields")
        layers = data["layers"]
        if not isinstance(layers, list) or not layers:
            raise self.fail("layers", "expected a list of at least one group of layers")
        groups = []
        for i, raw in enumerate(layers):
            if not isinstance(raw, Mapping):
                raise self.fail(f"layers.{i}", "expected a mapping of fields")
            groups.append(self.group({**raw, **(changes if i == 0 else {})}, f"layers.{i}"))
        output = data.get("output", {})
        if not isinstance(output, Mapping):
            raise self.fail("output", "expected a mapping with the field weight")
        self.check_names(output, {"weight"}, "output.")
        weight = self.formats(output.get("weight", ["fixed<6,1>"]), "output.weight", WeightFormat.parse)
        if isinstance(weight, Bits):
            raise self.fail("output.weight", "expected a list of formats")
        seen_dense = False
        for i, group in enumerate(groups):
            if seen_dense and group.kinds != ("dense",):
                raise self.fail(f"layers.{i}.kind", "a convolution cannot follow a dense layer")
            seen_dense = group.kinds == ("dense",)
        return SpaceFile(
            name=self.text(data["name"], "name") + (f"+{variant}" if variant else ""),
            title=self.text(data.get("title", ""), "title"),
            source=self.text(data.get("source", ""), "source"),
            groups=tuple(groups),
            head=tuple(self.choices(data.get("head", ["flatten"]), "head", self.word(("flatten", "gap")))),
            output_weight=weight,
            variants=tuple(map(str, variants)),
        )

    def check_names(self, data: Mapping[str, Any], known: set[str], where: str) -> None:
        for name in data:
            if name not in known:
                raise self.fail(f"{where}{name}", f"unknown field, {nearest(str(name), known)}")

    def text(self, value: Any, field: str) -> str:
        if not isinstance(value, str):
            raise self.fail(field, f"expected text, not {value!r}")
        return value

    def group(self, raw: Mapping[str, Any], where: str) -> Group:
        self.check_names(raw, set(Group.__dataclass_fields__) - {"kinds"} | {"kind"}, f"{where}.")
        for name in ("kind", "weight", "activation"):
            if name not in raw:
                raise self.fail(where, f"field {name!r} is missing")
        kinds = tuple(self.choices(raw["kind"], f"{where}.kind", self.word(KINDS)))
        if "dense" in kinds:
            if len(kinds) > 1:
                raise self.fail(f"{where}.kind", "dense layers need a group of their own")
            for name in ("kernel", "stride", "pool", "residual", "concat"):
                if name in raw:
                    raise self.fail(f"{where}.{name}", "a dense layer has no such choice")
        if kinds != ("depthwise",) and "units" not in raw:
            raise self.fail(where, "field 'units' is missing")
        whole = self.whole
        concat = raw.get("concat", False)
        if not isinstance(concat, bool):
            raise self.fail(f"{where}.concat", "expected true or false")
        activation = self.formats(raw["activation"], f"{where}.activation", FixedFormat.parse)
        if not isinstance(activation, Bits) and any(a.signed for a in activation):
            raise self.fail(f"{where}.activation", "ReLU activations are unsigned, write ufixed<W,I>")
        return Group(
            kinds=kinds,
            repeat=tuple(self.choices(raw.get("repeat", 1), f"{where}.repeat", whole(0, MAX_REPEAT))),
            units=tuple(self.choices(raw.get("units", [0]), f"{where}.units", whole(int(kinds != ("depthwise",))))),
            weight=self.formats(raw["weight"], f"{where}.weight", WeightFormat.parse),
            activation=activation,
            kernel=self.pairs(raw.get("kernel", 1), f"{where}.kernel"),
            stride=self.pairs(raw.get("stride", 1), f"{where}.stride"),
            pool=tuple(self.choices(raw.get("pool", 1), f"{where}.pool", whole(1))),
            residual=tuple(self.choices(raw.get("residual", False), f"{where}.residual", self.flag)),
            concat=concat,
        )

    def choices(self, value: Any, field: str, parse: Callable[[Any, str], Any]) -> list[Any]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise self.fail(field, "the list of choices is empty")
        parsed = [parse(v, f"{field}.{i}" if isinstance(value, list) else field) for i, v in enumerate(values)]
        for i, v in enumerate(parsed):
            if v in parsed[:i]:
                raise self.fail(f"{field}.{i}", f"{values[i]!r} is listed twice")
        return parsed

    def word(self, known: tuple[str, ...]) -> Callable[[Any, str], str]:
        def parse(value: Any, field: str) -> str:
            if value not in known:
                raise self.fail(field, f"{value!r} is not one of {', '.join(known)}")
            return str(value)

        return parse

    def whole(self, least: int, most: int = MAX_SIZE) -> Callable[[Any, str], int]:
        def parse(value: Any, field: str) -> int:
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise self.fail(field, f"expected a whole number from {least} to {most}, not {value!r}")
            return value

        return parse

    def flag(self, value: Any, field: str) -> bool:
        if not isinstance(value, bool):
            raise self.fail(field, f"expected true or false, not {value!r}")
        return value

    def pairs(self, value: Any, field: str) -> tuple[tuple[int, int], ...] | Pairs:
        whole = self.whole(1, 1024)
        if isinstance(value, Mapping):
            self.check_names(value, {"height", "width"}, f"{field}.")
            return Pairs(*(tuple(self.choices(value.get(n, 1), f"{field}.{n}", whole)) for n in ("height", "width")))

        def parse(item: Any, where: str) -> tuple[int, int]:
            if isinstance(item, list):
                if len(item) != 2:
                    raise self.fail(where, "expected a number or [height, width]")
                return whole(item[0], where), whole(item[1], where)
            size = whole(item, where)
            return size, size

        return tuple(self.choices(value, field, parse))

    def formats(self, value: Any, field: str, parse: Callable[[str], Any]) -> tuple[Any, ...] | Bits:
        if isinstance(value, Mapping):
            self.check_names(value, {"integer", "fraction"}, f"{field}.")
            bits = self.whole(0, 32)
            return Bits(*(tuple(self.choices(value.get(n, 0), f"{field}.{n}", bits)) for n in ("integer", "fraction")))

        def parse_one(item: Any, where: str) -> Any:
            try:
                return parse(item)
            except InputError as error:
                raise self.fail(where, str(error)) from error

        return tuple(self.choices(value, field, parse_one))
