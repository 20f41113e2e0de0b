"""The Verilog of a folded layer: window buffer, weight memory, multiply-accumulate array and accumulators."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flow.rtl.design import Node
from flow.rtl.emitted import Emitted, about, module_name, shape_text, unused, window_instance
from flow.rtl.mac import STYLES, pack_words
from flow.rtl.memories import block_width, rom_style
from flow.rtl.schedule import Schedule
from flow.rtl.text import instance, module
from flow.rtl.window import bits_for


def emit_mac(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    """The module of a dense, convolution or depthwise layer, with its memories."""
    layer, window, code = node.layer, node.window, node.code
    assert layer is not None
    assert window is not None
    assert code is not None
    assert layer.weight is not None
    source, lanes = inputs[0], node.stream.lanes
    channelwise = layer.op == "depthwise"
    x, w_format = source.stream.format, layer.weight.format
    fan = 1 if channelwise else node.fold.inputs
    products = lanes * fan
    word = products * code.bits
    bias_file = f"{layer.name}_bias.hex"
    memories, rom_lines = _weight_memory(node, _weight_words(node, channelwise), word)
    width = layer.output.width
    fraction = x.fraction + w_format.fraction
    shift = layer.output.fraction - fraction
    assert shift >= 0
    lines = [
        "// The pipeline stands still while a result waits.",
        "reg full;",
        "wire enable = !full || out_ready;",
        "assign out_valid = full;",
        "",
        *window_instance(node, source, schedule.rings[node.name], "enable"),
        *unused("data_padding"),
        *rom_lines,
    ]
    sums = node.sum_bits
    parameters: dict[str, int | str] = {
        "OUTPUTS": 1 if channelwise else lanes, "INPUTS": fan, "INPUT_BITS": x.width, "INPUT_SIGNED": int(x.signed),
        "WEIGHT_BITS": code.bits, "BINARY": int(code.binary), "SUM_BITS": sums, "TAG_BITS": 3,
    }  # fmt: skip
    ports = {
        "clk": "clk", "rst": "rst", "enable": "enable", "in_tag": "{data_valid, data_first, data_last}",
        "in_data": "data", "in_weights": "weight", "out_tag": "{sum_valid, sum_first, sum_last}", "out_sums": "sums",
    }  # fmt: skip
    lines += [f"wire [{lanes * sums - 1}:0] sums;", "wire sum_valid, sum_first, sum_last;", ""]
    if channelwise:
        lines += [f"wire [{3 * lanes - 1}:0] tags;", "assign {sum_valid, sum_first, sum_last} = tags[2:0];"]
        if lanes > 1:
            lines += unused(f"tags[{3 * lanes - 1}:3]", name="unused_tags")
        ports |= {
            "in_data": f"data[k*{x.width}+:{x.width}]", "in_weights": f"weight[k*{code.bits}+:{code.bits}]",
            "out_tag": "tags[3*k+:3]", "out_sums": f"sums[k*{sums}+:{sums}]",
        }  # fmt: skip
        lines += ["genvar k;", "generate", f"    for (k = 0; k < {lanes}; k = k + 1) begin : lane"]
        lines += [f"        {line}" for line in instance(f"flow_mac_{node.fold.style}", "mac", parameters, ports)]
        lines += ["    end", "endgenerate", ""]
    else:
        lines += [*instance(f"flow_mac_{node.fold.style}", "mac", parameters, ports), ""]
    bias = np.zeros(node.stream.channels, dtype=np.int64)
    if layer.bias is not None:
        bias = layer.bias.values << (layer.output.fraction - layer.bias.format.fraction)
    if bias.any():
        words = (bias & ((1 << width) - 1)).reshape(-1, lanes)
        memories[bias_file] = pack_words(words, width)
        lines += _bias_memory(bias_file, memories[bias_file][0], window.passes, lanes * width)
        start = "bias"
    else:
        start = f"{lanes * width}'d0"
    lines += [
        f"// Accumulators, {layer.output}: they are the output, too.",
        f"reg [{lanes * width - 1}:0] accumulators;",
        "assign out_data = accumulators;",
        f"wire [{lanes * width - 1}:0] start = {start};",
        f"wire [{lanes * width - 1}:0] next;",
        "",
        "always @(posedge clk) begin",
        "    if (rst) full <= 1'b0;",
        "    else if (enable) full <= sum_valid && sum_last;",
        "end",
        "always @(posedge clk) if (enable && sum_valid) accumulators <= next;",
        "",
        "genvar o;",
        "generate",
        f"    for (o = 0; o < {lanes}; o = o + 1) begin : output_channel",
        "        // Waived: the accumulator works modulo its width, which a sum of zeros makes narrow.",
        "        // verilator lint_off UNUSEDSIGNAL",
        f"        wire [{sums - 1}:0] sum = sums[o*{sums}+:{sums}];",
        "        // verilator lint_on UNUSEDSIGNAL",
        f"        wire [{width - 1}:0] so_far",
        f"            = sum_first ? start[o*{width}+:{width}] : accumulators[o*{width}+:{width}];",
        *[
            f"        {line}"
            for line in instance(
                "flow_add",
                "add",
                {"BITS": width},
                {"a": _extended("sum", sums, width, shift), "b": "so_far", "sum": f"next[o*{width}+:{width}]"},
            )
        ],
        "    end",
        "endgenerate",
    ]
    text = module(
        module_name(node),
        about(
            node, inputs,
            f"Weights: {layer.weight.format}{' (-1 and 1)' if code.binary else ''}, "
            f"kernel {shape_text(window.kernel)}, stride {shape_text(window.stride)}, padding {window.padding}.",
            f"Folding: {lanes} outputs x {fan} inputs a cycle, array of style {node.fold.style}; {window.steps:,} "
            f"cycles a position, {window.positions * window.steps:,} an inference.",
        ),
        {"in": source.stream.bits}, node.stream.bits, lines,
    )  # fmt: skip
    return Emitted(
        module_name(node), text, ("flow_window", "flow_rom", "flow_add", *STYLES[node.fold.style].modules), memories
    )


def _extended(name: str, bits: int, width: int, shift: int) -> str:
    """``name`` (two's complement) times ``2**shift`` in ``width`` bits, modulo."""
    keep = min(bits, width - shift)
    if keep <= 0:
        return f"{width}'d0"
    parts = [] if width - shift - keep == 0 else [f"{{{width - shift - keep}{{{name}[{bits - 1}]}}}}"]
    parts.append(name if keep == bits else f"{name}[{keep - 1}:0]")
    if shift:
        parts.append(f"{shift}'d0")
    return f"{{{', '.join(parts)}}}" if len(parts) > 1 else parts[0]


def _weight_memory(node: Node, words: NDArray[np.int64], word: int) -> tuple[dict[str, list[str]], list[str]]:
    """The files of the weights, and the ROMs that read them: side by side, each as wide as one block RAM.

    A wide memory left in one piece is cut by its depth, with multiplexers behind.
    """
    layer, code = node.layer, node.code
    assert layer is not None
    assert code is not None
    depth = len(words)
    style = rom_style(depth, word)
    width = block_width(depth) if style == "block" else word
    digits = ((words[:, :, None] >> np.arange(code.bits)) & 1).reshape(depth, word)
    lines = [
        f"// Weights: a word of {word // code.bits} codes of {code.bits} bit{'s' if code.bits > 1 else ''} a step.",
        f"wire [{word - 1}:0] weight;",
    ]
    memories = {}
    for index, start in enumerate(range(0, word, width)):
        end = min(start + width, word)
        file = f"{layer.name}_weights_{index}.hex"
        memories[file] = pack_words(digits[:, start:end], 1)
        lines += instance(
            "flow_rom",
            f"weights_{index}",
            {"BITS": end - start, "DEPTH": depth, "ADDRESS_BITS": bits_for(depth), "FILE": file, "ROM_STYLE": style},
            {"clk": "clk", "enable": "load", "address": "step", "data": f"weight[{end - 1}:{start}]"},
        )
    return memories, [*lines, ""]


def _bias_memory(file: str, first: str, passes: int, bits: int) -> list[str]:
    lines = [
        "// Biases: a word a pass, which accumulation starts from.",
        f'(* rom_style = "logic" *) reg [{bits - 1}:0] biases[0:{passes - 1}];',
        f'initial $readmemh("{file}", biases);',
    ]
    if passes == 1:
        return [*lines, f"wire [{bits - 1}:0] bias = biases[0];", ""]
    count = bits_for(passes)
    return [
        *lines,
        f"reg [{count - 1}:0] pass; // the one after that of bias",
        f"reg [{bits - 1}:0] bias;",
        "always @(posedge clk) begin",
        "    if (rst) begin",
        f"        pass <= {count}'d1;",
        f"        bias <= {bits}'h{first};",
        "    end else if (enable && sum_valid && sum_last) begin",
        f"        pass <= pass == {count}'d{passes - 1} ? {count}'d0 : pass + {count}'d1;",
        "        bias <= biases[pass];",
        "    end",
        "end",
        "",
    ]


def _weight_words(node: Node, channelwise: bool) -> NDArray[np.int64]:
    """Weights as (steps, products): the words of the memory, in the order in which the window asks for them."""
    layer, code, window = node.layer, node.code, node.window
    assert layer is not None
    assert layer.weight is not None
    assert code is not None
    assert window is not None
    codes = code.encode(layer.weight.values)
    taps = window.kernel[0] * window.kernel[1]
    p, s = node.stream.lanes, 1 if channelwise else node.fold.inputs
    if channelwise:  # (taps, passes, lanes) -> (passes, taps, lanes)
        return codes.reshape(taps, window.passes, p).transpose(1, 0, 2).reshape(window.steps, p)
    # (taps, beats, inputs, passes, outputs) -> (passes, taps, beats, outputs, inputs)
    shaped = codes.reshape(taps, window.beats, s, window.passes, p).transpose(3, 0, 1, 4, 2)
    return shaped.reshape(window.steps, p * s)
