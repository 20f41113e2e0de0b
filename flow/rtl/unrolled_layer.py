"""The Verilog of an unrolled layer: a sliding window, and the adders that its weights became."""

from __future__ import annotations

from flow.errors import ToolError
from flow.network.fixed import FixedFormat, smallest_format
from flow.rtl.adder_graph import ADDERS_PER_STAGE, AdderGraph, Output, Sum, graph_of, graph_stages
from flow.rtl.design import Node
from flow.rtl.emitted import Emitted, about, module_name, shape_text
from flow.rtl.memories import ram_style
from flow.rtl.patch import emitted, first_slot, patch_of, slots
from flow.rtl.text import instance, module


def emit_unrolled(node: Node, inputs: list[Node]) -> Emitted:
    """The module of a dense, convolution or depthwise layer without a loop."""
    layer = node.layer
    assert layer is not None
    assert layer.weight is not None
    source = inputs[0].stream
    graph, stages = graph_of(layer, source.format), graph_stages(layer)
    patch = patch_of(layer)
    bits = patch.kernel[0] * patch.kernel[1] * source.bits
    lines = [
        "// The pipeline stands still while a result waits.",
        "wire enable = !out_valid || out_ready;",
        "wire window_valid;",
        "// Waived: a weight of zero reads nothing.",
        "// verilator lint_off UNUSEDSIGNAL",
        f"wire [{bits - 1}:0] window;",
        "// verilator lint_on UNUSEDSIGNAL",
        "",
        *_patch(node, source.bits),
        *instance(
            "flow_delay", "valid", {"BITS": 1, "STAGES": stages},
            {"clk": "clk", "rst": "rst", "enable": "enable", "in": "window_valid", "out": "out_valid"},
        ),
        "",
        *_Adders(node, source.format, graph, stages).lines(),
    ]  # fmt: skip
    text = module(
        module_name(node),
        about(
            node, inputs,
            f"Weights: {layer.weight.format}, {layer.weight.values.size:,} of them as {graph.adders:,} adders in "
            f"{stages} pipeline stages; kernel {shape_text(patch.kernel)}, stride {shape_text(patch.stride)}, padding "
            f"{patch.padding}.",
            f"Unrolled: a window position a cycle, {slots(patch):,} cycles an inference.",
        ),
        {"in": source.bits}, node.stream.bits, lines,
    )  # fmt: skip
    return Emitted(module_name(node), text, ("flow_patch", "flow_delay"))


def _patch(node: Node, bits: int) -> list[str]:
    layer = node.layer
    assert layer is not None
    patch = patch_of(layer)
    at = emitted(patch)
    total, first = slots(patch), first_slot(patch)
    rows = patch.stride[0] * patch.width - (patch.out_width - 1) * patch.stride[1]
    word = (patch.kernel[0] - 1) * bits
    return [
        *instance(
            "flow_patch",
            "patch",
            {
                "BITS": bits, "HEIGHT": patch.height, "WIDTH": patch.width, "OUT_HEIGHT": patch.out_height,
                "OUT_WIDTH": patch.out_width, "KERNEL_HEIGHT": patch.kernel[0], "KERNEL_WIDTH": patch.kernel[1],
                "STRIDE_HEIGHT": patch.stride[0], "STRIDE_WIDTH": patch.stride[1], "PAD_TOP": patch.padding[0][0],
                "PAD_LEFT": patch.padding[1][0], "PADDED": int(patch.padded), "SLOTS": total, "FIRST": first,
                "GAP_X": patch.stride[1], "GAP_Y": rows, "GAP_FRAME": total - int(at[-1]) + first,
                "RAM_STYLE": ram_style(patch.width, max(word, 1)),
            },
            {
                "clk": "clk", "rst": "rst", "enable": "enable", "in_valid": "in_valid", "in_ready": "in_ready",
                "in_data": "in_data", "out_valid": "window_valid", "out_data": "window",
            },
        ),
        "",
    ]  # fmt: skip


