"""SearchSpace: the decisions of a space file, coded as rows of integers; sampling, and decoding into candidates.

A candidate is coded as one row of option indices, one column a decision. Columns that do not matter (fields of a
block that is absent, the filters of a depthwise layer) are 0, so equal candidates have equal rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError, unknown_name
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import InvalidCandidate
from flow.space.candidate import Candidate, LayerChoice
from flow.space.schema import Bits, Group, Pairs, SpaceFile, read_space_file

Codes = NDArray[np.int64]
PRESETS = Path(__file__).with_name("presets")


@dataclass(frozen=True)
class Task:
    """What a candidate must fit: the input's shape and format, and the number of classes."""

    input_shape: tuple[int, ...]
    input_format: FixedFormat
    classes: int


@dataclass(frozen=True)
class Decision:
    """One column of the code: its name and options. ``ordered``: neighbouring options are alike (numbers, bits)."""

    name: str
    options: tuple[Any, ...]
    ordered: bool


@dataclass(frozen=True)
class Position:
    """One block that may be present: its group, its place in the group, and the columns of its fields."""

    group: int
    place: int
    columns: dict[str, int]


class SearchSpace:
    """The choices of a space file; see the module."""

    def __init__(self, file: SpaceFile) -> None:
        self.file = file
        self.name = file.name
        self.decisions: list[Decision] = []
        self.repeat_columns: list[int] = []
        self.positions: list[Position] = []
        for number, group in enumerate(file.groups):
            self.repeat_columns.append(self._decide(f"g{number}.blocks", group.repeat))
            for place in range(max(group.repeat)):
                self.positions.append(self._position(number, place, group))
        self.head_column = self._decide("head", file.head, ordered=False)
        self.output_column = self._decide("output.weight", file.output_weight)
        self.sizes = np.array([len(d.options) for d in self.decisions], dtype=np.int64)

    def _decide(self, name: str, options: tuple[Any, ...], ordered: bool = True) -> int:
        self.decisions.append(Decision(name, options, ordered))
        return len(self.decisions) - 1

    def _position(self, number: int, place: int, group: Group) -> Position:
        prefix, columns = f"g{number}.{place}", {}
        columns["kind"] = self._decide(f"{prefix}.kind", group.kinds, ordered=False)
        columns["units"] = self._decide(f"{prefix}.units", group.units)
        for name in ("kernel", "stride"):
            value = getattr(group, name)
            if isinstance(value, Pairs):
                columns[f"{name}.height"] = self._decide(f"{prefix}.{name}.height", value.height)
                columns[f"{name}.width"] = self._decide(f"{prefix}.{name}.width", value.width)
            else:
                columns[name] = self._decide(f"{prefix}.{name}", value)
        columns["pool"] = self._decide(f"{prefix}.pool", group.pool)
        columns["residual"] = self._decide(f"{prefix}.residual", group.residual, ordered=False)
        for name in ("weight", "activation"):
            value = getattr(group, name)
            if isinstance(value, Bits):
                columns[f"{name}.integer"] = self._decide(f"{prefix}.{name}.integer", value.integer)
                columns[f"{name}.fraction"] = self._decide(f"{prefix}.{name}.fraction", value.fraction)
            else:
                columns[name] = self._decide(f"{prefix}.{name}", value)
        if group.concat:
            for earlier in range(len(self.positions)):
                columns[f"concat.{earlier}"] = self._decide(f"{prefix}.concat.{earlier}", (False, True), ordered=False)
        return Position(number, place, columns)

    @property
    def size(self) -> int:
        """Number of different codes, counting what is absent once; validity rules not applied."""
        ways = {0: 1}  # by blocks present; concat choices depend on how many came before
        for group in self.file.groups:
            new: dict[int, int] = {}
            for before, count in ways.items():
                for repeat in group.repeat:
                    total = count
                    for place in range(repeat):
                        total *= self._block_options(group) * (2 ** max(before + place - 1, 0) if group.concat else 1)
                    new[before + repeat] = new.get(before + repeat, 0) + total
            ways = new
        return sum(ways.values()) * len(self.file.head) * len(self.file.output_weight)

    def _block_options(self, group: Group) -> int:
        def count(value: Any) -> int:
            if isinstance(value, Bits):
                return len(value.integer) * len(value.fraction)
            return len(value.height) * len(value.width) if isinstance(value, Pairs) else len(value)

        kinds = sum(1 if kind == "depthwise" else len(group.units) for kind in group.kinds)
        fields = (group.kernel, group.stride, group.pool, group.residual, group.weight, group.activation)
        return kinds * math.prod(count(f) for f in fields)

    def present(self, codes: Codes) -> list[NDArray[np.bool_]]:
        """Which rows have each position's block."""
        repeats = [np.array(self.decisions[c].options, dtype=np.int64)[codes[:, c]] for c in self.repeat_columns]
        return [p.place < repeats[p.group] for p in self.positions]

    def canonical(self, codes: Codes) -> Codes:
        """The codes with every column that does not matter set to 0. Shape (n, decisions)."""
        codes = codes.copy()
        present = self.present(codes)
        for index, position in enumerate(self.positions):
            absent = ~present[index]
            for name, column in position.columns.items():
                codes[absent, column] = 0
                if name.startswith("concat."):
                    source = int(name.split(".")[1])
                    before = np.zeros(len(codes), dtype=bool)
                    later = present[source + 1 : index]
                    direct = ~np.any(later, axis=0) if later else ~before  # it is the input anyway
                    codes[~present[source] | direct, column] = 0
            kinds = self.decisions[position.columns["kind"]].options
            if "depthwise" in kinds:
                depthwise = codes[:, position.columns["kind"]] == kinds.index("depthwise")
                codes[depthwise, position.columns["units"]] = 0
        return codes

    def sample(self, rng: np.random.Generator, count: int) -> Codes:
        """``count`` codes, every decision uniform and independent. Shape (count, decisions)."""
        return self.canonical(rng.integers(0, self.sizes, size=(count, len(self.sizes)), dtype=np.int64))

    def candidate(self, code: Codes, task: Task) -> Candidate:
        """The candidate of one code (shape (decisions,)). Raises InvalidCandidate for a format of no bits."""
        code = self.canonical(code[None, :])[0]
        present = [bool(mask[0]) for mask in self.present(code[None, :])]
        block_of = np.cumsum(present) - 1
        layers = []
        for index, position in enumerate(self.positions):
            if present[index]:
                layers.append(self._choice(code, position, block_of))
        return Candidate(
            input_shape=task.input_shape,
            input_format=task.input_format,
            classes=task.classes,
            layers=tuple(layers),
            output_weight=self.option(code, self.output_column),
            head=self.option(code, self.head_column),
        )

    def option(self, code: Codes, column: int) -> Any:
        """The chosen option of one column."""
        return self.decisions[column].options[code[column]]

    def _choice(self, code: Codes, position: Position, block_of: NDArray[np.int64]) -> LayerChoice:
        values = {name: self.option(code, column) for name, column in position.columns.items()}
        for name in ("kernel", "stride"):
            if name not in values:
                values[name] = (values[f"{name}.height"], values[f"{name}.width"])
        for name in ("weight", "activation"):
            if name not in values:
                integer, fraction = values[f"{name}.integer"], values[f"{name}.fraction"]
                if integer + fraction < 1:
                    raise InvalidCandidate("format", f"{name} of block {position.place + 1} has no bits")
                values[name] = (
                    WeightFormat("fixed", integer + fraction, integer)
                    if name == "weight"
                    else FixedFormat(integer + fraction, integer, signed=False)
                )
        concat = [int(n.split(".")[1]) for n, v in values.items() if n.startswith("concat.") and v]
        depthwise = values["kind"] == "depthwise"
        return LayerChoice(
            kind=values["kind"],
            units=0 if depthwise else values["units"],
            weight=values["weight"],
            activation=values["activation"],
            kernel=values["kernel"],
            stride=values["stride"],
            pool=values["pool"],
            residual=values["residual"],
            concat=tuple(int(block_of[source]) for source in concat),
        )


