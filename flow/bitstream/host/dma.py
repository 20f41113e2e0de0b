"""Inferences through the AXI DMA of a Zynq board running PYNQ: a batch is one transfer out and one in.

Nothing here waits for ever: a transfer that does not end in time raises TimeoutError with the state of both channels,
and :meth:`DmaLink.reset` loads the bitstream again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 1 << 25
"""Bytes of the longest transfer: the DMA's length register has 26 bits."""
CLOCK_TOLERANCE = 0.01


class DmaLink:
    """The accelerator in the overlay STEM.bit of ``folder``."""

    def __init__(self, folder: Path, stem: str, clock_mhz: float, timeout_s: float = 10.0) -> None:
        bit, hwh = folder / (stem + ".bit"), folder / (stem + ".hwh")
        for path in (bit, hwh):
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing: .bit and .hwh belong together, copy the whole folder")
        from pynq import Clocks, Overlay, allocate  # type: ignore[import-not-found]  # on the board

        self.timeout_s = timeout_s
        self._allocate = allocate
        self._buffers: dict[tuple[str, int], Any] = {}
        self.overlay = Overlay(str(bit))
        names = [name for name, ip in self.overlay.ip_dict.items() if "axi_dma" in ip["type"]]
        if names != ["dma"]:
            raise RuntimeError(f"{hwh} has no DMA called 'dma': is it the .hwh of this bitstream?")
        self.dma = self.overlay.dma
        made = float(Clocks.fclk0_mhz)
        if abs(made - clock_mhz) > CLOCK_TOLERANCE * clock_mhz:
            raise RuntimeError(f"the board's clock is {made:g} MHz, the design was built for {clock_mhz:g} MHz")

    def run(self, data: Any, out_bytes: int) -> Any:
        """uint8 of shape (n, bytes in) to uint8 of shape (n, ``out_bytes``)."""
        count = max(1, LONGEST // max(data.shape[1], out_bytes))
        parts = [self._batch(data[i : i + count], out_bytes) for i in range(0, len(data), count)]
        return np.concatenate(parts) if parts else np.zeros((0, out_bytes), np.uint8)

    def _batch(self, data: Any, out_bytes: int) -> Any:
        source = self._buffer("in", data.size)
        target = self._buffer("out", len(data) * out_bytes)
        source[:] = data.reshape(-1)
        receive, send = self.dma.recvchannel, self.dma.sendchannel
        receive.transfer(target)
        send.transfer(source)
        end = time.monotonic() + self.timeout_s
        while not (send.idle and receive.idle):
            if send.error or receive.error:
                raise RuntimeError(f"the DMA reports an error: {self._state()}")
            if time.monotonic() > end:
                raise TimeoutError(
                    f"{len(data)} inferences were not done within {self.timeout_s:g} s: {self._state()}; "
                    "reset() loads the bitstream again"
                )
        send.wait()  # both have ended: this only hands the buffers back
        receive.wait()
        return np.array(target).reshape(len(data), out_bytes)

    def _state(self) -> str:
        return ", ".join(
            "{} {}".format(name, "failed" if channel.error else "done" if channel.idle else "not done")
            for name, channel in (("sending", self.dma.sendchannel), ("receiving", self.dma.recvchannel))
        )

    def _buffer(self, side: str, size: int) -> Any:
        """A contiguous buffer of exactly ``size`` bytes; the last one of each side is kept."""
        if (side, size) not in self._buffers:
            for key in [key for key in self._buffers if key[0] == side]:
                self._buffers.pop(key).freebuffer()
            self._buffers[side, size] = self._allocate(shape=(size,), dtype=np.uint8)
        return self._buffers[side, size]

    def reset(self) -> None:
        """Load the bitstream again: accelerator and DMA start afresh."""
        self.overlay.download()

    def close(self) -> None:
        """Give the buffers back."""
        for buffer in self._buffers.values():
            buffer.freebuffer()
        self._buffers = {}
