"""Whether QKeras, the integer reference and a simulation of the hardware agree on every bit, and where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.quantized import IntArray, QuantizedNetwork
from flow.network.quantized_reference import decode, forward, trace

BATCH = 256
"""Samples QKeras computes at once."""


@dataclass(frozen=True)
class Comparison:
    """One way to compute the outputs, compared with the integer reference.

    ``outputs`` values were compared, ``different`` of them are not the same; ``first`` says which is the first, with
    both values; ``largest`` is the largest difference in values. ``allowed`` is by how much they may differ: 0, a
    bound, or None where the arithmetic is not exact and no bound of the outputs is known. ``same_largest``: samples
    whose largest output is the same, None where there is but one. ``seconds``: the computation alone. ``note``: what
    else there is to say.
    """

    name: str
    samples: int
    outputs: int
    different: int
    largest: float
    seconds: float
    first: str = ""
    allowed: float | None = 0.0
    same_largest: int | None = None
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the outputs are the same, or differ by no more than is allowed."""
        return self.different == 0 or self.allowed is None or self.largest <= self.allowed

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**{n: getattr(self, n) for n in self.__dataclass_fields__}, "agrees": self.agrees}


def compare_keras(model: Any, network: QuantizedNetwork, codes: IntArray, clock: Callable[[], float]) -> Comparison:
    """What QKeras computes for input codes (n, *input_shape), against the integers. ``clock`` gives seconds."""
    started = clock()
    found = keras_outputs(model, network, codes)
    seconds = clock() - started
    expected = decode(forward(network, codes), network.output_format)
    comparison = _compare("QKeras", expected, found.reshape(expected.shape), seconds)
    inexact = network.inexact
    if not inexact:
        if comparison.different:
            where = _first_layer(model, network, codes)
            return replace(comparison, first=f"{comparison.first}; the first layer that differs is {where}")
        return comparison
    # A bound is of the layer itself: it is that of the outputs only where no layer behind it can amplify it.
    last = len(inexact) == 1 and inexact[0].layer == network.layers[-1].name
    note = "; ".join(f"{item.layer}: {item.reason}" for item in inexact)
    return replace(comparison, allowed=inexact[0].bound if last else None, note=note)


def compare_codes(
    name: str, network: QuantizedNetwork, codes: IntArray, found: IntArray, seconds: float, note: str = ""
) -> Comparison:
    """Output codes that something computed for input codes, against the integers."""
    expected, values = (decode(c, network.output_format) for c in (forward(network, codes), found))
    return replace(_compare(name, expected, values, seconds), note=note)


def compare_largest(
    name: str, network: QuantizedNetwork, codes: IntArray, found: IntArray, seconds: float, note: str = ""
) -> Comparison:
    """The index of the largest output, of shape (n, 1), that something computed, against the integers."""
    expected = forward(network, codes).argmax(axis=-1)[:, None]
    return replace(_compare(name, expected.astype(np.float64), found.astype(np.float64), seconds), note=note)


def keras_outputs(model: Any, network: QuantizedNetwork, codes: IntArray) -> NDArray[np.float64]:
    """The values QKeras computes for input codes."""
    from keras import ops

    x = decode(codes, network.input_format).astype(np.float32)
    parts = [
        np.asarray(ops.convert_to_numpy(model(x[i : i + BATCH], training=False)), dtype=np.float64)
        for i in range(0, len(x), BATCH)
    ]
    return np.concatenate(parts)


def _compare(name: str, expected: NDArray[np.float64], found: NDArray[np.float64], seconds: float) -> Comparison:
    wrong = expected != found
    first = ""
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f"sample {at[0]}, output {', '.join(str(i) for i in at[1:])}"
        first = f"{place}: {float(found[at])!r} instead of {float(expected[at])!r}"
    largest = float(np.abs(found - expected).max(initial=0.0))
    same = None
    if expected.shape[-1] > 1:
        same = int((found.argmax(axis=-1) == expected.argmax(axis=-1)).reshape(len(expected), -1).all(axis=1).sum())
    return Comparison(name, len(expected), expected.size, int(wrong.sum()), largest, seconds, first, same_largest=same)


def _first_layer(model: Any, network: QuantizedNetwork, codes: IntArray) -> str:
    """The first layer whose result in QKeras is not that of the integers, as far as layers can be looked into."""
    import keras

    results = trace(network, codes[:BATCH])
    last = {layer.source: index for index, layer in enumerate(network.layers)}
    for source, index in sorted(last.items(), key=lambda item: item[1]):
        layer, expected = network.layers[index], decode(results[index], network.layers[index].output)
        try:
            tapped = keras.Model(model.inputs[0], model.get_layer(source).output)
            found = keras_outputs(tapped, network, codes[:BATCH])
        except (ValueError, AttributeError, InputError):
            continue
        if not np.array_equal(found.reshape(expected.shape), expected):
            return layer.source
    return "not to be found: no layer differs on its own"
