"""How deep the FIFOs between streaming layers must be, from their schedule.

Each layer is an actor that fires: it reads and writes tokens (all channels of one pixel) in a fixed order. hls4ml makes
every FIFO as deep as a whole image; where paths split and join again one needs more than a few entries, because the
longer path holds pixels back in line buffers and pipelines, and a FIFO that can't hold as many on the shorter path
stops both for good.

A schedule in which images come at the pace of the slowest actor shows how many entries each FIFO needs. With those
the real network keeps that pace too, though its source is not paced and full FIFOs hold writers back: such a network
is a timed event graph, in which nothing happens later when something else happens earlier (Baccelli et al.,
Synchronization and Linearity, 1992, chapter 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IMAGES = 3
"""Images followed: the first fills the pipeline, the last shows what a full one needs."""
MIN_DEPTH = 2
"""The least depth set: what the vendor tools take by default for a FIFO (UG902, UG1399)."""

FIFO_CYCLES = 1
"""Cycles from writing a token to when it can be read."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Actor:
    """A layer as firings for one image, in order.

    ``reads`` and ``writes``: (firings, streams), whether a firing takes or gives a token. ``cycles``: (firings,), until
    the next one may start. ``held``: results that stay in the pipeline until so many further firings have started; an
    HLS pipeline stands still while its input is empty, and runs empty before the next image.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reads: Bools
    writes: Bools
    cycles: Ints
    held: int = 0

    @property
    def busy(self) -> Ints:
        """Cycles from one firing to the next, the last one's until the pipeline is empty."""
        busy = self.cycles.copy()
        busy[-1] *= 1 + self.held
        return busy


def source(output: str, tokens: int) -> Actor:
    """What feeds the network."""
    return Actor(
        "source", (), (output,), np.zeros((tokens, 0), bool), np.ones((tokens, 1), bool), np.ones(tokens, np.int64)
    )  # fmt: skip


def one_to_one(
    name: str, inputs: Sequence[str], outputs: Sequence[str], tokens: int, cycles: int = 1, held: int = 0
) -> Actor:
    """One token from every input, one to every output: activations, merges, clones, pointwise convolutions."""
    reads, writes = np.ones((tokens, len(inputs)), bool), np.ones((tokens, len(outputs)), bool)
    return Actor(name, tuple(inputs), tuple(outputs), reads, writes, np.full(tokens, cycles, np.int64), held)


def sliding_window(
    name: str, stream: str, output: str, shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int],
    read_cycles: int, write_cycles: int, held: int = 0,
) -> Actor:  # fmt: skip
    """Reads an image pixel by pixel; writes whenever a window is complete."""
    complete = np.ones(1, bool)
    for size, k, s in zip(shape, kernel, stride, strict=True):
        at = np.arange(size)
        complete = np.kron(complete, (at >= k - 1) & ((at - (k - 1)) % s == 0))
    cycles = np.where(complete, write_cycles, read_cycles).astype(np.int64)
    return Actor(name, (stream,), (output,), np.ones((complete.size, 1), bool), complete[:, None], cycles, held)


def zero_padding(
    name: str, stream: str, output: str, shape: Sequence[int], padding: Sequence[tuple[int, int]]
) -> Actor:
    """Writes the padded image; reads only for the pixels inside."""
    inside = np.ones(1, bool)
    for size, (before, after) in zip(shape, padding, strict=True):
        inside = np.kron(inside, np.pad(np.ones(size, bool), (before, after)))
    ones = np.ones((inside.size, 1), bool)
    return Actor(name, (stream,), (output,), inside[:, None], ones, np.ones(inside.size, np.int64))


def gather(name: str, stream: str, output: str, tokens: int, results: int, cycles: int) -> Actor:
    """Reads everything, works for ``cycles``, then writes: dense layers and global pooling."""
    firings = tokens + results
    reads, writes = np.zeros((firings, 1), bool), np.zeros((firings, 1), bool)
    reads[:tokens], writes[tokens:] = True, True
    work = np.ones(firings, np.int64)
    work[tokens - 1] += cycles
    return Actor(name, (stream,), (output,), reads, writes, work)


