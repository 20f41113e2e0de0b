"""When everything happens: cycles an inference, latency, and how deep every buffer must be for that.

Each node alone needs a known number of cycles an inference; in steady state the design needs as many as its slowest
node, if buffers are deep enough that nothing ever waits for room. How deep that is follows from playing the design
with unlimited buffers and an input that arrives evenly at that rate: the most that ever lies in a buffer is enough.
The argument is the one for timed marked graphs: a self-timed run is never later than any other run that respects the
same buffers (Baccelli, Cohen, Olsder and Quadrat, "Synchronization and Linearity", 1992, section 2.5).

Times are clock cycles; the time of a beat is the cycle in which it is handed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flow.network.quantized import QuantizedNetwork
from flow.rtl.adder_graph import graph_stages
from flow.rtl.design import Design, Node, build_design
from flow.rtl.folding import Folding
from flow.rtl.patch import emitted, patch_of, slots_of
from flow.rtl.window import CYCLES_TO_DATA

Times = NDArray[np.int64]

_FRAMES = 4
"""Inferences that are played at first; more, until the last two differ by the interval only."""
_MAX_FRAMES = 64
_WINDOW_CYCLES = 1
"""Latency of ``flow_patch``."""
_FIFO_CYCLES = 2
"""Latency of ``flow_fifo``."""


@dataclass(frozen=True)
class Schedule:
    """Cycles of a design. ``interval``: between inferences in steady state, exact. ``latency``: from the
    first beat of an inference taken to the last of its result given, exact for an input that comes evenly at that
    interval (``spread``); ``least_latency``: the same for an input that comes as fast as it can, exact where no beat
    has to wait for room in a buffer, and never less.

    ``busy``: cycles an inference by node; ``rings``: depth of each node's window buffer in beats; ``fifos``: depth of
    the FIFO before (node, input number), where one is needed.
    """

    interval: int
    least_latency: int
    latency: int
    busy: Mapping[str, int]
    rings: Mapping[str, int]
    fifos: Mapping[tuple[str, int], int]

    @property
    def bottleneck(self) -> str:
        """The node that needs the most cycles."""
        return max(self.busy, key=lambda name: self.busy[name])


def spread(design: Design, interval: int) -> int:
    """Cycles from a beat of the input to the next, for an input that comes evenly at an interval."""
    return max(interval // design.nodes[0].stream.beats, 1)


def schedule(network: QuantizedNetwork, folding: Folding) -> Schedule:
    """The schedule of a network with a folding. Raises InputError if it can't be built."""
    return schedule_design(build_design(network, folding))


def busy_cycles(node: Node, inputs: list[Node]) -> int:
    """Cycles a node alone needs for one inference."""
    beats = max([node.stream.beats, *(source.stream.beats for source in inputs)])
    if node.window is not None:
        return max(beats, node.window.positions * node.window.steps)
    if node.kind == "unrolled":
        return max(beats, _steps(node, inputs))
    return sum(source.stream.beats for source in inputs) if node.kind == "concat" else beats


def schedule_design(design: Design) -> Schedule:
    """The schedule of a design."""
    busy = {node.name: busy_cycles(node, [design.nodes[i] for i in node.inputs]) for node in design.nodes}
    interval = max(busy.values())
    # A FIFO delays what goes through it, which may make another one necessary, so they are added until none is missing.
    fifos: frozenset[tuple[int, int]] = frozenset()
    while True:
        played = _steady(design, interval, fifos)
        missing = played.waited - fifos
        if not missing:
            break
        fifos |= missing
    names = [node.name for node in design.nodes]
    alone = _Play(design, 1, 1, fifos)
    return Schedule(
        interval=interval,
        least_latency=int(alone.out[-1][-1]) + 1,
        latency=int(played.out[-1][design.nodes[-1].stream.beats - 1]) + 1,
        busy=busy,
        rings={names[index]: depth for index, depth in played.rings.items()},
        fifos={(names[node], port): played.depths[node, port] for node, port in sorted(fifos)},
    )


