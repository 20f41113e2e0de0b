"""The Verilog of the layers without a multiply-accumulate array: value by value, merging, padding, pooling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import QuantizedLayer
from flow.rtl.design import Design, Node
from flow.rtl.emitted import Emitted, about, module_name
from flow.rtl.lanes import function_of
from flow.rtl.mac import pack_words
from flow.rtl.mac_layer import emit_mac
from flow.rtl.memories import rom_style
from flow.rtl.pool_layer import emit_pool
from flow.rtl.schedule import Schedule, concat_beats, pad_geometry
from flow.rtl.text import handshake, module
from flow.rtl.unrolled_layer import emit_unrolled
from flow.rtl.window import bits_for


def emit(design: Design, index: int, schedule: Schedule) -> Emitted:
    """The module of a node that belongs to a layer. Raises InputError if it has none."""
    node = design.nodes[index]
    return _EMITTERS[node.kind](node, [design.nodes[i] for i in node.inputs], schedule)


def _layer(node: Node) -> QuantizedLayer:
    assert node.layer is not None
    return node.layer


# Value by value


def _per_lane(node: Node, inputs: list[Node], names: tuple[str, ...]) -> list[str]:
    """The register stage that applies ``f`` to every lane."""
    out = node.stream.format.width
    arguments = ", ".join(
        f"{name}_data[k*{source.stream.format.width}+:{source.stream.format.width}]"
        for name, source in zip(names, inputs, strict=True)
    )
    return [
        f"reg [{node.stream.bits - 1}:0] data;",
        "assign out_data = data;",
        "",
        "genvar k;",
        "generate",
        f"    for (k = 0; k < {node.stream.lanes}; k = k + 1) begin : lane",
        f"        always @(posedge clk) if (free) data[k*{out}+:{out}] <= f({arguments});",
        "    end",
        "endgenerate",
    ]


def _lanes(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    layer, source = _layer(node), inputs[0]
    if layer.op == "table":
        return _table(node, inputs)
    body = [*handshake(_per_lane(node, inputs, ("in",))), "", "assign in_ready = free;"]
    text = module(
        module_name(node), about(node, inputs), {"in": source.stream.bits}, node.stream.bits, body,
        function_of(layer, source.stream.format),
    )  # fmt: skip
    return Emitted(module_name(node), text)


def _table(node: Node, inputs: list[Node]) -> Emitted:
    """A lookup table a lane, addressed by the input code limited to the table's range."""
    layer, source = _layer(node), inputs[0]
    assert layer.table is not None
    assert layer.low is not None
    assert layer.high is not None
    x, out = source.stream.format, node.stream.format.width
    entries = layer.table.values.size
    address = bits_for(entries)
    file = f"{layer.name}_table.hex"
    words = (layer.table.values & ((1 << out) - 1)).reshape(-1, 1)
    width = max(x.width, layer.low.bit_length(), layer.high.bit_length()) + 2
    sign = f"in_data[k*{x.width}+{x.width - 1}]" if x.signed else "1'b0"
    value = f"{{{{{width - x.width}{{{sign}}}}}, in_data[k*{x.width}+:{x.width}]}}"
    lines = [
        f'(* rom_style = "{rom_style(entries, out)}" *) reg [{out - 1}:0] entries[0:{entries - 1}];',
        f'initial $readmemh("{file}", entries);',
        f"reg [{node.stream.bits - 1}:0] data;",
        "assign out_data = data;",
        "",
        "genvar k;",
        "generate",
        f"    for (k = 0; k < {node.stream.lanes}; k = k + 1) begin : lane",
        f"        wire signed [{width - 1}:0] x = {value};",
        "        // Waived: beyond the table's ends nothing is left of the upper bits.",
        "        // verilator lint_off UNUSEDSIGNAL",
        f"        wire signed [{width - 1}:0] at = x < {_literal(layer.low, width)} ? {_literal(0, width)}",
        f"            : x > {_literal(layer.high, width)} ? {_literal(entries - 1, width)}",
        f"            : x - {_literal(layer.low, width)};",
        "        // verilator lint_on UNUSEDSIGNAL",
        f"        always @(posedge clk) if (free) data[k*{out}+:{out}] <= entries[at[{address - 1}:0]];",
        "    end",
        "endgenerate",
        "",
        "assign in_ready = free;",
    ]
    note = f"A table of {entries:,} entries for input codes {layer.low} to {layer.high}; its ends for those beyond."
    text = module(
        module_name(node), about(node, inputs, note), {"in": source.stream.bits}, node.stream.bits, handshake(lines)
    )
    return Emitted(module_name(node), text, (), {file: pack_words(words, out)})


