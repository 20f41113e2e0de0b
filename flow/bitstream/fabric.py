"""Projects for AMD boards without a processor: the network behind a UART."""

from __future__ import annotations

from typing import Any

from flow.bitstream.accelerator import UART_TOP, uart_clocks
from flow.bitstream.plan import BOARD, BitstreamPlan, Step, freeze, names
from flow.bitstream.project import Design, board_files, readme, scripts
from flow.bitstream.render import render
from flow.board import Board
from flow.clocks import PllClock
from flow.errors import InputError
from flow.network.quantized_io import to_bytes

SCRIPTS = ("flow_common.tcl", "flow_gate.tcl", "flow_fabric.tcl")
TOP = "flow_board_top"
VOLTAGES = {"LVCMOS33": "3.3", "LVTTL": "3.3", "LVCMOS25": "2.5", "LVCMOS18": "1.8"}
SEVEN_SERIES = ("spartan7", "artix7", "kintex7", "virtex7")
RESETS = {"reset_n": True, "reset": False}
"""Pins that may hold the design in reset: whether they do when low."""

USE = """Load `{stem}.bit` with Vivado's hardware manager or `openFPGALoader`, connect the board's USB, and run in
this folder:

```sh
pip install numpy pyserial
python3 -m flow_host . --port /dev/ttyUSB1
```

It asks the board which design it runs, sends the recorded test vectors at {baud:,} baud, compares every bit, and prints
accuracy and images/s. In a program of your own: `from flow_host import load; net = load(".", port="/dev/ttyUSB1")`."""


def uart_link(design: Design) -> dict[str, Any]:
    """The link of a board with a UART, as design.json has it; raises InputError if the clock is too slow for one."""
    clocks, baud = uart_clocks(design.clock.mhz)
    return {"kind": "uart", "baud": baud, "clocks_per_bit": clocks}


def uart_top(design: Design, clocks_per_bit: int) -> dict[str, str]:
    """The network behind a UART, without the board around it: module flow_uart_top, for boards of every family."""
    a = design.accelerator
    text = render(
        "shell/flow_uart_top.v.j2", inp=a.input, out=a.output, id=a.id, clocks_per_bit=clocks_per_bit
    )  # fmt: skip
    return {f"rtl/{UART_TOP}.v": text}


def plan_fabric(design: Design) -> BitstreamPlan:
    """The plan of a project for an AMD board without a processor. Raises InputError if the board lacks a pin."""
    a, board = design.accelerator, design.board
    for pin in ("uart_tx", "uart_rx"):
        if pin not in board.pins:
            raise InputError(f"board {board.name} has no pin {pin}: its network could not be reached")
    link = uart_link(design)
    files = {**a.files, **uart_top(design, link["clocks_per_bit"]), "rtl/flow_board_top.v": _top(design, link)}
    products = (f"{BOARD}/{design.stem}.bit",)
    steps = (Step("vivado", "vivado bitstream", "build.tcl", (*products, "reports/result.json")),)
    build = render(
        "vivado/build.tcl.j2",
        title=design.title,
        script="build.tcl",
        scripts=SCRIPTS,
        procedure="build_fabric",
        design={"stem": design.stem, "part": board.part, "top": TOP, "clock_mhz": design.clock.mhz},
        lists={
            "sources": names(files, ".v"),
            "memories": names(files, ".mem"),
            "constraints": ["board.xdc"],
        },
        dicts={},
    )
    use = USE.format(stem=design.stem, baud=link["baud"])
    everything = {
        **readme(design, steps, products, use, network=True),
        "build.tcl": build,
        "board.xdc": _constraints(board),
        **scripts(*SCRIPTS),
        **files,
        **board_files(design, link, notebook=False),
        f"{BOARD}/network.npz": to_bytes(a.network),
    }
    return BitstreamPlan(design.stem, board.name, freeze(everything), steps, products)


def _reset_pin(board: Board) -> str | None:
    return next((name for name in RESETS if name in board.pins), None)


def _top(design: Design, link: dict[str, Any]) -> str:
    board, settings = design.board, design.clock.settings
    generator = board.clock
    assert isinstance(generator, PllClock)
    mmcm = None
    if settings:
        mmcm = {
            "name": generator.primitive.name,
            "period_ns": f"{1000 / generator.input_mhz:.3f}",
            "divide": int(settings["DIVCLK_DIVIDE"]),
            "multiply": f"{settings['CLKFBOUT_MULT_F']:.3f}",
            "output": f"{settings['CLKOUT0_DIVIDE_F']:.3f}",
        }
    reset = _reset_pin(board)
    return render(
        "vivado/fabric_top.v.j2",
        title=board.title,
        input_mhz=f"{generator.input_mhz:g}",
        clock_mhz=f"{design.clock.mhz:g}",
        mmcm=mmcm,
        reset_pin=reset,
        reset_low=reset is not None and RESETS[reset],
        baud=link["baud"],
        clocks_per_bit=link["clocks_per_bit"],
    )


def _constraints(board: Board) -> str:
    clock = board.inputs[0]
    if clock.pin is None:
        raise InputError(f"board {board.name}: the pin of its clock {clock.name} is not known")
    reset = _reset_pin(board)
    pins = {"clk_in": clock.pin, "uart_rx": board.pins["uart_rx"], "uart_tx": board.pins["uart_tx"]}
    if reset:
        pins[reset] = board.pins[reset]
    standard = board.pins.get("iostandard", "LVCMOS33")
    if standard not in VOLTAGES:
        raise InputError(f"board {board.name}: iostandard {standard} is not one of {', '.join(VOLTAGES)}")
    voltage = VOLTAGES[standard] if board.family in SEVEN_SERIES else None
    return render(
        "vivado/fabric.xdc.j2",
        pins=pins,
        iostandard=standard,
        voltage=voltage,
        cfgbvs="GND" if voltage == "1.8" else "VCCO",
        period_ns=f"{1000 / clock.mhz:.3f}",
        asynchronous=["uart_rx", *([reset] if reset else [])],
    )