def _steady(design: Design, interval: int, fifos: frozenset[tuple[int, int]]) -> _Play:
    frames = _FRAMES
    while True:
        played = _Play(design, interval, frames, fifos)
        last = [times[-len(times) // frames :] for times in played.out]
        before = [times[-2 * (len(times) // frames) : -(len(times) // frames)] for times in played.out]
        if frames >= _MAX_FRAMES or all((a - b == interval).all() for a, b in zip(last, before, strict=True)):
            return played
        frames *= 2


@dataclass
class _Play:
    """A run of ``frames`` inferences with unlimited buffers, the input evenly spread over ``interval`` cycles each.

    ``out``: when each beat leaves each node; ``rings`` and ``depths``: the most that lies in window buffers and
    before (node, input number); ``waited``: where a beat had to wait without a buffer of the node's own.
    """

    design: Design
    interval: int
    frames: int
    fifos: frozenset[tuple[int, int]]
    out: list[Times] = field(default_factory=list)
    rings: dict[int, int] = field(default_factory=dict)
    depths: dict[tuple[int, int], int] = field(default_factory=dict)
    waited: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        for index, node in enumerate(self.design.nodes):
            arrivals = [
                self.out[source] + (_FIFO_CYCLES if (index, port) in self.fifos else 0)
                for port, source in enumerate(node.inputs)
            ]
            if node.kind == "input":
                beats = np.arange(node.stream.beats * self.frames)
                frame, beat = np.divmod(beats, node.stream.beats)
                apart = spread(self.design, self.interval)
                self.out.append(frame * max(self.interval, node.stream.beats) + beat * apart)
            elif node.window is not None:
                self.out.append(self._window(index, node, arrivals[0]))
            else:
                self.out.append(self._plain(index, node, arrivals))

    def _window(self, index: int, node: Node, arrivals: Times) -> Times:
        window = node.window
        assert window is not None
        frames = np.arange(self.frames)
        needed = (frames[:, None] * window.frame + window.last_needed()).reshape(-1)
        # A beat counts from the cycle after it came.
        start = _one_by_one(arrivals[needed] + 1, window.steps)
        freed = start + window.steps - 1
        amounts = np.cumsum(np.tile(window.freed(), self.frames))
        # Beats still held when each one comes: those freed in an earlier cycle are gone. All count from the base.
        gone = np.concatenate([[0], amounts])[np.searchsorted(freed, arrivals, side="left")]
        held = np.arange(1, len(arrivals) + 1) - gone - window.first_base
        self.rings[index] = max(int(held.max()), window.least_depth)
        cycles = CYCLES_TO_DATA + (node.mac_latency + 1 if node.kind == "mac" else pool_latency(node))
        passes = np.arange(1, window.passes + 1) * window.pass_steps - 1
        return np.asarray((start[:, None] + passes + cycles).reshape(-1), dtype=np.int64)

    def _plain(self, index: int, node: Node, arrivals: list[Times]) -> Times:
        """Nodes that take beats as they come; each of their own steps takes a cycle."""
        uses = [_use_steps(node, port, len(times)) for port, times in enumerate(arrivals)]
        steps = self.frames * _steps(node, [self.design.nodes[i] for i in node.inputs])
        ready = np.zeros(steps, dtype=np.int64)  # padding waits for nothing but the start
        for times, use in zip(arrivals, uses, strict=True):
            np.maximum.at(ready, use, times)
        if node.kind == "narrow":  # takes the next beat while the last part of the one before leaves
            ready[:: node.ratio] += 1
        taken = _one_by_one(ready, 1)
        for port, (times, use) in enumerate(zip(arrivals, uses, strict=True)):
            consumed = taken[use] - (1 if node.kind == "narrow" else 0)
            if (consumed > times).any():
                self.waited |= {(index, port)}
            # In the FIFO from two cycles before it can be read to the cycle in which it is.
            gone = np.searchsorted(consumed, times - _FIFO_CYCLES, side="left")
            self.depths[index, port] = max(int((np.arange(1, len(times) + 1) - gone).max()), 1)
        if node.kind == "narrow":
            return taken
        if node.kind == "unrolled":
            return self._unrolled(node, taken)
        if node.kind in ("widen", "argmax"):
            apart = node.ratio if node.kind == "widen" else self.design.nodes[node.inputs[0]].stream.beats
            return np.asarray(taken[apart - 1 :: apart] + 1, dtype=np.int64)
        return np.asarray(taken + 1, dtype=np.int64)

    def _unrolled(self, node: Node, taken: Times) -> Times:
        """When windows leave an unrolled layer, from the cycles of its slots."""
        assert node.layer is not None
        complete = emitted(patch_of(node.layer))
        at = (np.arange(self.frames)[:, None] * slots_of(node.layer) + complete).reshape(-1)
        return np.asarray(taken[at] + _WINDOW_CYCLES + graph_stages(node.layer), dtype=np.int64)


def pool_latency(node: Node) -> int:
    """Cycles from the last beat of a pooling window, as data, to its result."""
    return 1 if node.layer is not None and node.layer.op == "maxpool" else 2


def _one_by_one(ready: Times, cycles: int) -> Times:
    """When jobs start that are done in order, take ``cycles`` each and are ready at the times given."""
    offset = np.arange(len(ready)) * cycles
    return np.asarray(np.maximum.accumulate(ready - offset) + offset, dtype=np.int64)


def _steps(node: Node, inputs: list[Node]) -> int:
    """Steps of a plain node for one inference."""
    if node.kind in ("narrow", "pad", "concat"):
        return node.stream.beats
    if node.kind == "unrolled":
        assert node.layer is not None
        return slots_of(node.layer)
    return inputs[0].stream.beats


def _use_steps(node: Node, port: int, count: int) -> NDArray[np.int64]:
    """The step in which a plain node takes each beat of an input."""
    beats = np.arange(count)
    if node.kind == "narrow":
        return np.asarray(beats * node.ratio, dtype=np.int64)
    if node.kind == "concat":
        return _concat_steps(node, port, beats)
    if node.kind == "pad":
        return _pad_steps(node, beats)
    if node.kind == "unrolled":
        return _slots(node, beats)
    return beats


def _slots(node: Node, beats: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slot of each pixel of an unrolled layer."""
    assert node.layer is not None
    frame, pixel = np.divmod(beats, math.prod(node.layer.in_shape[:-1]))
    return np.asarray(frame * slots_of(node.layer) + pixel, dtype=np.int64)


def concat_beats(node: Node) -> tuple[int, int]:
    """Beats a pixel that a concatenation takes from its first and its second input."""
    layer = node.layer
    assert layer is not None
    first = layer.in_shape[-1] // node.stream.lanes
    return first, node.stream.channels // node.stream.lanes - first


def _concat_steps(node: Node, port: int, beats: NDArray[np.int64]) -> NDArray[np.int64]:
    first, second = concat_beats(node)
    pixel, beat = np.divmod(beats, second if port else first)
    return np.asarray(pixel * (first + second) + beat + (first if port else 0), dtype=np.int64)


def pad_geometry(node: Node) -> tuple[int, int, int, int, int, int, int]:
    """(beats a pixel, height, width, top, left, out height, out width) of a padding layer."""
    layer = node.layer
    assert layer is not None
    beats = layer.in_shape[-1] // node.stream.lanes
    if len(layer.in_shape) == 2:
        return beats, 1, layer.in_shape[0], 0, layer.padding[0][0], 1, layer.out_shape[0]
    (top, _), (left, _) = layer.padding
    return beats, layer.in_shape[0], layer.in_shape[1], top, left, layer.out_shape[0], layer.out_shape[1]


def _pad_steps(node: Node, beats: NDArray[np.int64]) -> NDArray[np.int64]:
    count, height, width, top, left, out_height, out_width = pad_geometry(node)
    pixel, beat = np.divmod(beats, count)
    line, column = np.divmod(pixel, width)
    frame, row = np.divmod(line, height)
    at = (frame * out_height + row + top) * out_width + column + left
    return np.asarray(at * count + beat, dtype=np.int64)
