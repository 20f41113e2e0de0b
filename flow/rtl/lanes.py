"""What happens to one value, as the body of a Verilog function: activations, requantization, merging.

All of a function's arithmetic is in one signed width that holds every intermediate value; synthesizers drop the bits
that are not needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import QuantizedLayer, Rounding, Saturation

MAX_BITS = 160
"""Widest arithmetic in a function: two 62-bit factors and a shift."""


@dataclass
class Body:
    """A function's statements, for values of ``width`` bits."""

    width: int
    lines: list[str] = field(default_factory=list)

    def constant(self, value: int) -> str:
        """A signed literal of the body's width."""
        sign = "-" if value < 0 else ""
        return f"{sign}{self.width}'sd{abs(value)}"

    def put(self, line: str) -> None:
        self.lines.append(line)


def widened(name: str, of: FixedFormat, width: int) -> str:
    """The value called ``name`` with format ``of``, extended to ``width`` bits."""
    sign = f"{name}[{of.width - 1}]" if of.signed else "1'b0"
    return f"{{{{{width - of.width}{{{sign}}}}}, {name}}}"


def requantize(
    body: Body, name: str, fraction: int, to: FixedFormat, rounding: Rounding, saturation: Saturation
) -> None:
    """Statements that turn ``name`` with ``fraction`` fraction bits into a code of ``to``, in place."""
    bits = fraction - to.fraction
    low, high = to.low + (saturation == "symmetric"), to.high
    if bits < 0:
        body.put(f"{name} = {name} <<< {-bits};")
    elif bits >= body.width:
        raise InputError(f"a shift by {bits} bits has no hardware")
    elif bits > 0:
        if rounding == "half_even":
            body.put(f"// to the nearest of {to}, ties to even")
            below = f"|{name}[{bits - 2}:0]" if bits > 1 else "1'b0"
            body.put(f"up = {name}[{bits - 1}] && ({below} || {name}[{bits}]);")
        elif rounding == "toward_zero":
            body.put(f"// towards zero in {to}")
            body.put(f"up = {name}[{body.width - 1}] && |{name}[{bits - 1}:0];")
        body.put(f"{name} = {name} >>> {bits};")
        if rounding != "exact":
            body.put(f"if (up) {name} = {name} + {body.constant(1)};")
    if saturation != "none":
        body.put(f"if ({name} > {body.constant(high)}) {name} = {body.constant(high)};")
        body.put(f"if ({name} < {body.constant(low)}) {name} = {body.constant(low)};")


def _width(layer: QuantizedLayer, *formats: FixedFormat) -> int:
    """A width in which nothing overflows: integer and fraction bits of everything, a shift and two bits of carry."""
    both = (*formats, layer.output)
    fraction = max(max(f.fraction for f in both) + (layer.shift or 0), 1)
    integer = max(f.integer for f in both)
    width = max(integer + fraction, *(f.width for f in both)) + 4
    if layer.op == "multiply":
        width += sum(f.width for f in formats)
    if width > MAX_BITS:
        raise InputError(f"{layer.name}: arithmetic of {width} bits has no hardware")
    return width


def function_of(layer: QuantizedLayer, *formats: FixedFormat) -> list[str]:
    """The lines of ``function f``: a value of each format (``a``, ``b``) to a code of the layer's output.

    Raises InputError for a layer that does not work value by value.
    """
    width = _width(layer, *formats)
    body = Body(width)
    builders = {"relu": _relu, "quantize": _quantize, "clip": _clip, "hard_tanh": _hard, "hard_sigmoid": _hard,
                "sign": _sign, "ternary": _ternary}  # fmt: skip
    for name, of in zip(("a", "b"), formats, strict=False):
        body.put(f"{name}_wide = {widened(name, of, width)};")
    if len(formats) == 2:
        _merge(body, layer, formats[0], formats[1])
    elif layer.op in builders:
        builders[layer.op](body, layer, formats[0])
    else:
        raise InputError(f"{layer.name}: {layer.op} does not work value by value")
    names = ("a", "b")[: len(formats)]
    inputs = ", ".join(f"input [{of.width - 1}:0] {name}" for name, of in zip(names, formats, strict=True))
    wide = ", ".join(f"{name}_wide" for name in names)
    declared = [f"    reg signed [{width - 1}:0] {wide}, v;"]
    if any("up = " in line for line in body.lines):
        declared.append("    reg up;")
    return [
        "// Waived: above the result there are only copies of its sign.",
        "// verilator lint_off UNUSEDSIGNAL",
        f"function [{layer.output.width - 1}:0] f({inputs});",
        *declared,
        "    begin",
        *(f"        {line}" for line in body.lines),
        f"        f = v[{layer.output.width - 1}:0];",
        "    end",
        "endfunction",
        "// verilator lint_on UNUSEDSIGNAL",
    ]


