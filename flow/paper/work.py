"""From choices to work: channels, cycles and formats of the layers of many networks, as columns.

``Choices`` is what a network chooses; ``Work`` is all that the hardware model asks about a layer. Both hold int64
arrays of shape (networks, layers), so that one network and a million go the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.network import InvalidCandidate
from flow.paper.design import DENSE, INPUT_BITS, Bits, PaperLayer, PaperNetwork
from flow.paper.multipliers import MAX_BITS, PUBLISHED, SYMMETRIC

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Choices:
    """The convolutions of networks of one depth.

    ``concat[n, i, j]``, (networks, layers, layers): the output of layer j is joined to the input of layer i. Input
    and dense layers are the same for all. Bits are those of ``PaperLayer``.
    """

    kernel_h: Ints
    kernel_w: Ints
    filters: Ints
    pool: Ints
    stride_h: Ints
    stride_w: Ints
    act_int: Ints
    act_frac: Ints
    weight_int: Ints
    weight_frac: Ints
    _: KW_ONLY
    concat: Mask
    input_shape: tuple[int, int, int] = (32, 32, 3)
    input_bits: Bits = INPUT_BITS
    dense: tuple[PaperLayer, ...] = DENSE

    def __len__(self) -> int:
        return len(self.filters)

    @property
    def no_bits(self) -> Mask:
        """Which networks have a layer whose weights or activations are 0 bits wide: they compute nothing."""
        empty = (self.act_int + self.act_frac == 0) | (self.weight_int + self.weight_frac == 0)
        found: Mask = np.any(empty, axis=1)
        return found


@dataclass(frozen=True, eq=False)
class Work:
    """What the layers ask of the hardware; see the module. Dense layers come last, where they are counted.

    ``cycles`` are those of one tile step: a layer takes ceil(N/Tn) * ceil(M/Tm) times as many. ``multiplier`` is in
    LUTs; a product has ``product_int`` and ``product_frac`` bits, an output ``out_int`` and ``out_frac``.
    ``mismatch`` (networks,): images of different sizes are concatenated.
    """

    inputs: Ints
    outputs: Ints
    cycles: Ints
    multiplier: Ints
    product_int: Ints
    product_frac: Ints
    out_int: Ints
    out_frac: Ints
    _: KW_ONLY
    mismatch: Mask

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def depth(self) -> int:
        """Layers of each network."""
        return int(self.inputs.shape[1])

    def rows(self, chosen: slice | Ints | Mask) -> Work:
        """The given networks."""
        columns = [getattr(self, f.name)[chosen] for f in fields(self) if not f.kw_only]
        return Work(*columns, mismatch=self.mismatch[chosen])


def choices_of(networks: Sequence[PaperNetwork]) -> Choices:
    """Networks as columns. Raises InputError if they differ in depth, input or dense layers, or there is none."""
    if not networks:
        raise InputError("no network given")
    first = networks[0]
    shared = (len(first.layers), first.input_shape, first.input_bits, first.dense)
    if any((len(n.layers), n.input_shape, n.input_bits, n.dense) != shared for n in networks):
        raise InputError("networks in one batch must have the same depth, input and dense layers")
    rows = [
        [(*la.kernel, la.filters, la.pool, *la.stride, *la.activation, *la.weight) for la in n.layers] for n in networks
    ]
    data = np.array(rows, dtype=np.int64)
    concat = np.zeros((*data.shape[:2], data.shape[1]), dtype=bool)
    for number, network in enumerate(networks):
        for place, layer in enumerate(network.layers):
            concat[number, place, list(layer.concat)] = True
    columns = [np.ascontiguousarray(data[:, :, i]) for i in range(data.shape[2])]
    return Choices(
        *columns,
        concat=concat,
        input_shape=first.input_shape,
        input_bits=first.input_bits,
        dense=first.dense,
    )


def work_of(choices: Choices, total_bits: bool, image_rows: bool, dense: bool) -> Work:
    """The work of networks; the flags are those of ``HardwareModel``. Raises InputError for operands over 14 bits.

    Channels concatenate and the widest format is taken; see arXiv:1911.00105 for the rest.
    """
    return _Builder(choices, total_bits, image_rows).build(dense)


def checked_work(choices: Choices, work: Work) -> Work:
    """``work``, all of it valid. Raises InvalidCandidate if images of different sizes are concatenated."""
    if work.mismatch.any():
        number = int(np.flatnonzero(work.mismatch)[0])
        raise InvalidCandidate("skip shape", f"network {number + 1}: concatenated images differ in size")
    return work


class _Builder:
    def __init__(self, choices: Choices, total_bits: bool, image_rows: bool) -> None:
        self.choices, self.total_bits, self.image_rows = choices, total_bits, image_rows
        self.columns: list[list[Ints]] = []
        self.mismatch = np.zeros(len(choices), dtype=bool)

    def build(self, dense: bool) -> Work:
        c = self.choices
        height, width, channels, act_int, act_frac = (
            np.full(len(c), value, dtype=np.int64) for value in (*c.input_shape, *c.input_bits)
        )
        outputs: list[tuple[Ints, ...]] = []
        for place in range(c.filters.shape[1]):
            for source in range(place - 1):  # the layer just before is the input anyway
                channels, act_int, act_frac = self.join(
                    c.concat[:, place, source], outputs[source], height, width, channels, act_int, act_frac
                )
            out_h, pad_h = same(height, c.kernel_h[:, place], c.stride_h[:, place])
            out_w, pad_w = same(width, c.kernel_w[:, place], c.stride_w[:, place])
            rows = height + pad_h if self.image_rows else channels
            steps = rows * (width + pad_w) * c.kernel_w[:, place] * c.kernel_h[:, place]
            weight = c.weight_int[:, place], c.weight_frac[:, place]
            out = c.act_int[:, place], c.act_frac[:, place]
            self.layer(channels, c.filters[:, place], steps, (act_int, act_frac), weight, out)
            pool = c.pool[:, place]
            height, width, channels = -(-out_h // pool), -(-out_w // pool), c.filters[:, place]
            act_int, act_frac = out
            outputs.append((height, width, channels, act_int, act_frac))
        if dense:
            features = height * width * channels
            for layer in c.dense:
                units, wi, wf, oi, of = (
                    np.full(len(c), v, dtype=np.int64) for v in (layer.filters, *layer.weight, *layer.activation)
                )
                self.layer(features, units, np.ones_like(features), (act_int, act_frac), (wi, wf), (oi, of))
                features, act_int, act_frac = units, oi, of
        columns = [np.stack(column, axis=1) for column in zip(*self.columns, strict=True)]
        return Work(*columns, mismatch=self.mismatch)

    def join(
        self, joined: Mask, source: tuple[Ints, ...], height: Ints, width: Ints, *stream: Ints
    ) -> tuple[Ints, Ints, Ints]:
        channels, act_int, act_frac = stream
        self.mismatch |= joined & ((source[0] != height) | (source[1] != width))
        return (
            np.where(joined, channels + source[2], channels),
            np.where(joined, np.maximum(act_int, source[3]), act_int),
            np.where(joined, np.maximum(act_frac, source[4]), act_frac),
        )

    def layer(
        self, inputs: Ints, outputs: Ints, cycles: Ints, act: tuple[Ints, Ints], weight: tuple[Ints, Ints],
        out: tuple[Ints, Ints],
    ) -> None:  # fmt: skip
        (ai, af), (wi, wf) = act, weight
        multiplier = self.multiplier(ai + af if self.total_bits else ai, wi + wf)
        self.columns.append([inputs, outputs, cycles, multiplier, ai + wi, af + wf, *out])

    def multiplier(self, activation: Ints, weight: Ints) -> Ints:
        widest = int(max(activation.max(), weight.max()))
        if widest > MAX_BITS:
            raise InputError(f"an operand of {widest} bits: the paper's table of multipliers ends at {MAX_BITS}")
        return (SYMMETRIC if self.total_bits else PUBLISHED)[activation, weight]


def same(size: Ints, kernel: Ints, stride: Ints) -> tuple[Ints, Ints]:
    """Output size and padding (both sides together) of "same" padding along one axis, in pixels."""
    output = (size + stride - 1) // stride
    return output, np.maximum(0, (output - 1) * stride + kernel - size)