class _Adders:
    """Statements of an adder graph. Values keep the name of their sum; ``_n`` behind it: as of pipeline stage n."""

    def __init__(self, node: Node, x: FixedFormat, graph: AdderGraph, stages: int) -> None:
        self.node, self.x, self.graph, self.stages = node, x, graph, stages
        self.comb: list[str] = []
        self.held: list[str] = []
        self.registers: list[str] = []
        self.known: set[tuple[int, int]] = set()
        self.inputs: list[str] = []

    def lines(self) -> list[str]:
        """All of them, inputs to outputs."""
        used = self._used()
        for index, item in enumerate(self.graph.sums):
            if index not in used:
                continue
            if item.b is None:
                sign = "" if self.x.signed else "1'b0, "
                value = f"window[{item.a * self.x.width}+:{self.x.width}]"
                self.inputs.append(f"wire {_type(item)} s{index} = {{{sign}{value}}};")
            else:
                stage = _stage(item)
                a, b = self.at(item.a, stage), self.at(item.b, stage)
                sign = "-" if item.minus else "+"
                self.comb.append(
                    f"wire {_type(item)} s{index} = {_moved(a, item.left)} {sign} {_moved(b, item.right)};"
                )
        results = [self.result(o, output) for o, output in enumerate(self.graph.outputs)]
        return [
            "// Waived: sums are as wide as their range, which is wider or narrower than their terms; the ends of some",
            "// are never looked at.",
            "// verilator lint_off WIDTH",
            "// verilator lint_off UNUSEDSIGNAL",
            *self.inputs,
            *self.held,
            *self.comb,
            "// verilator lint_on UNUSEDSIGNAL",
            "",
            "// Pipeline registers: s1_2 is s1 behind stage 2.",
            "always @(posedge clk) begin",
            "    if (enable) begin",
            *(f"        {line}" for line in self.registers),
            "    end",
            "end",
            "",
            f"reg [{self.node.stream.bits - 1}:0] results;",
            "assign out_data = results;",
            "always @(posedge clk) begin",
            "    if (enable) begin",
            *(f"        {line}" for line in results),
            "    end",
            "end",
            "// verilator lint_on WIDTH",
        ]

    def _used(self) -> set[int]:
        """Sums that a result is made of."""
        found: set[int] = set()
        waiting = [output.sum for output in self.graph.outputs if output.sum is not None]
        while waiting:
            index = waiting.pop()
            if index in found:
                continue
            found.add(index)
            item = self.graph.sums[index]
            if item.b is not None:
                waiting += [item.a, item.b]
        return found

    def at(self, index: int, stage: int) -> str:
        """The name of a sum as the adders of a stage see it; made if need be."""
        own = _stage(self.graph.sums[index])
        last = stage - 1
        if stage == own or last == own == 0:
            return f"s{index}"
        for n in range(max(own, 1), last + 1):
            if (index, n) not in self.known:
                self.known.add((index, n))
                before = f"s{index}" if n == max(own, 1) else f"s{index}_{n - 1}"
                self.held.append(f"reg {_type(self.graph.sums[index])} s{index}_{n};")
                self.registers.append(f"s{index}_{n} <= {before};")
        return f"s{index}_{last}"

    def result(self, number: int, output: Output) -> str:
        """The statement of a result: a sum, moved and with its bias."""
        layer = self.node.layer
        assert layer is not None
        assert layer.weight is not None
        width = layer.output.width
        shift = layer.output.fraction - self.x.fraction - layer.weight.format.fraction
        bias = 0
        if layer.bias is not None:
            bias = int(layer.bias.values[number]) << (layer.output.fraction - layer.bias.format.fraction)
        target = f"results[{number * width}+:{width}]"
        if output.sum is None:
            return f"{target} <= {_constant(bias, width)};"
        item = self.graph.sums[output.sum]
        if item.level >= self.stages * ADDERS_PER_STAGE:
            raise ToolError(f"{layer.name}: an adder graph of {item.level} levels does not fit {self.stages} stages")
        value = _moved(self.at(output.sum, self.stages), output.shift + shift)
        if output.minus:
            return f"{target} <= {_constant(bias, width)} - {value};"
        return f"{target} <= {value}{f' + {_constant(bias, width)}' if bias else ''};"


def _stage(item: Sum) -> int:
    return -(-item.level // ADDERS_PER_STAGE)


def _type(item: Sum) -> str:
    width = smallest_format(min(item.low, -1), max(item.high, 0), 0).width
    return f"signed [{width - 1}:0]"


def _moved(name: str, shift: int) -> str:
    return f"({name} <<< {shift})" if shift else name


def _constant(value: int, width: int) -> str:
    return f"{'-' if value < 0 else ''}{width}'sd{abs(value)}"
