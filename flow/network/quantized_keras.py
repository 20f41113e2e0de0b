"""From a QKeras or Keras model in memory to a QuantizedNetwork, or to the list of what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_assemble import AssemblyError, Step, assemble
from flow.network.quantized_layers import Call, read_layer


@dataclass(frozen=True)
class Problem:
    """A layer that can't be converted, and why. ``layer`` is its name, or "model" for the whole."""

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


class Unconvertible(InputError):
    """A model can't be expressed in integers; ``problems`` names every layer, ``str`` is one line with all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("the model cannot be converted: " + "; ".join(str(p) for p in problems))
        self.problems = tuple(problems)


def from_keras(model: Any, input_format: FixedFormat, *, float_format: FixedFormat | None = None) -> QuantizedNetwork:
    """The network of a model with one input, one output and any layers between that have an integer equivalent.

    Weights without a quantizer, and those of Keras' own batch normalization, are rounded to ``float_format``; without
    one they are refused. Raises Unconvertible naming every layer that stands in the way.
    """
    reading = read_model(model, float_format)
    if reading.problems:
        raise Unconvertible(reading.problems)
    try:
        return assemble(reading.input_name, reading.input_shape, input_format, reading.steps)
    except AssemblyError as error:
        raise Unconvertible([Problem(error.source, error.reason)]) from error


def model_problems(model: Any, input_format: FixedFormat, *, float_format: FixedFormat | None = None) -> list[Problem]:
    """What keeps :func:`from_keras` from converting the model; empty if nothing does."""
    try:
        from_keras(model, input_format, float_format=float_format)
    except Unconvertible as error:
        return list(error.problems)
    return []


@dataclass(frozen=True)
class Reading:
    """A model's steps in topological order, or its problems."""

    input_name: str
    input_shape: tuple[int, ...]
    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]


def read_model(model: Any, float_format: FixedFormat | None = None) -> Reading:
    """The steps of all layers between the model's input and output, formats not yet known."""
    import keras

    if not isinstance(model, keras.Model):
        raise InputError(f"expected a Keras model, found {type(model).__name__}")
    try:
        inputs, outputs = list(model.inputs), list(model.outputs)
    except (AttributeError, ValueError, TypeError) as error:
        raise Unconvertible([Problem("model", f"it has no fixed inputs and outputs: {error}")]) from error
    if len(inputs) != 1 or len(outputs) != 1:
        count = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise Unconvertible([Problem("model", f"models with one input and one output are supported, not {count}")])
    shape = tuple(inputs[0].shape[1:])
    if not shape or any(not isinstance(n, int) for n in shape) or len(shape) > 3:
        raise Unconvertible([Problem("model", f"input shape {shape} is not fixed, or has more than 3 dimensions")])
    names = {id(inputs[0]): inputs[0]._keras_history.operation.name}
    steps: list[Step] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for layer, sources, result in _operations(outputs[0], inputs[0]):
        reason = None
        if layer.name in seen:
            reason = "it is used more than once: shared layers are not supported"
        elif not isinstance(layer, keras.Layer):
            reason = f"{type(layer).__name__} is an operation, not a layer: use the layer from keras.layers"
        seen.add(layer.name)
        read: list[Step] = []
        if reason is None:
            call = Call(
                layer, tuple(names[id(t)] for t in sources), tuple(tuple(t.shape[1:]) for t in sources),
                tuple(result.shape[1:]), float_format,
            )  # fmt: skip
            try:
                read = read_layer(call)
            except InputError as error:
                reason = str(error)
        if reason is not None:
            problems.append(Problem(layer.name, reason))
        names[id(result)] = read[-1].name if read else names[id(sources[0])] if sources else ""
        steps += read
    return Reading(names[id(inputs[0])], shape, tuple(steps), (*problems, *_name_problems(names[id(inputs[0])], steps)))


def _operations(output: Any, start: Any) -> Iterator[tuple[Any, list[Any], Any]]:
    """(operation, input tensors, output tensor) for all between ``start`` and ``output``, inputs first."""
    done = {id(start)}
    stack = [output]
    while stack:
        tensor = stack[-1]
        if id(tensor) in done:
            stack.pop()
            continue
        history = tensor._keras_history
        sources = list(history.operation._inbound_nodes[history.node_index].input_tensors)
        waiting = [t for t in sources if id(t) not in done]
        if waiting:
            stack += reversed(waiting)
            continue
        stack.pop()
        done.add(id(tensor))
        yield history.operation, sources, tensor


def _name_problems(input_name: str, steps: Sequence[Step]) -> Iterator[Problem]:
    """Names that can't all be kept apart: hls4ml compares them without regard to case."""
    taken = {input_name.lower(): "the input"}
    for step in steps:
        other = taken.get(step.name.lower())
        if other is not None:
            yield Problem(step.source, f"its part {step.name} has the same name as {other}: rename one of the layers")
        taken[step.name.lower()] = step.source
