"""Networks and designs of the reference paper: layers, and the tiles and groups that run them on an FPGA."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from flow.errors import InputError

Bits = tuple[int, int]
"""(integer, fraction) bits of a fixed-point number; the sign bit of a weight counts as an integer bit."""

Tile = tuple[int, int]
"""(Tn, Tm): input and output channels that are computed at once, with Tn * Tm multipliers."""

_LAYER = re.compile(r"(\d+)x(\d+)-(\d+)-(?:pool)?(\d+)(?:-s(\d+)x(\d+))? a(\d+)\.(\d+) w(\d+)\.(\d+)")
_TILE = re.compile(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)")


@dataclass(frozen=True)
class PaperLayer:
    """A convolution ("same" padding), its quantizer, ReLU and max pooling; or a dense layer.

    ``kernel`` and ``stride`` are (height, width), ``pool`` the size and stride of the pooling, 1 for none.
    ``activation`` is the format of what the layer gives out, unsigned. ``concat`` names earlier layers whose outputs
    are concatenated to the input. Raises InputError for sizes below 1 and negative bits.
    """

    kernel: tuple[int, int]
    filters: int
    activation: Bits
    weight: Bits
    pool: int = 1
    stride: tuple[int, int] = (1, 1)
    concat: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if min(*self.kernel, self.filters, self.pool, *self.stride) < 1:
            raise InputError(f"layer {self}: kernel, filters, pool and stride must be at least 1")
        if min(*self.activation, *self.weight) < 0:
            raise InputError(f"layer {self}: bits must not be negative")

    def __str__(self) -> str:
        kernel, stride = "x".join(map(str, self.kernel)), "x".join(map(str, self.stride))
        bits = " ".join(f"{k}{i}.{f}" for k, (i, f) in (("a", self.activation), ("w", self.weight)))
        return f"{kernel}-{self.filters}-{self.pool}{'' if stride == '1x1' else f'-s{stride}'} {bits}"

    @classmethod
    def parse(cls, text: str) -> PaperLayer:
        """``5x3-48-2 a2.6 w2.6``: kernel HxW, filters, pool, [sHxW stride,] aI.F and wI.F bits. Raises InputError."""
        match = _LAYER.fullmatch(text.strip())
        if match is None:
            raise InputError(f"not a layer of the paper: {text!r}, expected e.g. 5x3-48-2 a2.6 w2.6")
        kh, kw, filters, pool, sh, sw, ai, af, wi, wf = (int(g) if g else 1 for g in match.groups())
        return cls((kh, kw), filters, (ai, af), (wi, wf), pool, (sh, sw))


def dense(units: int, activation: Bits, weight: Bits) -> PaperLayer:
    """A dense layer of ``units`` neurons: a 1x1 convolution of a 1x1 image with all features as channels."""
    return PaperLayer((1, 1), units, activation, weight)


# The paper leaves FC 256 and FC 10 in floating point; 8 bits are what space/presets/paper-iccad19.yaml gives them.
# The logits are billed with the format of the hidden layer.
DENSE = (dense(256, (3, 5), (1, 7)), dense(10, (3, 5), (1, 7)))
"""The dense layers of the paper's child networks, in 8 bits."""

INPUT_BITS: Bits = (1, 6)
"""What the paper bills the first layer's input as."""


@dataclass(frozen=True)
class PaperNetwork:
    """A network of the paper's space: convolutions, then dense layers. ``input_shape`` is (height, width, channels).

    Raises InputError without layers or with a ``concat`` of a layer that is not before.
    """

    layers: tuple[PaperLayer, ...]
    input_shape: tuple[int, int, int] = (32, 32, 3)
    input_bits: Bits = INPUT_BITS
    dense: tuple[PaperLayer, ...] = DENSE

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("a network of the paper has at least one convolution")
        if min(self.input_shape) < 1 or min(self.input_bits) < 0:
            raise InputError(f"bad input {self.input_shape} of {self.input_bits} bits")
        for number, layer in enumerate(self.layers):
            if any(not 0 <= source < number for source in layer.concat):
                raise InputError(f"layer {number + 1}: concat {layer.concat} names a layer that is not before it")

    def __str__(self) -> str:
        return "; ".join(map(str, self.layers))

    @classmethod
    def parse(cls, text: str) -> PaperNetwork:
        """Layers in the form of :meth:`PaperLayer.parse`, separated by semicolons. Raises InputError."""
        return cls(tuple(PaperLayer.parse(part) for part in text.split(";")))


@dataclass(frozen=True)
class PaperDesign:
    """A network with a tile for each layer and the group each layer is in (0, 0, 1, ...; consecutive).

    The layers of a group are on the fabric together; the groups take turns. The dense layers have tiles and groups
    too, or none of them has. Raises InputError if tiles and groups do not suit the layers.
    """

    network: PaperNetwork
    tiles: tuple[Tile, ...]
    groups: tuple[int, ...]

    def __post_init__(self) -> None:
        few = len(self.network.layers)
        if len(self.tiles) not in (few, few + len(self.network.dense)) or len(self.groups) != len(self.tiles):
            raise InputError(f"a network of {few} convolutions with {len(self.tiles)} tiles, {len(self.groups)} groups")
        if min(min(tile) for tile in self.tiles) < 1:
            raise InputError(f"tiles must be at least 1: {self.tiles}")
        if self.groups[0] != 0 or any(b - a not in (0, 1) for a, b in pairwise(self.groups)):
            raise InputError(f"groups must count up from 0 without gaps: {self.groups}")

    @property
    def layers(self) -> tuple[PaperLayer, ...]:
        """The layers that have tiles."""
        return (self.network.layers + self.network.dense)[: len(self.tiles)]

    @property
    def tiling(self) -> str:
        """Tiles and groups as the paper's logs are written: ``(3,48)(12,48)|(16,36)``."""
        return tiling_text(self.tiles, self.groups)

    @classmethod
    def parse(cls, network: str, tiling: str) -> PaperDesign:
        """The design of two texts, see :meth:`PaperNetwork.parse` and :attr:`tiling`. Raises InputError."""
        tiles: list[Tile] = []
        groups: list[int] = []
        for number, part in enumerate(tiling.split("|")):
            found = _TILE.findall(part)
            if not found or _TILE.sub("", part).strip():
                raise InputError(f"not tiles of the paper: {tiling!r}, expected e.g. (3,48)(12,48)|(16,36)")
            tiles += [(int(tn), int(tm)) for tn, tm in found]
            groups += [number] * len(found)
        return cls(PaperNetwork.parse(network), tuple(tiles), tuple(groups))


def tiling_text(tiles: Sequence[Tile], groups: Sequence[int]) -> str:
    """See :attr:`PaperDesign.tiling`."""
    parts = [f"({tn},{tm})" for tn, tm in tiles]
    bars = ["|" if b > a else "" for a, b in pairwise(groups)]
    return parts[0] + "".join(bar + part for bar, part in zip(bars, parts[1:], strict=True))
