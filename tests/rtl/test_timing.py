"""Timing estimated from a mapped netlist."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from flow.errors import InputError, ToolError
from flow.rtl.cache import Cache
from flow.rtl.delays import DELAYS
from flow.rtl.netlist import Bit, Cell, Flat, Netlist
from flow.rtl.parts import Part
from flow.rtl.synth import Synthesizer
from flow.rtl.technology import technology
from flow.rtl.timing import OUTSIDE, Timing, estimate
from flow.rtl.yosys import Yosys

D = DELAYS["xc7"]


def cell(name: str, kind: str, output: str, **ports: Bit | tuple[Bit, ...]) -> Cell:
    bits = {port: bit if isinstance(bit, tuple) else (bit,) for port, bit in ports.items()}
    return Cell(name, kind, bits, frozenset({output}))


def register(name: str, d: Bit, q: int, **more: Bit) -> Cell:
    return cell(name, "FDRE", "Q", C=1, D=d, Q=q, **more)


def flat(*cells: tuple[str, Cell], names: dict[int, str] | None = None) -> Flat:
    return Flat(Netlist({}, tuple(one for _, one in cells), names or {}), tuple(layer for layer, _ in cells))


def test_a_path_is_register_nets_logic_and_setup() -> None:
    found = estimate(
        flat(
            ("a", register("r", "0", 2)),
            ("a", cell("l", "LUT2", "O", I0=2, I1=2, O=3)),
            ("b", cell("m", "LUT1", "O", I0=3, O=4)),
            ("b", register("s", 4, 5)),
            names={2: "a.start", 5: "b.end"},
        ),
        "xc7",
    )
    nets = D.net_delay(2) + D.net_delay(1)  # the last LUT and its register share a slice
    assert found.critical.delay_ns == pytest.approx(D.clock_to_q + nets + 2 * D.lut + D.setup_d, abs=1e-3)
    assert found.critical.levels == 2
    assert found.fmax_mhz == pytest.approx(1e3 / (found.critical.delay_ns + D.margin))
    assert found.critical.text().endswith("2 levels of logic, from a: start to b: end (FDRE/D)")
    assert [step.cell for step in found.critical.steps] == ["FDRE", "LUT2", "LUT1"]


def test_nets_with_more_loads_take_longer() -> None:
    assert D.net_delay(1) == pytest.approx(0.618)
    assert D.net_delay(100) == pytest.approx(0.618 + 0.107 * math.log(100))
    few, many = (
        estimate(
            flat(("a", register("r", "0", 2)), *(("a", register(f"s{i}", "0", 100 + i, CE=2)) for i in range(count))),
            "xc7",
        )
        for count in (2, 200)
    )
    assert many.critical.delay_ns - few.critical.delay_ns == pytest.approx(0.107 * math.log(100), abs=1e-3)


def chain(length: int) -> Flat:
    cells = [("a", register("r", "0", 2)), ("a", cell("l", "LUT1", "O", I0=2, O=3))]
    carry: Bit = "0"
    for i in range(length):
        out = 10 + 8 * i
        ports: dict[str, Bit | tuple[Bit, ...]] = {
            "CI": carry, "S": (3 if i == 0 else "0", "0", "0", "0"), "DI": ("0",) * 4,
            "O": tuple(range(out, out + 4)), "CO": tuple(range(out + 4, out + 8)),
        }  # fmt: skip
        cells.append(("a", Cell(f"c{i}", "CARRY4", {k: v if isinstance(v, tuple) else (v,) for k, v in ports.items()},
                                frozenset({"O", "CO"}))))  # fmt: skip
        carry = out + 7
    return flat(*cells, ("a", register("s", 10 + 8 * (length - 1) + 3, 900)))


def test_a_carry_chain_is_fast_and_counts_as_one_level() -> None:
    two, ten = estimate(chain(2), "xc7").critical, estimate(chain(10), "xc7").critical
    assert ten.delay_ns - two.delay_ns == pytest.approx(8 * 0.114, abs=2e-3)
    assert (two.levels, ten.levels) == (2, 2)


def test_memories_and_multipliers_start_and_end_paths() -> None:
    ram = Cell("ram", "RAMB18E1", {"DOADO": (2,), "CLKARDCLK": (1,)}, frozenset({"DOADO"}), {"DOA_REG": "0" * 32})
    slow = estimate(flat(("a", ram), ("a", register("s", 2, 3))), "xc7").critical.delay_ns
    assert slow == pytest.approx(2.454 + D.net_delay(1) + D.setup_d, abs=1e-3)
    registered = Cell(ram.name, ram.type, ram.ports, ram.outputs, {"DOA_REG": "0" * 31 + "1"})
    assert estimate(flat(("a", registered), ("a", register("s", 2, 3))), "xc7").critical.delay_ns < slow - 1

    names = {f"{reg}REG": "0" * 32 for reg in "ABCDMP"}
    product = Cell("dsp", "DSP48E1", {"A": (2,), "P": (3,), "CLK": (1,)}, frozenset({"P"}), names)
    through = estimate(flat(("a", register("r", "0", 2)), ("b", product), ("c", register("s", 3, 4))), "xc7")
    assert through.layers["c"].delay_ns == pytest.approx(
        D.clock_to_q + 2 * D.net_delay(1) + 2.823 + D.setup_d, abs=1e-3
    )
    pipelined = Cell("dsp", "DSP48E1", product.ports, product.outputs, {**names, "MREG": "1", "PREG": "1"})
    cut = estimate(flat(("a", register("r", "0", 2)), ("b", pipelined), ("c", register("s", 3, 4))), "xc7")
    assert cut.layers["c"].delay_ns == pytest.approx(0.329 + D.net_delay(1) + D.setup_d, abs=1e-3)
    assert cut.layers["b"].delay_ns == pytest.approx(D.clock_to_q + D.net_delay(1) + 1.416, abs=1e-3)


def test_inputs_and_outputs_are_taken_to_have_registers() -> None:
    netlist = Netlist({"x": ("input", (2,)), "y": ("output", (3,))},
                      (cell("l", "LUT1", "O", I0=2, O=3), register("r", 2, 4)), {})  # fmt: skip
    found = estimate(Flat(netlist, ("a", "a")), "xc7")
    assert found.layers[OUTSIDE].start_layer == OUTSIDE
    assert found.layers[OUTSIDE].delay_ns == pytest.approx(
        D.clock_to_q + D.net_delay(2) + D.lut + D.net_delay(1) + D.setup_d, abs=1e-3
    )


def test_what_cannot_be_timed_says_why() -> None:
    first = cell("l", "LUT1", "O", I0=3, O=2)
    loop = flat(("a", first), ("a", cell("m", "LUT1", "O", I0=2, O=3)), ("a", register("r", 3, 4)), names={2: "a.x"})
    with pytest.raises(ToolError, match="combinational loop through"):
        estimate(loop, "xc7")
    with pytest.raises(ToolError, match="cell whose delays are not known: STARTUPE2"):
        estimate(flat(("a", cell("u", "STARTUPE2", "EOS", EOS=2)), ("a", register("r", 2, 4))), "xc7")
    with pytest.raises(ToolError, match="no registers"):
        estimate(flat(("a", cell("l", "LUT1", "O", I0=2, O=3))), "xc7")
    with pytest.raises(InputError, match="no delays are known for ecp5: place and route it instead"):
        estimate(loop, "ecp5")


def of_delay(path_ns: float) -> Timing:
    critical = estimate(flat(("a", register("r", "0", 2)), ("a", register("s", 2, 3))), "xc7").critical
    return Timing("xc7", {"a": type(critical)(path_ns, 1, critical.steps, "a", "end")}, D.margin, D.error)


def test_a_clock_is_judged_with_the_error_of_the_estimate() -> None:
    assert of_delay(9.6 / (1 + D.error)).judge(100.0) == "meets"
    assert of_delay(9.6).judge(100.0) == "near"
    assert of_delay(9.7 / (1 - D.error)).judge(100.0) == "misses"
    low, high = of_delay(8.0).fmax_range_mhz
    assert low < of_delay(8.0).fmax_mhz < high


@pytest.mark.slow
def test_a_longer_addition_and_a_deeper_sum_are_slower(yosys: Yosys, cache: Path) -> None:
    def fmax(bits: int, terms: int) -> float:
        ports = ", ".join(f"input [{bits - 1}:0] i{k}" for k in range(terms))
        words = "\n".join(f"reg [{bits - 1}:0] r{k}; always @(posedge clk) r{k} <= i{k};" for k in range(terms))
        total = " + ".join(f"r{k}" for k in range(terms))
        text = f"module sum(input clk, {ports}, output reg [{bits - 1}:0] y);\n{words}\n"
        files = {"sum.v": f"{text}always @(posedge clk) y <= {total};\nendmodule\n"}
        worker = Synthesizer(technology("xc7"), False, yosys, Cache(cache), netlists=True)
        result, _ = worker.part(Part("sum", "sum", {}, ("sum.v",)), files)
        netlist = result.read()
        return estimate(Flat(netlist, ("sum",) * len(netlist.cells)), "xc7").fmax_mhz

    short, long, deep = fmax(8, 2), fmax(32, 2), fmax(8, 6)
    assert short > long > 200
    assert short > deep > 100
