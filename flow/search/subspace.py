"""Subspace: a search space in which some decisions have been taken; and which decisions are about bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flow.network.fixed import FixedFormat, WeightFormat
from flow.space.candidate import Candidate
from flow.space.space import Codes, Decision, SearchSpace, Task

FORMATS = ("weight", "activation")


class Subspace(SearchSpace):
    """``whole`` with the decisions ``taken`` (column -> option index) left without a choice.

    Its codes have the columns of ``whole``; those of decisions taken are 0. ``full`` gives the codes of ``whole``.
    """

    def __init__(self, whole: SearchSpace, taken: Mapping[int, int]) -> None:
        self.whole, self.taken = whole, dict(taken)
        self.file, self.name = whole.file, whole.name
        self.repeat_columns, self.positions = whole.repeat_columns, whole.positions
        self.head_column, self.output_column = whole.head_column, whole.output_column
        self.decisions = [
            Decision(d.name, (d.options[taken[i]],), d.ordered) if i in taken else d
            for i, d in enumerate(whole.decisions)
        ]
        self.sizes = np.array([len(d.options) for d in self.decisions], dtype=np.int64)
        self._columns = np.array(list(taken), dtype=np.int64)
        self._values = np.array(list(taken.values()), dtype=np.int64)

    @property
    def size(self) -> int:
        """Number of codes at most; those that are equal but for what is absent count more than once."""
        return int(np.prod(self.sizes.astype(object)))

    def full(self, codes: Codes) -> Codes:
        """The codes of ``whole``, canonical; shape (n, decisions)."""
        codes = codes.copy()
        codes[:, self._columns] = self._values
        return self.whole.canonical(codes)

    def canonical(self, codes: Codes) -> Codes:
        """See ``SearchSpace.canonical``."""
        codes = self.full(codes)
        codes[:, self._columns] = 0
        return codes

    def candidate(self, code: Codes, task: Task) -> Candidate:
        """See ``SearchSpace.candidate``."""
        return self.whole.candidate(self.full(code[None, :])[0], task)


def bit_columns(space: SearchSpace) -> list[int]:
    """The decisions about formats of weights and activations; all others are about the architecture."""
    return [i for i, d in enumerate(space.decisions) if any(part in FORMATS for part in d.name.split("."))]


def architectures(space: SearchSpace, richest: bool) -> Subspace:
    """The space with every format the ``richest`` there is, or the leanest: only the architecture is open."""
    choose = max if richest else min
    taken = {}
    for column in bit_columns(space):
        bits = [bits_of(option) for option in space.decisions[column].options]
        # A format of no bits at all is no choice: the leanest of several fractions is one bit, not none.
        taken[column] = choose(range(len(bits)), key=lambda i: bits[i] or (0 if richest else np.inf))
    return Subspace(space, taken)


def formats_of(space: SearchSpace, code: Codes) -> Subspace:
    """The space with the architecture of ``code`` (of ``space``, shape (decisions,)): only the formats are open."""
    bits = set(bit_columns(space))
    return Subspace(space, {i: int(v) for i, v in enumerate(code) if i not in bits})


def bits_of(option: Any) -> int:
    """How many bits an option of a decision about formats stands for."""
    return option.width if isinstance(option, FixedFormat | WeightFormat) else int(option)