def repack(name: str, stream: str, output: str, tokens: int, results: int) -> Actor:
    """Splits tokens into smaller ones or joins them to larger ones."""
    firings = max(tokens, results)
    reads, writes = np.zeros((firings, 1), bool), np.zeros((firings, 1), bool)
    reads[:: firings // tokens] = True
    writes[firings // results - 1 :: firings // results] = True
    return Actor(name, (stream,), (output,), reads, writes, np.ones(firings, np.int64))


def interval(actors: Sequence[Actor]) -> int:
    """Cycles from image to image: those of the slowest actor."""
    return max(int(actor.busy.sum()) for actor in actors)


def fifo_depths(actors: Sequence[Actor]) -> dict[str, int]:
    """Entries each stream needs; ``actors`` in topological order, fed by sources."""
    pace = interval(actors)
    written: dict[str, Ints] = {}
    starts: dict[str, Ints] = {}
    for actor in actors:
        starts[actor.name] = _earliest(actor, written, pace)
        ends = _result_times(actor, starts[actor.name])
        for i, stream in enumerate(actor.outputs):
            written[stream] = ends[_every_image(actor.writes[:, i])]
    # What is written just in time does not fill a FIFO, unless it was read just in time as well: each actor is moved
    # to the latest times its readers allow where that makes the FIFOs around it shorter.
    read: dict[str, Ints] = {}
    depths: dict[str, int] = {}
    for actor in reversed(actors):
        options = [starts[actor.name], _latest(actor, starts[actor.name], read)]
        around = [_depths_around(actor, at, written, read) for at in options]
        best = 1 if sum(around[1].values()) < sum(around[0].values()) else 0
        depths |= {stream: depth for stream, depth in around[best].items() if stream in actor.outputs}
        for i, stream in enumerate(actor.inputs):
            read[stream] = options[best][_every_image(actor.reads[:, i])]
    return {stream: depths[stream] for actor in actors for stream in actor.outputs if stream in depths}


def _depths_around(actor: Actor, at: Ints, written: dict[str, Ints], read: dict[str, Ints]) -> dict[str, int]:
    """Entries the FIFOs before and behind an actor need if its firings start ``at``."""
    ends = _result_times(actor, at)
    found = {}
    for i, stream in enumerate(actor.inputs):
        found[stream] = _occupancy(written[stream], at[_every_image(actor.reads[:, i])])
    for i, stream in enumerate(actor.outputs):
        if stream in read:
            found[stream] = _occupancy(ends[_every_image(actor.writes[:, i])], read[stream])
    return {stream: max(depth, MIN_DEPTH) for stream, depth in found.items()}


def _every_image(one: Bools) -> Bools:
    return np.tile(one, IMAGES)


def _earliest(actor: Actor, written: dict[str, Ints], pace: int) -> Ints:
    """When each firing of all images starts: after the one before it, and when its tokens are there."""
    firings = len(actor.cycles)
    if not actor.inputs:
        image = (np.arange(firings, dtype=np.int64) * pace) // firings
        return np.concatenate([image + n * pace for n in range(IMAGES)])
    ready = np.zeros(firings * IMAGES, np.int64)
    for i, stream in enumerate(actor.inputs):
        takes = _every_image(actor.reads[:, i])
        ready[takes] = np.maximum(ready[takes], written[stream] + FIFO_CYCLES)
    before = _busy_before(actor)
    # s[k] = max(s[k-1] + busy[k-1], ready[k]), without a loop
    starts: Ints = np.maximum.accumulate(ready - before) + before
    return starts


def _latest(actor: Actor, earliest: Ints, read: dict[str, Ints]) -> Ints:
    """The latest starts with which every reader has its tokens in time; as early as possible if nobody reads."""
    readers = [(i, read[stream]) for i, stream in enumerate(actor.outputs) if stream in read]
    if not readers:
        return earliest
    never = np.iinfo(np.int64).max // 4
    limit = np.full(len(earliest), never, np.int64)
    cycles = np.tile(actor.cycles, IMAGES)
    pushed_by, drained = _pushed_by(actor)
    for i, times in readers:
        gives = np.flatnonzero(_every_image(actor.writes[:, i]))
        due = times - FIFO_CYCLES
        np.minimum.at(limit, gives, due - cycles[gives])
        if actor.held:
            np.minimum.at(limit, pushed_by[gives], due - drained[gives] - 1)
    before = _busy_before(actor)
    # s[k] = min(s[k+1] - busy[k], limit[k]), without a loop
    starts: Ints = np.minimum.accumulate((limit - before)[::-1])[::-1] + before
    # What nobody waits for at the end of the last image may happen as soon as it can.
    return np.where(starts > never // 2, earliest, starts)


def _busy_before(actor: Actor) -> Ints:
    """Cycles all firings before one take at least."""
    busy = np.tile(actor.busy, IMAGES)
    before: Ints = np.cumsum(busy) - busy
    return before


def _pushed_by(actor: Actor) -> tuple[Ints, Ints]:
    """Which firing pushes each result out of the pipeline, and how many cycles later if it is the image's last."""
    firings = len(actor.cycles)
    pushed = np.arange(firings, dtype=np.int64) + actor.held
    last = np.minimum(pushed, firings - 1)
    # At the end of each image the pipeline runs empty, a result at a time.
    drained = np.tile((pushed - last) * actor.cycles[-1], IMAGES)
    return np.concatenate([last + n * firings for n in range(IMAGES)]), drained


def _result_times(actor: Actor, starts: Ints) -> Ints:
    """When the result of each firing is written: at its end, or when those it waits for have started."""
    ends: Ints = starts + np.tile(actor.cycles, IMAGES)
    if actor.held:
        pushed_by, drained = _pushed_by(actor)
        ends = np.maximum(ends, starts[pushed_by] + drained + 1)
    return ends


def _occupancy(writes: Ints, reads: Ints) -> int:
    """The most tokens between ``writes`` and ``reads``, both ascending: at each write those not read before it."""
    gone = np.searchsorted(reads, writes, side="left")
    return int((np.arange(1, len(writes) + 1) - gone).max())
