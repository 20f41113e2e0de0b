"""LayerTable: the layers of many networks as columns, one row a layer, so that rules and models run vectorised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.network.network import Layer, Network

OPS = ("dense", "conv2d", "depthwise", "activation", "maxpool", "global_avgpool", "flatten", "add", "concat")
OP_CODE = {name: code for code, name in enumerate(OPS)}
EXTRA_OPS = ("softmax", "table_activation", "batchnorm", "padding", "linear")
"""Modules of hls4ml projects that no candidate has; their codes follow those of ``OPS``."""
KIND_CODE = {**OP_CODE, **{name: len(OPS) + i for i, name in enumerate(EXTRA_OPS)}}
ALIKE = {"avgpool": "maxpool", "global_maxpool": "global_avgpool"}
"""Operations estimated as another one of the same windows, line buffers and adders (for comparisons)."""
WEIGHT_KINDS = ("none", "fixed", "binary", "ternary")
WEIGHT_CODE = {name: code for code, name in enumerate(WEIGHT_KINDS)}

Column = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LayerTable:
    """Columns of equal length, int64. Rows are sorted by ``network`` (0 to ``networks`` - 1), then by layer order.

    Vectors have height and width 1. ``out_width`` is the width of the exact result: for weight layers of the
    accumulator. ``inputs`` is how many layers feed this one. Columns that do not apply hold 0.
    """

    networks: int
    network: Column
    op: Column
    in_h: Column
    in_w: Column
    in_c: Column
    out_h: Column
    out_w: Column
    out_c: Column
    kernel_h: Column
    kernel_w: Column
    stride_h: Column
    stride_w: Column
    fan_in: Column
    inputs: Column
    x_width: Column
    x_signed: Column
    w_kind: Column
    w_width: Column
    bias_width: Column
    out_width: Column

    def __len__(self) -> int:
        return len(self.network)

    @property
    def positions(self) -> Column:
        """Output positions of each layer."""
        return self.out_h * self.out_w

    @property
    def is_weight(self) -> NDArray[np.bool_]:
        """Which rows are dense, conv2d or depthwise layers."""
        return self.op <= OP_CODE["depthwise"]

    @property
    def macs(self) -> Column:
        """Multiply-accumulates of each layer in one inference."""
        return self.fan_in * self.positions * self.out_c

    def select(self, rows: NDArray[np.bool_] | Column) -> LayerTable:
        """The given rows, the numbering of networks unchanged."""
        return LayerTable(self.networks, *(getattr(self, name)[rows] for name in COLUMNS))

    def per_network(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of ``values`` (one a row) for each network."""
        return group_sums(values, self.network, self.networks)

    def distinct(self, mark: NDArray[np.bool_]) -> tuple[Column, Column]:
        """Rows that differ in any column but ``network``, or in ``mark`` (one a row): ``(first, which)``.

        ``first`` are the indices of one row of each kind, ``which`` says for each row the place of its kind in it.
        """
        columns = [getattr(self, name) for name in COLUMNS[1:]] + [mark.astype(np.int64)]
        key = np.zeros(len(self), dtype=np.uint64)
        for column, factor in zip(columns, _MIX, strict=True):
            key += column.view(np.uint64) * factor
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        twin = first[which]
        if any(not np.array_equal(column, column[twin]) for column in columns):  # two kinds met in one 64-bit key
            _, first, which = np.unique(np.stack(columns), axis=1, return_index=True, return_inverse=True)
        return first, which.reshape(-1)

    @classmethod
    def from_columns(cls, networks: int, columns: dict[str, NDArray[np.int64]]) -> LayerTable:
        """A table of given columns, its rows put in the order of the networks (stable)."""
        order = np.argsort(columns["network"], kind="stable")
        return cls(networks, *(columns[name][order] for name in COLUMNS))


COLUMNS = tuple(f.name for f in fields(LayerTable) if f.name != "networks")


@dataclass(frozen=True, eq=False)
class KnownTable(LayerTable):
    """A table with what is known of weights, NaN where nothing is: see ``flow.network.network.WeightStatistics``."""

    density: NDArray[np.float64]
    hard: NDArray[np.float64]
    digits: NDArray[np.float64]

    def select(self, rows: NDArray[np.bool_] | Column) -> KnownTable:
        """See ``LayerTable.select``."""
        return KnownTable(self.networks, *(getattr(self, name)[rows] for name in (*COLUMNS, *_KNOWN)))

    def distinct(self, mark: NDArray[np.bool_]) -> tuple[Column, Column]:
        """See ``LayerTable.distinct``: every row is of its own kind."""
        rows = np.arange(len(self))
        return rows, rows


_KNOWN = tuple(f.name for f in fields(KnownTable) if f.name not in ("networks", *COLUMNS))
_MIX = np.random.default_rng(0).integers(0, 2**63, len(COLUMNS), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
"""Odd factors that mix the columns of a row into one key; only speed depends on them."""


def group_sums(values: NDArray[np.float64], group: Column, groups: int) -> NDArray[np.float64]:
    """Sum of ``values`` for each group, ``group`` says which each belongs to; added up in their order."""
    # numpy's stubs say that weights make no difference to the type.
    return np.bincount(group, weights=values, minlength=groups)  # type: ignore[return-value]


def table_of(networks: Sequence[Network]) -> LayerTable:
    """The table of ``networks``, in their order; with what is known of their weights, if anything is."""
    rows = [_row(number, layer) for number, network in enumerate(networks) for layer in network]
    data = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
    columns = [np.ascontiguousarray(data[:, i]) for i in range(len(COLUMNS))]
    found = [layer.statistics for network in networks for layer in network]
    if not any(found):
        return LayerTable(len(networks), *columns)
    known = [[math.nan if s is None else getattr(s, name) for s in found] for name in _KNOWN]
    values: list[NDArray[Any]] = [*columns, *(np.array(column, dtype=np.float64) for column in known)]
    return KnownTable(len(networks), *values)


def _row(number: int, layer: Layer) -> Iterable[int]:
    in_h, in_w, in_c = (1, 1, *layer.in_shape)[-3:]
    out_h, out_w, out_c = (1, 1, *layer.out_shape)[-3:]
    weight, bias = layer.weight, layer.bias
    return (
        number, KIND_CODE[ALIKE.get(layer.op, layer.op)], in_h, in_w, in_c, out_h, out_w, out_c, *layer.kernel,
        *layer.stride, layer.fan_in, len(layer.inputs), layer.in_format.width, int(layer.in_format.signed),
        WEIGHT_CODE[weight.kind if weight else "none"], weight.width if weight else 0,
        bias.width if bias else 0, layer.output.width,
    )  # fmt: skip
