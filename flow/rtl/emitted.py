"""What the modules of all layers have in common: their names, the comment on top, and the window buffer in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flow.rtl.design import Node
from flow.rtl.memories import ram_style
from flow.rtl.text import harmless, instance
from flow.rtl.window import bits_for


@dataclass
class Emitted:
    """A node's module: its text, the library modules it needs, and the memories it reads by file name."""

    name: str
    text: str
    library: tuple[str, ...] = ()
    memories: dict[str, list[str]] = field(default_factory=dict)


def module_name(node: Node) -> str:
    """The name of a node's module: prefixed, so that no layer is called like a keyword or a library module."""
    return f"layer_{node.name}"


def about(node: Node, inputs: Sequence[Node], *more: str) -> list[str]:
    """The comment on top: what the layer is, its streams and formats."""
    layer = node.layer
    assert layer is not None
    shapes = " and ".join(str(source.stream.format) for source in inputs)
    lines = [
        f"{layer.name}: {layer.op}, {shape_text(layer.in_shape)} -> {shape_text(layer.out_shape)}.",
        f"From the model's layer {harmless(layer.source)}.",
        f"Formats: {shapes} -> {layer.output}; rounding {layer.rounding}, saturation {layer.saturation}.",
    ]
    lanes = " and ".join(str(source.stream.lanes) for source in inputs)
    lines.append(f"Channels a beat: {lanes} in, {node.stream.lanes} out.")
    return [*lines, *more]


def shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def window_instance(node: Node, source: Node, depth: int, ready: str) -> list[str]:
    window = node.window
    assert window is not None
    bits = source.stream.bits
    return [
        *(f"wire {name};" for name in ("data_valid", "data_first", "data_last", "data_padding", "load")),
        f"wire [{bits - 1}:0] data;",
        f"wire [{bits_for(window.steps) - 1}:0] step;",
        "",
        *instance(
            "flow_window",
            "window",
            {
                "BITS": bits, "DEPTH": depth, "HEIGHT": window.height, "WIDTH": window.width,
                "CHANNEL_BEATS": window.beats, "OUT_HEIGHT": window.out_height, "OUT_WIDTH": window.out_width,
                "KERNEL_HEIGHT": window.kernel[0], "KERNEL_WIDTH": window.kernel[1],
                "STRIDE_HEIGHT": window.stride[0], "STRIDE_WIDTH": window.stride[1],
                "PAD_TOP": window.padding[0][0], "PAD_LEFT": window.padding[1][0], "PADDED": int(window.padded),
                "PASSES": window.passes, "RUN": window.run, "PASS_STEP": window.pass_step, "NEED": window.need,
                "STEP_BITS": bits_for(window.steps), "RAM_STYLE": ram_style(depth, bits),
            },
            {
                "clk": "clk", "rst": "rst", "in_valid": "in_valid", "in_ready": "in_ready", "in_data": "in_data",
                "out_valid": "data_valid", "out_ready": ready, "out_data": "data", "out_first": "data_first",
                "out_last": "data_last", "out_padding": "data_padding", "load": "load", "out_step": "step",
            },
        ),
        "",
    ]  # fmt: skip


def unused(*names: str, name: str = "unused") -> list[str]:
    """A wire that takes what a layer has no use for, so that lint finds what is left out by mistake."""
    return [
        "// Waived: this layer has no use for these.",
        "// verilator lint_off UNUSEDSIGNAL",
        f"wire {name} = &{{1'b0, {', '.join(names)}}};",
        "// verilator lint_on UNUSEDSIGNAL",
        "",
    ]
