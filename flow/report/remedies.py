"""What a network that is given would fit if something else changed: one limit, one layer's bits, or the board."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flow.board import Board, list_boards, load_board
from flow.errors import InputError
from flow.estimate.predict import Prediction
from flow.estimate.table import table_of
from flow.implement.diagnose import changes_for
from flow.implement.solver import attempt
from flow.network.narrow import with_weight_bits
from flow.network.network import Network
from flow.spec import Spec, make_spec

CLOCK_STEPS = (1.0, 1.01, 1.02, 1.05)
"""A board makes clocks at most as fast as asked for: so much more is asked for to get one that is fast enough."""
RESOURCES = {"LUT": "lut", "FF": "ff", "BRAM18": "bram18", "URAM": "uram", "DSP": "dsp"}
"""Resources by the solver's name of a reason."""
OTHERS = ("LUT", "FF", "BRAM18", "DSP")


@dataclass(frozen=True)
class Remedy:
    """One change that is enough on its own.

    ``what``: a limit (LUT, FPS, LATENCY, CLOCK, DSP, ...), "bits" of ``layer``, "board" or "bound"; ``value``: its new
    value; ``times``: how much looser a limit is; ``text``: all that, for people.
    """

    what: str
    value: float | str
    text: str
    times: float | None = None
    layer: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"what": self.what, "value": self.value, "times": self.times, "layer": self.layer, "text": self.text}


def as_option(cure: Mapping[str, Any], options: Mapping[str, str]) -> str:
    """A remedy's text with the command's own option for a limit, ``--lut 9000`` and not ``LUT=9000``."""
    text, option = str(cure["text"]), options.get(str(cure["what"]))
    return text if option is None else text.replace(f"{cure['what']}=", f"{option} ", 1)


@dataclass(frozen=True)
class Asked:
    """The limits a user named, None where none was: what other boards are tried with."""

    lut: float | None = None
    fps: float | None = None
    latency_us: float | None = None
    clock_mhz: float | None = None
    bound: str = "upper"

    def spec(self, board: Board) -> Spec:
        """The spec on the board the user named. Raises InputError for limits it can't meet."""
        return make_spec(
            board, lut=self.lut, fps=self.fps, latency_us=self.latency_us, clock_mhz=self.clock_mhz, bound=self.bound
        )

    def spec_elsewhere(self, board: Board) -> Spec:
        """The spec on another board: its own budget and clock where those that were named are beyond it."""
        available, lut, clock = board.available.lut, self.lut, self.clock_mhz
        if lut is not None and available is not None and lut > available:
            lut = None
        if clock is not None:
            try:
                board.resolve_clock(clock)
            except InputError:
                clock = None
        return replace(self, lut=lut, clock_mhz=clock).spec(board)


@dataclass(frozen=True)
class Elsewhere:
    """Whether a network fits another board, and if not why. ``lut``: all there are."""

    board: str
    lut: float | None
    fits: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"board": self.board, "lut_capacity": self.lut, "fits": self.fits, "sentence": self.sentence}


def other_boards(network: Network, board: Board, asked: Asked) -> tuple[Elsewhere, ...]:
    """All other shipped boards with the same kind of tool chain, by their LUTs, the smallest first.

    What is predicted is what a vendor's HLS makes: a board of an open tool chain is only compared with such boards.
    """
    found = []
    for name in list_boards():
        other = load_board(name)
        if other.name == board.name or (other.toolchain.name == "open") != (board.toolchain.name == "open"):
            continue
        try:
            sentence = attempt(network, asked.spec_elsewhere(other), other.family).sentence
        except InputError as error:
            sentence = str(error)
        found.append(Elsewhere(other.name, other.capacity.lut, not sentence, sentence))
    return tuple(sorted(found, key=lambda e: (e.lut or 0, e.board)))