def all_codes(space: SearchSpace, batch: int = 4096) -> Iterator[Codes]:
    """Every canonical code of a space once, in batches of at most ``batch`` raw codes; for small spaces."""
    total = int(np.prod(space.sizes.astype(object)))
    known: set[bytes] = set()
    for start in range(0, total, batch):
        numbers = np.arange(start, min(start + batch, total))
        raw = np.stack(np.unravel_index(numbers, tuple(space.sizes)), axis=1).astype(np.int64)
        fresh = []
        for code in space.canonical(raw):
            key = code.tobytes()
            if key not in known:
                known.add(key)
                fresh.append(code)
        if fresh:
            yield np.array(fresh)


def list_spaces() -> list[str]:
    """Names of the shipped spaces, variants as ``name+variant``."""
    names = []
    for path in sorted(PRESETS.glob("*.yaml")):
        names.append(path.stem)
        names += [f"{path.stem}+{variant}" for variant in read_space_file(path).variants]
    return names


def load_space(name_or_path: str, task: Task | None = None) -> SearchSpace:
    """A shipped space by name, or a user's ``.yaml`` file; either may end in ``+variant``.

    With ``task``, checks that the space suits it. Raises InputError.
    """
    base, _, variant = name_or_path.partition("+")
    if base.endswith((".yaml", ".yml")):
        path = Path(base)
    else:
        path = PRESETS / f"{base}.yaml"
        if base not in {p.stem for p in PRESETS.glob("*.yaml")}:
            raise unknown_name("search space", name_or_path, list_spaces())
    space = SearchSpace(read_space_file(path, variant or None))
    if task is not None and len(task.input_shape) != 3 and any(g.kinds != ("dense",) for g in space.file.groups):
        raise InputError(
            f"space {space.name} has convolutions and needs images, the data set has inputs of shape "
            f"{task.input_shape}: take a space of dense layers such as mlp-tiny"
        )
    return space
