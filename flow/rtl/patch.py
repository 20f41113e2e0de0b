"""Patches: whole windows, one a cycle, as unrolled layers read them. The counterpart of ``flow_patch.v``.

Pixels come one a cycle, all channels at once. A slot is a cycle in which the window moves on by a pixel in raster
order; behind the image come slots without a pixel, as many as the padding at its end needs. The window of position
(y, x) is complete in the slot of its last pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flow.network.quantized import QuantizedLayer
from flow.rtl.window import Window, window_of


def patch_of(layer: QuantizedLayer) -> Window:
    """The windows of a layer over pixels with all their channels. Raises InputError as :func:`window_of`."""
    return window_of(layer, layer.in_shape[-1], 1, channelwise=False)


def slots_of(layer: QuantizedLayer) -> int:
    """Slots an inference of an unrolled layer."""
    return slots(patch_of(layer))


def first_slot(window: Window) -> int:
    """The slot in which the first window of a frame is complete."""
    (top, _), (left, _) = window.padding
    return (window.kernel[0] - 1 - top) * window.width + window.kernel[1] - 1 - left


def emitted(window: Window) -> NDArray[np.int64]:
    """The slot in which each window of a frame is complete, in order."""
    y, x = np.divmod(np.arange(window.positions), window.out_width)
    return np.asarray(first_slot(window) + y * window.stride[0] * window.width + x * window.stride[1], dtype=np.int64)


def slots(window: Window) -> int:
    """Slots of a frame: one a pixel, and those behind the image."""
    return max(window.height * window.width, int(emitted(window)[-1]) + 1)