def remedies(
    network: Network, prediction: Prediction, reason: str, board: Board, spec: Spec, boards: Sequence[Elsewhere] = ()
) -> tuple[Remedy, ...]:
    """What would make a network fit that ``reason`` (of ``flow.implement.solver.REASONS``) keeps from it.

    The smallest change of a limit first, then a layer's bits, the smallest board, and last to trust the middle of the
    interval, which changes nothing about the network.
    """
    found = [*_limits(network, board, spec), *_user_limits(network, board, spec)]
    found.sort(key=lambda r: r.times or 0.0)
    bits = _bits(network, prediction, reason, board, spec)
    if bits is not None:
        found.append(bits)
    fitting = next((b for b in boards if b.fits), None)
    if fitting is not None:
        found.append(Remedy("board", fitting.board, f"board {fitting.board}, the smallest it fits on"))
    if spec.bound == "upper" and not attempt(network, replace(spec, bound="middle"), board.family).reason:
        text = "--bound middle: the predicted amounts fit, only the upper ends of their 90% intervals don't"
        found.append(Remedy("bound", "middle", text))
    return tuple(found)


def _limits(network: Network, board: Board, spec: Spec) -> list[Remedy]:
    """LUT budget, throughput, latency and clock; none that the board doesn't have."""
    found = []
    for change in changes_for(table_of([network]), spec, board.family):
        available = board.available.lut
        if change.knob == "LUT" and available is not None and change.value > available:
            continue
        if change.knob == "CLOCK":
            clock = _real_clock(network, board, spec, change.value)
            if clock is None:
                continue
            asked = math.ceil(clock * 10) / 10
            clock = asked if board.resolve_clock(asked).mhz == clock else clock
            times = clock / spec.clock_mhz
            text = f"CLOCK={clock:.10g} ({times:.3g} times more, if timing closes)"
            found.append(Remedy("CLOCK", clock, text, times))
            continue
        found.append(Remedy(change.knob, change.value, str(change), change.times))
    return found


def _real_clock(network: Network, board: Board, spec: Spec, mhz: float) -> float | None:
    """A clock that the board makes, of at least ``mhz``, with which the network fits."""
    for step in CLOCK_STEPS:
        try:
            made = board.resolve_clock(mhz * step).mhz
        except InputError:
            return None
        if made > spec.clock_mhz and not attempt(network, replace(spec, clock_mhz=made), board.family).reason:
            return made
    return None


def _user_limits(network: Network, board: Board, spec: Spec) -> list[Remedy]:
    """Limits on FF, BRAM18 and DSP that a user set below what the board offers."""
    found = []
    for label in OTHERS[1:]:
        name = RESOURCES[label]
        limit, most = getattr(spec.budget, name), getattr(board.budget, name)
        if limit is None or most is None or limit >= most:
            continue
        value = _least_limit(network, board, spec, name, int(limit), int(most))
        if value is not None:
            times = value / limit if limit > 0 else None
            more = "none now" if times is None else f"{times:.3g} times more"
            found.append(Remedy(label, value, f"{label}={value:,} ({more})", times))
    return found


def _least_limit(network: Network, board: Board, spec: Spec, name: str, low: int, high: int) -> int | None:
    """The least limit on one resource, above ``low``, with which the network fits; None if ``high`` is too little."""

    def fits(limit: int) -> bool:
        wanted = replace(spec, budget=replace(spec.budget, **{name: limit}))
        return not attempt(network, wanted, board.family).reason

    if not fits(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _bits(network: Network, prediction: Prediction, reason: str, board: Board, spec: Spec) -> Remedy | None:
    """The most bits for the weights of the layer that takes most of what is short, with which the network fits."""
    label = RESOURCES.get(reason, "lut" if reason == "limits together" else "")
    by_name = {layer.name: layer for layer in network}
    narrow = [
        layer for layer in prediction.layers
        if (known := by_name.get(layer.name)) is not None
        and known.weight is not None
        and known.weight.kind == "fixed"
    ]  # fmt: skip
    if not label or not narrow:
        return None
    largest = max(narrow, key=lambda layer: getattr(layer.resources, label) or 0)
    weight = by_name[largest.name].weight
    assert weight is not None
    for bits in range(weight.width - 1, 1, -1):
        try:
            changed = with_weight_bits(network, largest.name, bits)
        except InputError:
            return None
        if not attempt(changed, spec, board.family).reason:
            text = f"weights of {bits} bits instead of {weight.width} in {largest.name}, trained again"
            return Remedy("bits", bits, text, None, largest.name)
    return None
