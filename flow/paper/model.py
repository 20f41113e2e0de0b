"""The hardware model of the reference paper (LUTs and cycles at 100 MHz), as its results were made and corrected.

Both flavours are values of one type, ``HardwareModel``. What they say is a prediction: the paper synthesized nothing.
Source of all formulas: arXiv:1911.00105 and the published code of its authors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flow.errors import InputError, unknown_name
from flow.paper.design import PaperDesign, PaperNetwork
from flow.paper.work import Choices, Ints, Work, checked_work, choices_of, work_of
from flow.resources import Measurement, Resources

CLOCK_MHZ = 100.0
"""The clock of the paper's model; it is assumed, not reached by a tool."""


@dataclass(frozen=True)
class HardwareModel:
    """How layers become LUTs and cycles.

    ``total_bits``: a multiplier is looked up by all bits of both operands in the symmetric table; else, as the paper
    did, by the integer bits of the activation in a table whose lower triangle is zero. ``image_rows``: a layer runs
    over height + padding rows; else over as many as it has input channels, as the paper did. ``resident``: all layers
    are on the fabric together and LUTs add; else the groups take turns and nothing is charged for it, as the paper
    did. ``dense``: dense layers count; in the paper they are free.
    """

    name: str
    total_bits: bool
    image_rows: bool
    resident: bool = False
    dense: bool = False

    @property
    def label(self) -> str:
        """Name and options, for people."""
        options = (("resident", self.resident), ("dense layers counted", self.dense))
        return ", ".join([self.name, *(text for text, chosen in options if chosen)])

    def work(self, networks: Sequence[PaperNetwork]) -> Work:
        """The work of networks of one depth. Raises InputError, and InvalidCandidate for skips between image sizes."""
        choices = choices_of(networks)
        return checked_work(choices, self.work_of(choices))

    def work_of(self, choices: Choices) -> Work:
        """The work of choices; ``mismatch`` of the result marks those that are no valid network."""
        return work_of(choices, self.total_bits, self.image_rows, self.dense)

    def with_options(self, resident: bool | None = None, dense: bool | None = None) -> HardwareModel:
        """This flavour with layers resident or not, dense layers counted or not; None leaves it as it is."""
        return replace(
            self,
            resident=self.resident if resident is None else resident,
            dense=self.dense if dense is None else dense,
        )


PAPER = HardwareModel("paper", total_bits=False, image_rows=False)
"""All defects included: gives the numbers the paper's search saw."""

CORRECTED = HardwareModel("corrected", total_bits=True, image_rows=True)
"""Multipliers and rows as they were meant to be. Groups still take turns for free and dense layers do too: options."""

MODELS = {model.name: model for model in (PAPER, CORRECTED)}


def hardware_model(name: str) -> HardwareModel:
    """A flavour by name. Raises InputError."""
    if name not in MODELS:
        raise unknown_name("hardware model", name, MODELS)
    return MODELS[name]


@dataclass(frozen=True)
class Limits:
    """What a design must meet: at most ``lut`` LUTs, more than ``throughput_per_s`` images a second (0: any)."""

    lut: int
    throughput_per_s: float = 0.0

    def __post_init__(self) -> None:
        if not (self.lut >= 1 and 0 <= self.throughput_per_s < CLOCK_MHZ * 1e6):
            raise InputError(f"limits: at least 1 LUT, and 0 to {CLOCK_MHZ * 1e6:g} images/s, not {self}")

    @property
    def max_cycles(self) -> int | None:
        """The most cycles an image may take; None for any number."""
        if self.throughput_per_s == 0:
            return None
        cycles = math.ceil(CLOCK_MHZ * 1e6 / self.throughput_per_s)
        while CLOCK_MHZ * 1e6 / cycles <= self.throughput_per_s:
            cycles -= 1
        return cycles


@dataclass(frozen=True)
class Evaluation:
    """LUTs and cycles by layer and by group. Under a ``resident`` model there is one group."""

    model: HardwareModel
    luts: tuple[int, ...]
    cycles_by_layer: tuple[int, ...]
    group_luts: tuple[int, ...]
    group_cycles: tuple[int, ...]

    @property
    def lut(self) -> int:
        """LUTs the design needs: those of its largest group."""
        return max(self.group_luts)

    @property
    def lut_resident(self) -> int:
        """LUTs of all layers together."""
        return sum(self.luts)

    @property
    def cycles(self) -> int:
        """Cycles from one image to the next: the groups take turns, the layers of a group overlap."""
        return sum(self.group_cycles)

    @property
    def throughput_per_s(self) -> float:
        """Images a second at 100 MHz."""
        return CLOCK_MHZ * 1e6 / self.cycles

    def meets(self, limits: Limits) -> bool:
        """Whether the design is valid under ``limits``, as the paper has it."""
        return self.lut <= limits.lut and self.throughput_per_s > limits.throughput_per_s

    def measurement(self, part: str = "") -> Measurement:
        """As a prediction in the form of every other; what the model is silent about stays unknown."""
        return Measurement(
            source="predicted",
            tool=f"hardware model of arXiv:1911.00105, {self.model.label}",
            version="1",
            part=part,
            clock_mhz=CLOCK_MHZ,
            resources=Resources(lut=self.lut),
            interval_cycles=self.cycles,
            note="LUTs only, no memory, no control; the clock is assumed",
        )


