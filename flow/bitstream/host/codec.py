"""Values to codes and codes to the bytes of the hardware's beats, and back. Needs numpy alone.

A value is ``code * 2**-fraction``. An inference is ``beats`` beats of ``beat_bytes`` bytes; a beat holds ``lanes``
codes of ``lane_bits`` bits each, lane 0 lowest, little endian; what is left of it is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_DTYPES = {8: ("<u1", "<i1"), 16: ("<u2", "<i2"), 32: ("<u4", "<i4"), 64: ("<u8", "<i8")}


@dataclass(frozen=True)
class Side:
    """One side of the accelerator, its input or its output, as design.json describes it."""

    shape: tuple[int, ...]
    width: int
    fraction: int
    signed: bool
    beats: int
    lanes: int
    lane_bits: int
    beat_bytes: int

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Side:
        """The inverse of how design.json stores it."""
        names = ("width", "fraction", "signed", "beats", "lanes", "lane_bits", "beat_bytes")
        return cls(tuple(data["shape"]), **{name: data[name] for name in names})

    @property
    def bytes(self) -> int:
        """Bytes of one inference."""
        return self.beats * self.beat_bytes

    @property
    def low(self) -> int:
        """The smallest code."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest code."""
        return (1 << (self.width - 1)) - 1 if self.signed else (1 << self.width) - 1

    def encode(self, values: Any) -> Any:
        """The codes nearest to ``values`` (ties to even), limited to the format: what training did to its inputs."""
        scaled = np.rint(np.ldexp(np.asarray(values, dtype=np.float64), self.fraction))
        if np.isnan(scaled).any():
            raise ValueError("the input has NaN in it")
        return np.clip(scaled, self.low, self.high).astype(np.int64)

    def decode(self, codes: Any) -> Any:
        """The values of codes, float64."""
        return np.ldexp(np.asarray(codes).astype(np.float64), -self.fraction)

    def check(self, codes: Any) -> Any:
        """Codes of shape (n, *shape) as int64. Raises ValueError if they have another shape or are out of range."""
        found = np.asarray(codes)
        if found.dtype.kind not in "iu" or found.shape[1:] != self.shape:
            wanted = ", ".join(map(str, self.shape))
            raise ValueError(f"expected whole numbers of shape (n, {wanted}), found {found.dtype} of {found.shape}")
        if found.size and (found.min() < self.low or found.max() > self.high):
            raise ValueError(f"codes must be from {self.low} to {self.high}")
        return found.astype(np.int64)

    def pack(self, codes: Any) -> Any:
        """Codes of shape (n, *shape) as uint8 of shape (n, bytes)."""
        flat = self.check(codes).reshape(-1, self.beats, self.lanes)
        if self.lane_bits in _DTYPES:
            out = np.zeros((len(flat), self.beats, self.beat_bytes * 8 // self.lane_bits), _DTYPES[self.lane_bits][1])
            out[:, :, : self.lanes] = flat.astype(out.dtype)
            return out.view(np.uint8).reshape(len(flat), self.bytes)
        bits = ((flat[..., None] >> np.arange(self.lane_bits)) & 1).astype(np.uint8)
        padded = np.zeros((len(flat), self.beats, self.beat_bytes * 8), np.uint8)
        padded[:, :, : self.lanes * self.lane_bits] = bits.reshape(len(flat), self.beats, -1)
        return np.packbits(padded, axis=2, bitorder="little").reshape(len(flat), self.bytes)

    def unpack(self, data: Any) -> Any:
        """The inverse of :meth:`pack`: int64 codes of shape (n, *shape)."""
        raw = np.ascontiguousarray(data, dtype=np.uint8).reshape(-1, self.beats, self.beat_bytes)
        if self.lane_bits in _DTYPES:
            lanes = raw.view(_DTYPES[self.lane_bits][self.signed])[:, :, : self.lanes]
            return lanes.astype(np.int64).reshape((len(raw), *self.shape))
        bits = np.unpackbits(raw, axis=2, bitorder="little")[:, :, : self.lanes * self.lane_bits]
        lanes = bits.reshape(len(raw), self.beats, self.lanes, self.lane_bits).astype(np.int64)
        codes = (lanes << np.arange(self.lane_bits)).sum(axis=-1)
        if self.signed:
            codes -= (codes >> (self.width - 1)) << self.width
        return codes.reshape((len(raw), *self.shape))
