"""FIFO depths: enough to get through, and at the pace of the slowest layer, checked by a simulation cycle by cycle."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.hls.fifo import (
    Actor,
    fifo_depths,
    gather,
    interval,
    one_to_one,
    repack,
    sliding_window,
    source,
    zero_padding,
)


class Machine:
    """An actor at work: it fires when its tokens are there, and stands still while its output is full."""

    def __init__(self, actor: Actor) -> None:
        self.actor, self.fired, self.free_at = actor, 0, 0
        self.flying: deque[tuple[int, int]] = deque()
        self.last_started = 0

    def ready(self, number: int, started: int, now: int) -> bool:
        actor, size = self.actor, len(self.actor.cycles)
        if now < started + actor.cycles[number % size]:
            return False
        last = number - number % size + size - 1
        if number + actor.held <= last:
            return not actor.held or self.fired > number + actor.held
        # The pipeline runs empty at the end of the image, a result at a time.
        drained = (number + actor.held - last) * actor.cycles[-1]
        return self.fired > last and now > self.last_started + drained

    def step(self, now: int, fifos: Mapping[str, deque[int]], depths: Mapping[str, int], images: int) -> None:
        actor, size = self.actor, len(self.actor.cycles)
        while self.flying and self.ready(*self.flying[0], now):
            number = self.flying[0][0] % size
            outputs = [name for i, name in enumerate(actor.outputs) if actor.writes[number, i]]
            if any(len(fifos[name]) >= depths.get(name, 1 << 30) for name in outputs):
                return
            for name in outputs:
                fifos[name].append(now)
            self.flying.popleft()
        number = self.fired % size
        inputs = [name for i, name in enumerate(actor.inputs) if actor.reads[number, i]]
        if self.fired < images * size and now >= self.free_at and all(fifos[name] for name in inputs):
            for name in inputs:
                fifos[name].popleft()
            self.flying.append((self.fired, now))
            self.fired += 1
            self.free_at = now + int(actor.busy[number])
            self.last_started = now


def simulate(actors: Sequence[Actor], depths: Mapping[str, int], images: int) -> list[int]:
    """The cycles at which the last actor writes; fewer than there should be if everything stands still."""
    fifos: dict[str, deque[int]] = {name: deque() for actor in actors for name in actor.outputs}
    machines = [Machine(actor) for actor in actors]
    limit = (images + 6) * (interval(actors) + 200)
    for now in range(limit):
        for machine in reversed(machines):
            machine.step(now, fifos, depths, images)
    return list(fifos[actors[-1].outputs[0]])


def residual(size: int, convolutions: int, reuse: int, held: int) -> list[Actor]:
    """A ResNet block: an image goes through convolutions with padding, and past them, and is added up."""
    tokens = size * size
    actors = [source("x", tokens), one_to_one("clone", ["x"], ["long0", "short"], tokens, held=2)]
    for i in range(convolutions):
        actors.append(zero_padding(f"pad{i}", f"long{i}", f"padded{i}", (size, size), ((1, 1), (1, 1))))
        shape = (size + 2, size + 2)
        actors.append(
            sliding_window(f"conv{i}", f"padded{i}", f"long{i + 1}", shape, (3, 3), (1, 1), reuse, reuse, held)
        )
    actors.append(one_to_one("add", [f"long{convolutions}", "short"], ["sum"], tokens, held=2))
    actors.append(gather("dense", "sum", "y", tokens, 1, 5))
    return actors


@settings(max_examples=25)
@given(st.integers(3, 7), st.integers(1, 3), st.integers(1, 4), st.integers(0, 9))
def test_a_residual_block_keeps_the_pace_of_its_slowest_layer(
    size: int, convolutions: int, reuse: int, held: int
) -> None:
    actors = residual(size, convolutions, reuse, held)
    depths = fifo_depths(actors)
    images = 5
    times = simulate(actors, depths, images)
    assert len(times) == images
    # An image may be a little late when the first ones fill the pipeline; on average none is.
    assert times[-1] - times[1] <= (images - 2) * interval(actors) + 2 * held + 8


def least_depth(actors: Sequence[Actor], stream: str) -> int:
    """The least depth of one FIFO with which anything comes out."""
    depths = fifo_depths(actors)
    return next(d for d in range(1, 1000) if len(simulate(actors, {**depths, stream: d}, 3)) == 3)


def test_the_short_path_holds_what_the_long_one_holds_back() -> None:
    actors = residual(6, 2, 1, 0)
    depth, least = fifo_depths(actors)["short"], least_depth(actors, "short")
    # A 3x3 convolution with padding gives its first pixel when it has read one row and two pixels of the image.
    assert least >= 2 * (6 + 1)
    assert least <= depth < 36, "less than the whole image that hls4ml makes it"
    assert simulate(actors, {**fifo_depths(actors), "short": least - 1}, 3) == []


def test_a_pipeline_that_stands_still_without_input_makes_the_short_path_deeper() -> None:
    without, with_pipeline = residual(8, 1, 1, 0), residual(8, 1, 1, 10)
    assert least_depth(with_pipeline, "short") >= least_depth(without, "short") + 5
    assert fifo_depths(with_pipeline)["short"] >= least_depth(with_pipeline, "short")


def test_a_chain_needs_short_fifos_only() -> None:
    actors = [
        source("x", 64),
        sliding_window("conv", "x", "a", (8, 8), (3, 3), (1, 1), 4, 4),
        one_to_one("relu", ["a"], ["b"], 36),
        sliding_window("pool", "b", "c", (6, 6), (2, 2), (2, 2), 1, 1),
        gather("dense", "c", "d", 9, 1, 10),
    ]
    assert interval(actors) == 64 * 4
    assert fifo_depths(actors) == {"x": 2, "a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize(("tokens", "results"), [(4, 12), (12, 4), (5, 5)])
def test_repacking_reads_and_writes_everything(tokens: int, results: int) -> None:
    actor = repack("repack", "a", "b", tokens, results)
    assert actor.reads.sum() == tokens
    assert actor.writes.sum() == results


@pytest.mark.parametrize(("stride", "results"), [((1, 1), 20), ((2, 1), 10), ((2, 2), 6)])
def test_windows_are_complete_where_a_convolution_says(stride: tuple[int, int], results: int) -> None:
    actor = sliding_window("conv", "a", "b", (6, 7), (3, 3), stride, 1, 1)
    assert actor.writes.sum() == results
    assert actor.writes[2 * 7 + 2, 0]
    assert not actor.writes[: 2 * 7 + 2].any()


def test_padding_writes_more_than_it_reads() -> None:
    actor = zero_padding("pad", "a", "b", (2, 3), ((1, 0), (2, 1)))
    assert actor.writes.all()
    assert actor.reads.ravel().tolist() == [False] * 6 + [False, False, True, True, True, False] * 2