def _literal(value: int, width: int) -> str:
    return f"{'-' if value < 0 else ''}{width}'sd{abs(value)}"


def _scale(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    """A factor and an offset a channel: constants by the beat of the pixel."""
    layer, source = _layer(node), inputs[0]
    assert layer.weight is not None
    x, w, out = source.stream.format, layer.weight.format, layer.output
    beats, lanes = node.stream.channels // node.stream.lanes, node.stream.lanes
    shift = out.fraction - x.fraction - w.fraction
    if shift < 0 or layer.saturation != "none":
        raise InputError(f"{layer.name}: a scale that rounds has no hardware yet")
    width = max(out.width, x.width + w.width + 1 + shift)
    factor_bits = w.width + (not w.signed)
    mask = (1 << factor_bits) - 1
    factors, offsets = f"{layer.name}_factors.hex", f"{layer.name}_offsets.hex"
    bias = np.zeros(node.stream.channels, dtype=np.int64)
    if layer.bias is not None:
        bias = layer.bias.values << (out.fraction - layer.bias.format.fraction)
    memories = {
        factors: pack_words((layer.weight.values & mask).reshape(beats, lanes), factor_bits),
        offsets: pack_words((bias & ((1 << out.width) - 1)).reshape(beats, lanes), out.width),
    }
    sign = f"in_data[k*{x.width}+{x.width - 1}]" if x.signed else "1'b0"
    lines = [
        f"reg [{lanes * factor_bits - 1}:0] factors[0:{beats - 1}];",
        f"reg [{lanes * out.width - 1}:0] offsets[0:{beats - 1}];",
        "initial begin",
        f'    $readmemh("{factors}", factors);',
        f'    $readmemh("{offsets}", offsets);',
        "end",
        *_beat_counter(beats, "in_valid && free"),
        f"wire [{lanes * factor_bits - 1}:0] factor = factors[beat];",
        f"wire [{lanes * out.width - 1}:0] offset = offsets[beat];",
        f"reg [{node.stream.bits - 1}:0] data;",
        "assign out_data = data;",
        "",
        "genvar k;",
        "generate",
        f"    for (k = 0; k < {lanes}; k = k + 1) begin : lane",
        f"        wire signed [{x.width}:0] x = {{{sign}, in_data[k*{x.width}+:{x.width}]}};",
        f"        wire signed [{factor_bits - 1}:0] w = factor[k*{factor_bits}+:{factor_bits}];",
        "        // Waived: the product is extended or cut to the output, which holds the result exactly.",
        "        // verilator lint_off WIDTH",
        "        // verilator lint_off UNUSEDSIGNAL",
        f"        wire signed [{width - 1}:0] product = x * w;",
        f"        wire signed [{width - 1}:0] moved = product <<< {shift};",
        "        // verilator lint_on UNUSEDSIGNAL",
        "        // verilator lint_on WIDTH",
        "        always @(posedge clk) if (free)",
        f"            data[k*{out.width}+:{out.width}]",
        f"                <= moved[{out.width - 1}:0] + offset[k*{out.width}+:{out.width}];",
        "    end",
        "endgenerate",
        "",
        "assign in_ready = free;",
    ]
    text = module(
        module_name(node), about(node, inputs), {"in": source.stream.bits}, node.stream.bits, handshake(lines)
    )
    return Emitted(module_name(node), text, (), memories)


def _beat_counter(beats: int, step: str) -> list[str]:
    """``beat``: counts the beats of a pixel."""
    bits = bits_for(beats)
    if beats == 1:
        return [f"wire [{bits - 1}:0] beat = {bits}'d0;"]
    return [
        f"reg [{bits - 1}:0] beat;",
        "always @(posedge clk) begin",
        f"    if (rst) beat <= {bits}'d0;",
        f"    else if ({step}) beat <= beat == {bits}'d{beats - 1} ? {bits}'d0 : beat + {bits}'d1;",
        "end",
    ]


# Several inputs


def _merge(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    layer = _layer(node)
    body = handshake(_per_lane(node, inputs, ("a", "b")), "a_valid && b_valid")
    body += ["", "assign a_ready = free && b_valid;", "assign b_ready = free && a_valid;"]
    text = module(
        module_name(node), about(node, inputs), {"a": inputs[0].stream.bits, "b": inputs[1].stream.bits},
        node.stream.bits, body, function_of(layer, inputs[0].stream.format, inputs[1].stream.format),
    )  # fmt: skip
    return Emitted(module_name(node), text)


def _aligned(name: str, of: FixedFormat, to: FixedFormat, lanes: int) -> list[str]:
    """A wire ``name_wide``: every lane of ``name_data`` in the format ``to``."""
    shift = to.fraction - of.fraction
    fill = to.width - of.width - shift
    sign = f"{name}_data[{{at}}]" if of.signed else "1'b0"
    parts = []
    for k in reversed(range(lanes)):
        top = (k + 1) * of.width - 1
        pieces = [f"{{{fill}{{{sign.format(at=top)}}}}}"] if fill else []
        pieces.append(f"{name}_data[{top}:{k * of.width}]")
        pieces += [f"{shift}'d0"] if shift else []
        parts.append(", ".join(pieces))
    lines = [f"wire [{lanes * to.width - 1}:0] {name}_wide = {{"]
    lines += [f"    {part}{',' if i < lanes - 1 else ''}" for i, part in enumerate(parts)]
    return [*lines, "};"]


def _concat(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    first, second = concat_beats(node)
    lanes, bits = node.stream.lanes, bits_for(first + second)
    lines = [
        *_beat_counter(first + second, "taken"),
        f"wire of_a = beat < {bits}'d{first};",
        "wire valid = of_a ? a_valid : b_valid;",
        "wire taken = valid && free;",
        "assign a_ready = free && of_a;",
        "assign b_ready = free && !of_a;",
        "",
        *_aligned("a", inputs[0].stream.format, node.stream.format, lanes),
        *_aligned("b", inputs[1].stream.format, node.stream.format, lanes),
        f"reg [{node.stream.bits - 1}:0] data;",
        "assign out_data = data;",
        "always @(posedge clk) if (free) data <= of_a ? a_wide : b_wide;",
    ]
    lines = [*handshake([], "valid")[:4], *lines, "", *handshake([], "valid")[4:]]
    text = module(
        module_name(node),
        about(node, inputs, f"A pixel is {first} beats of a, then {second} of b."),
        {"a": inputs[0].stream.bits, "b": inputs[1].stream.bits}, node.stream.bits, lines,
    )  # fmt: skip
    return Emitted(module_name(node), text)


def _pad(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    beats, height, width, top, left, out_height, out_width = pad_geometry(node)
    row, column = bits_for(max(out_height, top + height + 1)), bits_for(max(out_width, left + width + 1))
    checks = []
    for name, bits, start, size, of in (("y", row, top, height, out_height), ("x", column, left, width, out_width)):
        if start:
            checks.append(f"{name} >= {bits}'d{start}")
        if start + size < of:
            checks.append(f"{name} < {bits}'d{start + size}")
    always = "1'b1"
    lines = [
        *handshake([], "valid")[:4],
        *_beat_counter(beats, "taken"),
        f"reg [{column - 1}:0] x;",
        f"reg [{row - 1}:0] y;",
        f"wire in_image = {' && '.join(checks or [always])};",
        "wire valid = !in_image || in_valid;",
        "wire taken = valid && free;",
        f"wire last_beat = beat == {bits_for(beats)}'d{beats - 1};",
        f"wire last_x = x == {column}'d{out_width - 1};",
        "assign in_ready = free && in_image;",
        "",
        "always @(posedge clk) begin",
        "    if (rst) begin",
        f"        x <= {column}'d0;",
        f"        y <= {row}'d0;",
        "    end else if (taken && last_beat) begin",
        f"        x <= last_x ? {column}'d0 : x + {column}'d1;",
        f"        if (last_x) y <= y == {row}'d{out_height - 1} ? {row}'d0 : y + {row}'d1;",
        "    end",
        "end",
        "",
        f"reg [{node.stream.bits - 1}:0] data;",
        "assign out_data = data;",
        f"always @(posedge clk) if (free) data <= in_image ? in_data : {node.stream.bits}'d0;",
        "",
        *handshake([], "valid")[4:],
    ]
    text = module(module_name(node), about(node, inputs), {"in": inputs[0].stream.bits}, node.stream.bits, lines)
    return Emitted(module_name(node), text)


def _unrolled(node: Node, inputs: list[Node], schedule: Schedule) -> Emitted:
    return emit_unrolled(node, inputs)


_Emitter = Callable[[Node, list[Node], Schedule], Emitted]
_EMITTERS: dict[str, _Emitter] = {
    "mac": emit_mac, "pool": emit_pool, "lanes": _lanes, "scale": _scale, "merge": _merge, "concat": _concat,
    "pad": _pad, "unrolled": _unrolled,
}  # fmt: skip