def _quantize(body: Body, layer: QuantizedLayer, x: FixedFormat) -> None:
    body.put("v = a_wide;")
    requantize(body, "v", x.fraction, layer.output, layer.rounding, layer.saturation)


def _relu(body: Body, layer: QuantizedLayer, x: FixedFormat) -> None:
    if x.signed:
        body.put(f"v = a_wide < {body.constant(0)} ? {body.constant(0)} : a_wide;")
    else:
        body.put("v = a_wide;")
    requantize(body, "v", x.fraction, layer.output, layer.rounding, layer.saturation)


def _clip(body: Body, layer: QuantizedLayer, x: FixedFormat) -> None:
    assert layer.low is not None
    assert layer.high is not None
    body.put("v = a_wide;")
    positive = Body(body.width)
    requantize(positive, "v", x.fraction, layer.output, layer.rounding, layer.saturation)
    if x.signed:
        negative = Body(body.width)
        if layer.shift is None:
            negative.put(f"v = {body.constant(0)};")
        else:
            requantize(negative, "v", x.fraction + layer.shift, layer.output, layer.rounding, layer.saturation)
        body.put(f"if (a_wide < {body.constant(0)}) begin")
        body.lines += [f"    {line}" for line in negative.lines]
        body.put("end else begin")
        body.lines += [f"    {line}" for line in positive.lines]
        body.put("end")
    else:
        body.lines += positive.lines
    body.put(f"if (v > {body.constant(layer.high)}) v = {body.constant(layer.high)};")
    body.put(f"if (v < {body.constant(layer.low)}) v = {body.constant(layer.low)};")


def _hard(body: Body, layer: QuantizedLayer, x: FixedFormat) -> None:
    # clip(x / 2 + 1 / 2, 0, 1) with one more fraction bit, at least one for the 1 / 2; see quantized_reference.
    fraction = max(x.fraction + 1, 1)
    one = 1 << fraction
    if body.width < fraction + 3:
        raise InputError(f"{layer.name}: {fraction} fraction bits have no hardware")
    body.put(f"v = a_wide <<< {fraction - x.fraction - 1};")
    body.put(f"if (v > {body.constant(one)}) v = {body.constant(one)};")
    body.put(f"if (v < {body.constant(-one)}) v = {body.constant(-one)};")
    body.put(f"v = v + {body.constant(one // 2)};")
    body.put(f"if (v > {body.constant(one)}) v = {body.constant(one)};")
    body.put(f"if (v < {body.constant(0)}) v = {body.constant(0)};")
    if layer.op == "hard_tanh":
        body.put(f"v = (v <<< 1) - {body.constant(one)};")
    requantize(body, "v", fraction, layer.output, layer.rounding, layer.saturation)


def _sign(body: Body, layer: QuantizedLayer, x: FixedFormat) -> None:
    body.put(f"v = a_wide < {body.constant(0)} ? {body.constant(-1)} : {body.constant(1)};")


def _ternary(body: Body, layer: QuantizedLayer, x: FixedFormat) -> None:
    assert layer.low is not None
    assert layer.high is not None
    if max(-layer.low, layer.high).bit_length() >= body.width:
        raise InputError(f"{layer.name}: its threshold is far outside {x}")
    body.put(f"v = {body.constant(0)};")
    body.put(f"if (a_wide >= {body.constant(layer.high)}) v = v + {body.constant(1)};")
    body.put(f"if (a_wide <= {body.constant(layer.low)}) v = v - {body.constant(1)};")


def _merge(body: Body, layer: QuantizedLayer, x: FixedFormat, y: FixedFormat) -> None:
    if layer.op == "multiply":
        body.put("v = a_wide * b_wide;")
        requantize(body, "v", x.fraction + y.fraction, layer.output, layer.rounding, layer.saturation)
        return
    for name, of in (("a", x), ("b", y)):
        if layer.output.fraction != of.fraction:
            body.put(f"{name}_wide = {name}_wide <<< {layer.output.fraction - of.fraction};")
    body.put({
        "add": "v = a_wide + b_wide;",
        "subtract": "v = a_wide - b_wide;",
        "average": "v = (a_wide + b_wide) >>> 1;",
        "maximum": "v = a_wide > b_wide ? a_wide : b_wide;",
        "minimum": "v = a_wide < b_wide ? a_wide : b_wide;",
    }[layer.op])  # fmt: skip