def evaluate(design: PaperDesign, model: HardwareModel) -> Evaluation:
    """LUTs and cycles of a design.

    Raises InputError if a tile exceeds its layer's channels, or ``model`` counts dense layers and they have no tiles.
    """
    network = design.network
    counted = len(network.layers) + (len(network.dense) if model.dense else 0)
    if len(design.tiles) < counted:
        raise InputError(f"the design has tiles for {len(design.tiles)} layers and {counted} count: see add_dense")
    work = model.work([network])
    tn, tm = np.array(design.tiles[:counted], dtype=np.int64).T
    wide = np.flatnonzero((tn > work.inputs[0]) | (tm > work.outputs[0]))
    if len(wide):
        layer = int(wide[0])
        has = f"({work.inputs[0, layer]},{work.outputs[0, layer]}) channels"
        raise InputError(f"layer {layer + 1}: tile ({tn[layer]},{tm[layer]}) exceeds its {has}")
    luts = layer_luts(work, tn[None], tm[None])[0]
    cycles = steps(work.inputs, work.outputs, tn, tm)[0] * work.cycles[0]
    groups = np.zeros(counted, dtype=np.int64) if model.resident else np.array(design.groups[:counted])
    starts = np.searchsorted(groups, np.arange(groups[-1] + 1))
    return Evaluation(
        model=model,
        luts=tuple(luts.tolist()),
        cycles_by_layer=tuple(cycles.tolist()),
        group_luts=tuple(np.add.reduceat(luts, starts).tolist()),
        group_cycles=tuple(np.maximum.reduceat(cycles, starts).tolist()),
    )


def steps(inputs: Ints, outputs: Ints, tn: Ints, tm: Ints) -> Ints:
    """Steps of tiles that cover all channels: ceil(N/Tn) * ceil(M/Tm)."""
    return -(-inputs // tn) * -(-outputs // tm)


def layer_luts(work: Work, tn: Ints, tm: Ints) -> Ints:
    """LUTs of layers of ``work`` with the given tiles, all of shape (networks, layers)."""
    extra, levels = adder_tree(tn)
    formats = work.product_int, work.product_frac, work.out_int, work.out_frac
    return tm * (tn * work.multiplier + lane_luts(tn, extra, levels, *formats))


def adder_tree(products: Ints) -> tuple[Ints, Ints]:
    """Growth and depth of a tree that adds products pairwise, an odd one passed on.

    A tree of n products w bits wide has n - 1 adders, those of level k with w + k LUTs: (n - 1) * w plus the first
    result. The second is the number of levels.
    """
    n = np.array(products, dtype=np.int64)
    extra, levels = np.zeros_like(n), np.zeros_like(n)
    while np.any(n > 1):
        extra += n // 2 * levels
        levels += n > 1
        n = -(-n // 2)
    return extra, levels


def lane_luts(
    tn: Ints, extra: Ints, levels: Ints, product_int: Ints, product_frac: Ints, out_int: Ints, out_frac: Ints
) -> Ints:
    """LUTs behind the multipliers of one output channel: adder tree, accumulator, rounding to the output's format."""
    tree = (tn - 1) * (product_int + product_frac) + extra
    integer = np.maximum(product_int + levels, out_int)
    fraction = np.maximum(product_frac, out_frac)
    accumulator = integer + fraction
    integer = integer + 1
    # From here on integer > out_int and fraction >= out_frac: the wider format is always the accumulator's.
    cut_int, cut_frac = integer - out_int, fraction - out_frac
    truncation = 3 + (integer - 3) + (fraction - 2) - (cut_int > 1) - cut_frac
    truncation = truncation - ((cut_int == integer - 1) & (cut_frac == fraction - 1))
    result: Ints = tree + accumulator + np.where((integer < 3) | (fraction < 2), 0, truncation)
    return result
