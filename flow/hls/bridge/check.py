"""What can't be converted, with the layer and the reason, before anything is written."""

from __future__ import annotations

from typing import Any

from flow.network.fixed import FixedFormat
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_keras import Problem, Unconvertible, from_keras

DEFAULT_INPUT = FixedFormat(8, 0, signed=False)
"""The input format assumed where only layers matter: pixels of 8 bits."""

_RESERVED = frozenset("i n p u t input".split())
"""Names hls4ml renames: its list of used names starts with the letters of "input"."""

CPP_WORDS = frozenset(
    """alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern false
    float for friend goto if inline int long main mutable namespace new noexcept not not_eq nullptr operator or or_eq
    private protected public register reinterpret_cast return short signed sizeof static static_assert static_cast
    struct switch template this thread_local throw true try typedef typeid typename union unsigned using virtual void
    volatile wchar_t while xor xor_eq nnet std hls""".split()
)
"""Words of C++ and of hls4ml's code: no name of an input or of a project."""


def check_convertible(
    model: Any,
    input_format: FixedFormat = DEFAULT_INPUT,
    *,
    io_type: str | None = None,
    float_format: FixedFormat | None = None,
) -> list[Problem]:
    """Every layer of a Keras model that can't be converted, with the reason; empty if all can.

    ``input_format`` decides how wide accumulators get; ``io_type`` ("io_parallel" or "io_stream") adds what hls4ml
    can't do in that style; ``float_format`` is what weights without a quantizer are rounded to.
    """
    try:
        network = from_keras(model, input_format, float_format=float_format)
    except Unconvertible as error:
        return list(error.problems)
    return io_problems(network, io_type) if io_type is not None else _name_problems(network)


def io_problems(network: QuantizedNetwork, io_type: str, *, unrolled_images: bool = False) -> list[Problem]:
    """What hls4ml 1.3 can't build in one of its two styles, or builds wrong."""
    problems = _name_problems(network)
    if io_type == "io_stream":
        return problems + _stream_problems(network)
    if io_type != "io_parallel":
        return [*problems, Problem("model", f"unknown io type {io_type!r}, known: io_parallel, io_stream")]
    if not unrolled_images:
        for layer in network:
            if max(len(layer.in_shape), len(layer.out_shape)) > 1:
                reason = "io_parallel unrolls images completely, use io_stream"
                return [*problems, Problem(layer.source, reason)]
    return problems


def _name_problems(network: QuantizedNetwork) -> list[Problem]:
    names = [network.input_name, *(layer.name for layer in network)]
    problems = [Problem(n, "hls4ml uses this name itself: rename the layer") for n in names if n.lower() in _RESERVED]
    if network.input_name in CPP_WORDS:
        problems.append(Problem(network.input_name, "the input has a name that means something in C++: rename it"))
    return problems


def _stream_problems(network: QuantizedNetwork) -> list[Problem]:
    """From the assertions and loops of hls4ml's ``nnet_*_stream.h``."""
    problems = []
    for layer in network:
        reason = None
        if layer.op in ("maxpool", "avgpool") and len(layer.out_shape) > 1:
            if any(any(p) for p in layer.padding):
                reason = "io_stream has no pooling with padding: use padding='valid'"
            elif layer.kernel != layer.stride:
                reason = f"io_stream needs a pooling stride equal to its window, not {layer.stride} and {layer.kernel}"
        elif layer.op == "reshape" and len(layer.out_shape) > 1 and layer.in_shape != layer.out_shape:
            wide, narrow = sorted((layer.in_shape[-1], layer.out_shape[-1]), reverse=True)
            if wide % narrow:
                reason = f"io_stream can't repack pixels of {layer.in_shape[-1]} values to {layer.out_shape[-1]}"
        elif layer.op == "depthwise" and len(layer.kernel) == 2 and layer.kernel[0] == 1:
            reason = "io_stream declares an array without elements for depthwise kernels of height 1"
        elif layer.op == "conv" and layer.kernel[:-1] == (1,) != layer.stride[:-1] and layer.kernel[-1] > 1:
            reason = f"io_stream ignores the vertical stride {layer.stride[0]} of kernels of height 1"
        if reason is not None:
            problems.append(Problem(layer.source, reason))
    return problems
