"""Windows: what a layer reads of its input, in which order, and when. The counterpart of ``flow_window.v``.

Everything is counted in beats of ``lanes`` channels of one pixel; a frame is one input of the layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.quantized import QuantizedLayer

CYCLES_TO_DATA = 1
"""Cycles from reading a beat in the ring to offering it: the memory's output register."""


@dataclass(frozen=True)
class Window:
    """The windows over an image of ``height`` x ``width`` pixels of ``beats`` beats; see ``flow_window.v``."""

    height: int
    width: int
    beats: int
    out_height: int
    out_width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    passes: int
    run: int
    pass_step: int

    @property
    def frame(self) -> int:
        """Beats of a frame."""
        return self.height * self.width * self.beats

    @property
    def positions(self) -> int:
        """Window positions of a frame."""
        return self.out_height * self.out_width

    @property
    def steps(self) -> int:
        """Cycles a window position takes."""
        return self.passes * self.kernel[0] * self.kernel[1] * self.run

    @property
    def pass_steps(self) -> int:
        """Cycles a pass takes."""
        return self.kernel[0] * self.kernel[1] * self.run

    @property
    def padded(self) -> bool:
        """Whether there is padding on any side."""
        return any(any(p) for p in self.padding)

    @property
    def first_base(self) -> int:
        """The first window's base: zero, or below it in the padding."""
        return -(self.padding[0][0] * self.width + self.padding[1][0]) * self.beats

    @property
    def moves(self) -> tuple[int, int, int]:
        """How far the base moves to the next window: in its row, to the next row, to the next frame."""
        x = self.stride[1] * self.beats
        across = (self.out_width - 1) * x
        row = self.stride[0] * self.width * self.beats
        return x, row - across, self.frame - (self.out_height - 1) * row - across

    @property
    def need(self) -> int:
        """Beats beyond its base that a window waits for: those it reads, and those the next one moves beyond."""
        seen = ((self.kernel[0] - 1) * self.width + self.kernel[1]) * self.beats
        x, y, _ = self.moves
        return max(seen, x if self.out_width > 1 else 0, y if self.out_height > 1 else 0)

    @property
    def least_depth(self) -> int:
        """The smallest ring that works at all: a window's beats, and the rest of the frame at its last window."""
        return max(self.need, self.moves[2] - self.first_base)

    def bases(self) -> NDArray[np.int64]:
        """The base of each window position of the first frame, in order."""
        y, x = np.divmod(np.arange(self.positions), self.out_width)
        row = self.stride[0] * self.width * self.beats
        return np.asarray(self.first_base + y * row + x * self.stride[1] * self.beats, dtype=np.int64)

    def last_needed(self) -> NDArray[np.int64]:
        """The beat of its frame that each window position waits for."""
        last = np.minimum(self.bases() + self.need, self.frame) - 1
        last[-1] = self.frame - 1
        return last

    def freed(self) -> NDArray[np.int64]:
        """Beats that each window position frees at its end."""
        x, y, frame = self.moves
        freed = np.full(self.positions, x, dtype=np.int64)
        freed[self.out_width - 1 :: self.out_width] = y
        freed[-1] = frame
        return freed


def window_of(layer: QuantizedLayer, lanes: int, passes: int, *, channelwise: bool) -> Window:
    """The window of a dense, conv, depthwise or pooling layer that reads ``lanes`` channels at once.

    ``channelwise``: a pass reads one beat of each pixel, not all of them. Raises InputError for a window that is all
    padding somewhere.
    """
    shape = layer.in_shape
    channels = shape[-1]
    height, width = (1, 1, *shape[:-1])[-2:]
    beats = channels // lanes
    rank = len(shape) - 1
    if rank == 0:
        kernel, stride, padding = (1, 1), (1, 1), ((0, 0), (0, 0))
        out = (1, 1)
    elif len(layer.out_shape) == 1:  # pooling over everything
        kernel, stride, padding, out = (height, width), (1, 1), ((0, 0), (0, 0)), (1, 1)
    elif rank == 1:
        kernel, stride = (1, layer.kernel[0]), (1, layer.stride[0])
        padding = ((0, 0), layer.padding[0]) if layer.padding else ((0, 0), (0, 0))
        out = (1, layer.out_shape[0])
    else:
        kernel, stride = (layer.kernel[0], layer.kernel[1]), (layer.stride[0], layer.stride[1])
        padding = (layer.padding[0], layer.padding[1]) if layer.padding else ((0, 0), (0, 0))
        out = (layer.out_shape[0], layer.out_shape[1])
    if any(sum(p) >= k for p, k in zip(padding, kernel, strict=True) if sum(p)):
        raise InputError(f"{layer.name}: padding {padding} is not smaller than its window {kernel}")
    found = Window(
        height=height, width=width, beats=beats, out_height=out[0], out_width=out[1], kernel=kernel, stride=stride,
        padding=padding, passes=beats if channelwise else passes, run=1 if channelwise else beats,
        pass_step=1 if channelwise else 0,
    )  # fmt: skip
    expected = tuple(
        (n + sum(p) - k) // s + 1 for n, p, k, s in zip((height, width), padding, kernel, stride, strict=True)
    )
    if expected != out:
        raise InputError(f"{layer.name}: windows give an output of {expected}, not {out}")
    return found


def bits_for(count: int) -> int:
    """Bits of a counter from 0 to ``count - 1``, at least one."""
    return max((count - 1).bit_length(), 1)


def ceil_log2(count: int) -> int:
    """Verilog's ``$clog2``."""
    return math.ceil(math.log2(count)) if count < 2 else (count - 1).bit_length()
