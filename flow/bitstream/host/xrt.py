"""Inferences on an Alveo card through XRT: two data movers feed the accelerator and take its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 1 << 28
"""Bytes of the longest transfer: a bank of memory holds more, but buffers must be found in one piece."""


class XrtLink:
    """The accelerator in STEM.xclbin of ``folder``, on the first card."""

    def __init__(self, folder: Path, stem: str, timeout_s: float = 10.0) -> None:
        path = folder / (stem + ".xclbin")
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: it is what link.sh makes")
        import pyxrt  # type: ignore[import-not-found]  # comes with XRT, on the card's machine

        self.xrt = pyxrt
        self.timeout_ms = int(timeout_s * 1000)
        self.path = path
        self.reset()

    def reset(self) -> None:
        """Load the card again."""
        self.device = self.xrt.device(0)
        loaded = self.device.load_xclbin(self.xrt.xclbin(str(self.path)))
        self.send = self.xrt.kernel(self.device, loaded, "flow_send", self.xrt.kernel.exclusive)
        self.receive = self.xrt.kernel(self.device, loaded, "flow_receive", self.xrt.kernel.exclusive)

    def run(self, data: Any, out_bytes: int) -> Any:
        """uint8 of shape (n, bytes in) to uint8 of shape (n, ``out_bytes``)."""
        count = max(1, LONGEST // max(data.shape[1], out_bytes))
        parts = [self._batch(data[i : i + count], out_bytes) for i in range(0, len(data), count)]
        return np.concatenate(parts) if parts else np.zeros((0, out_bytes), np.uint8)

    def _batch(self, data: Any, out_bytes: int) -> Any:
        xrt = self.xrt
        size = len(data) * out_bytes
        source = xrt.bo(self.device, data.size, xrt.bo.normal, self.send.group_id(0))
        target = xrt.bo(self.device, size, xrt.bo.normal, self.receive.group_id(0))
        source.write(np.ascontiguousarray(data).reshape(-1), 0)
        source.sync(xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE, data.size, 0)
        receiving = self.receive(target, size)
        sending = self.send(source, data.size)
        for name, run in (("sending", sending), ("receiving", receiving)):
            state = run.wait(self.timeout_ms)
            if state != xrt.ert_cmd_state.ERT_CMD_STATE_COMPLETED:
                raise TimeoutError(
                    f"{name} of {len(data)} inferences ended as {state} within {self.timeout_ms / 1000:g} s; "
                    "reset() loads the card again"
                )
        target.sync(xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE, size, 0)
        return np.array(target.read(size, 0)).view(np.uint8).reshape(len(data), out_bytes)

    def close(self) -> None:
        """Nothing is held between transfers."""
