"""How an inference's values lie in bytes on their way to the accelerator and back.

The hardware takes beats of some lanes. For a DMA each lane has whole bytes of its own and a beat a power of two of
them, so that the host packs with numpy alone and the hardware needs no shifting; for a UART, where every byte takes
time, the lanes of a beat lie side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flow.errors import InputError
from flow.network.fixed import FixedFormat

MAX_TDATA = 256
"""Widest AXI-Stream word in bits: wider beats take several words. Wider DMAs cost more LUTs than they bring."""


@dataclass(frozen=True)
class Layout:
    """One side of an accelerator: see :class:`flow.bitstream.host.codec.Side`, which packs by it."""

    shape: tuple[int, ...]
    format: FixedFormat
    beats: int
    lanes: int
    lane_bits: int
    beat_bytes: int

    @property
    def bytes(self) -> int:
        """Bytes of an inference."""
        return self.beats * self.beat_bytes

    @property
    def tdata(self) -> int:
        """Bits of an AXI-Stream word."""
        return min(8 * self.beat_bytes, MAX_TDATA)

    @property
    def words(self) -> int:
        """AXI-Stream words of a beat."""
        return 8 * self.beat_bytes // self.tdata

    def to_dict(self) -> dict[str, Any]:
        """The form in ``design.json``."""
        return {
            "shape": list(self.shape),
            "format": str(self.format),
            "width": self.format.width,
            "fraction": self.format.fraction,
            "signed": self.format.signed,
            "beats": self.beats,
            "lanes": self.lanes,
            "lane_bits": self.lane_bits,
            "beat_bytes": self.beat_bytes,
            "bytes": self.bytes,
        }


def aligned(shape: tuple[int, ...], of: FixedFormat, lanes: int) -> Layout:
    """Lanes of 8, 16, 32 or 64 bits, beats of a power of two of bytes. Raises InputError if the lanes do not fit."""
    lane_bytes = _power_of_two(-(-of.width // 8))
    return Layout(shape, of, _beats(shape, lanes), lanes, 8 * lane_bytes, lane_bytes * _power_of_two(lanes))


def dense(shape: tuple[int, ...], of: FixedFormat, lanes: int) -> Layout:
    """Lanes side by side, each as wide as its format; beats of whole bytes."""
    return Layout(shape, of, _beats(shape, lanes), lanes, of.width, -(-lanes * of.width // 8))


def _beats(shape: tuple[int, ...], lanes: int) -> int:
    values = math.prod(shape)
    if lanes < 1 or values % lanes:
        raise InputError(f"{lanes} lanes do not divide the {values} values of an inference")
    return values // lanes


def _power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()
