"""The Verilog of pooling layers: a window buffer, then the largest value or the mean of each window."""

from __future__ import annotations

import itertools

from flow.errors import InputError
from flow.rtl.design import Node
from flow.rtl.emitted import Emitted, about, module_name, shape_text, unused, window_instance
from flow.rtl.schedule import Schedule
from flow.rtl.text import module
from flow.rtl.window import Window, bits_for


def emit_pool(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    """The module of a maximum or average pooling layer."""
    layer, window, source = node.layer, node.window, inputs[0]
    assert layer is not None
    assert window is not None
    maximum = layer.op == "maxpool"
    lines = [
        "// The pipeline stands still while a result waits.",
        "reg full;",
        "wire enable = !full || out_ready;",
        "assign out_valid = full;",
        "",
        *window_instance(node, source, schedule.rings[node.name], "enable"),
        *unused("load", "step", *([] if window.padded else ["data_padding"])),
        *(_maximum(node) if maximum else _average(node, source)),
    ]
    text = module(
        module_name(node),
        about(
            node, inputs,
            f"Window {shape_text(window.kernel)}, stride {shape_text(window.stride)}, padding {window.padding}; "
            f"{window.positions * window.steps:,} cycles an inference.",
        ),
        {"in": source.stream.bits}, node.stream.bits, lines,
    )  # fmt: skip
    return Emitted(module_name(node), text, ("flow_window",))


def _maximum(node: Node) -> list[str]:
    window, x = node.window, node.stream.format
    assert window is not None
    sign = "signed " if x.signed else ""
    width = x.width
    # A window may start in the padding, whose zeros do not count: then everything is larger than what is there.
    better = "data_first || value > best" if not window.padded else "!data_padding && (none_yet || value > best)"
    lines = []
    if window.padded:
        lines += [
            "reg seen; // something in the image, in this window",
            "wire none_yet = data_first || !seen;",
            "always @(posedge clk) if (enable && data_valid) seen <= !none_yet || !data_padding;",
            "",
        ]
    return [
        *lines,
        f"reg [{node.stream.bits - 1}:0] largest;",
        "assign out_data = largest;",
        "",
        "always @(posedge clk) begin",
        "    if (rst) full <= 1'b0;",
        "    else if (enable) full <= data_valid && data_last;",
        "end",
        "",
        "genvar k;",
        "generate",
        f"    for (k = 0; k < {node.stream.lanes}; k = k + 1) begin : lane",
        f"        wire {sign}[{width - 1}:0] value = data[k*{width}+:{width}];",
        f"        wire {sign}[{width - 1}:0] best = largest[k*{width}+:{width}];",
        "        always @(posedge clk)",
        f"            if (enable && data_valid && ({better}))",
        f"                largest[k*{width}+:{width}] <= value;",
        "    end",
        "endgenerate",
    ]


def window_counts(window: Window) -> list[int]:
    """How many pixels of the image windows cover, in all the different ways, ascending."""
    each = []
    for size, kernel, stride, (before, _), count in zip(
        (window.height, window.width), window.kernel, window.stride, window.padding,
        (window.out_height, window.out_width), strict=True,
    ):  # fmt: skip
        starts = [i * stride - before for i in range(count)]
        each.append({min(start + kernel, size) - max(start, 0) for start in starts})
    return sorted({a * b for a, b in itertools.product(*each)})


def reciprocal(count: int, bits: int) -> tuple[int, int]:
    """(factor, shift): ``n * factor >> shift`` is ``n // count`` for all 0 <= n < 2**bits.

    The smallest such shift with factor = ceil(2**shift / count); the condition is that of Granlund and Montgomery,
    "Division by Invariant Integers using Multiplication", PLDI 1994, theorem 4.2.
    """
    for shift in range(2 * bits + count.bit_length() + 2):
        factor = -(-(1 << shift) // count)
        if (factor * count - (1 << shift)) << bits <= 1 << shift:
            return factor, shift
    raise AssertionError("a shift of bits plus the divisor's is always enough")


def _average(node: Node, source: Node) -> list[str]:
    """The sum of a window, moved to the output's fraction bits and divided by its pixels, cut off towards zero."""
    layer, window = node.layer, node.window
    assert layer is not None
    assert window is not None
    x, out = source.stream.format, node.stream.format
    counts = window_counts(window)
    pixels = max(counts)
    shift = out.fraction - x.fraction
    if shift < 0:
        raise InputError(f"{layer.name}: a mean that loses fraction bits has no hardware")
    total = x.width + (pixels - 1).bit_length() + (0 if x.signed else 1)  # two's complement
    magnitude = total + shift
    scales = [reciprocal(count, magnitude) for count in counts]
    most = max(factor.bit_length() for factor, _ in scales)
    sign = f"data[k*{x.width}+{x.width - 1}]" if x.signed else "1'b0"
    lines = [
        "reg sums_full;",
        "always @(posedge clk) begin",
        "    if (rst) begin",
        "        sums_full <= 1'b0;",
        "        full <= 1'b0;",
        "    end else if (enable) begin",
        "        sums_full <= data_valid && data_last;",
        "        full <= sums_full;",
        "    end",
        "end",
        "",
    ]
    if len(counts) > 1:
        bits = bits_for(pixels + 1)
        lines += [
            f"reg [{bits - 1}:0] pixels; // of the image in the window",
            "always @(posedge clk)",
            "    if (enable && data_valid)",
            f"        pixels <= (data_first ? {bits}'d0 : pixels) + {{{bits - 1}'d0, !data_padding}};",
            "",
        ]
    elif window.padded:
        lines += unused("data_padding")
    product = magnitude + most
    moved = f"{{absolute, {shift}'d0}}" if shift else "absolute"
    lines += [
        f"reg [{node.stream.bits - 1}:0] means;",
        "assign out_data = means;",
        "",
        "genvar k;",
        "generate",
        f"    for (k = 0; k < {node.stream.lanes}; k = k + 1) begin : lane",
        f"        reg [{total - 1}:0] sum;",
        f"        wire [{total - 1}:0] value = {{{{{total - x.width}{{{sign}}}}}, data[k*{x.width}+:{x.width}]}};",
        f"        always @(posedge clk) if (enable && data_valid) sum <= (data_first ? {total}'d0 : sum) + value;",
        f"        wire negative = sum[{total - 1}];",
        f"        wire [{total - 1}:0] absolute = negative ? -sum : sum;",
        f"        wire [{magnitude - 1}:0] moved = {moved};",
        "        // Waived: the quotient fits the output.",
        "        // verilator lint_off WIDTH",
        "        // verilator lint_off UNUSEDSIGNAL",
        *[f"        {line}" for line in _quotient(counts, scales, product, magnitude, bits_for(pixels + 1))],
        f"        wire [{out.width - 1}:0] mean = quotient;",
        "        // verilator lint_on UNUSEDSIGNAL",
        "        // verilator lint_on WIDTH",
        f"        always @(posedge clk) if (enable) means[k*{out.width}+:{out.width}] <= negative ? -mean : mean;",
        "    end",
        "endgenerate",
    ]
    return lines


def _quotient(counts: list[int], scales: list[tuple[int, int]], product: int, magnitude: int, bits: int) -> list[str]:
    """A wire ``quotient``: ``moved`` divided by the number of pixels, as a product with its reciprocal."""
    if counts == [1]:
        return [f"wire [{magnitude - 1}:0] quotient = moved;"]
    wide = f"{{{{{product - magnitude}{{1'b0}}}}, moved}}"
    choices = []
    for count, (factor, shift) in zip(counts, scales, strict=True):
        value = f"({wide} * {product}'d{factor}) >> {shift}"
        choices.append(value if count == counts[-1] else f"pixels == {bits}'d{count} ? {value}")
    lines = [f"wire [{product - 1}:0] quotient ="]
    lines += [f"    {'' if i == 0 else ': '}{choice}" for i, choice in enumerate(choices)]
    lines[-1] += ";"
    return lines
