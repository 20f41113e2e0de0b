"""Projects for boards with open tools, ECP5 and iCE40: a PLL, a reset, and the network behind a UART."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flow.bitstream.fabric import RESETS, uart_link, uart_top
from flow.bitstream.plan import BOARD, BitstreamPlan, freeze, names
from flow.bitstream.project import Design, board_files
from flow.bitstream.render import render
from flow.board import Board
from flow.clocks import ClockSetting, PllClock
from flow.errors import InputError
from flow.fileio import data_dir, read_text
from flow.network.quantized_io import to_bytes

TOP = "flow_board_top"
SIMULATED_TOP = "flow_board_sim"
FRAME_BYTES = 6
"""What a frame has beside its payload: two flags, kind, number, checksum."""
NETWORK = f"{BOARD}/network.npz"
"""The network as integers: what `flow run` compares the board's results with."""
KEEP_HIGH = "keep_high"
"""A pin that must never be low, on boards with such a one."""


@dataclass(frozen=True)
class Device:
    """What is different between the families: the packer and its options, and the endings of its files."""

    nextpnr: str
    packer: str
    options: tuple[str, ...]
    synth: str
    routed: str
    form: str
    constraints: str
    suffix: str
    memory: tuple[str, int]
    """What a block of memory is called, and how many of them count as one RAMB18."""


DEVICES: Mapping[str, Device] = {
    "ecp5": Device(
        "nextpnr-ecp5", "ecppack", ("--compress",), "synth_ecp5 -abc9", "routed.config", "--textcfg", "pins.lpf", "bit",
        ("EBR", 1),
    ),
    "ice40": Device(
        "nextpnr-ice40", "icepack", (), "synth_ice40 -abc9 -device u", "routed.asc", "--asc", "pins.pcf", "bin",
        ("EBR", 5),
    ),
}  # fmt: skip


def device_of(board: Board) -> Device:
    """The device family of a board. Raises InputError if no open tool packs bitstreams for it."""
    device = DEVICES.get(board.family)
    if device is None:
        raise InputError(f"board {board.name}: no open tool makes bitstreams for {board.family}")
    return device


def plan_open(design: Design) -> BitstreamPlan:
    """The project of a board with open tools: sources, constraints, the script to build it by hand, host program.

    Raises InputError if the board lacks a pin, or its clock can't make a baud rate.
    """
    board, device = design.board, device_of(design.board)
    link = uart_link(design)
    product = f"{BOARD}/{design.stem}.{device.suffix}"
    sources = sources_of(design, link)
    everything: dict[str, str | bytes] = {
        "README.md": _readme(design, device, link, product),
        device.constraints: constraints(board),
        "build.sh": _script(design, device, names(sources, ".v"), product),
        **sources,
        **board_files(design, link, notebook=False),
        NETWORK: to_bytes(design.accelerator.network),
    }
    return BitstreamPlan(design.stem, board.name, freeze(everything), (), (product,))


def sources_of(design: Design, link: Mapping[str, Any]) -> dict[str, str | bytes]:
    """The Verilog of the whole board and its memories, under rtl/."""
    top = board_top(design.board, design.clock, link, design.title)
    return {**design.accelerator.files, **uart_top(design, link["clocks_per_bit"]), f"rtl/{TOP}.v": top}


def board_top(board: Board, clock: ClockSetting, link: Mapping[str, Any], title: str) -> str:
    """The Verilog of the top: module TOP, with the pins of the board that :func:`constraints` names."""
    reset = reset_pin(board)
    generator = board.clock
    if not isinstance(generator, PllClock):
        raise InputError(f"board {board.name}: its clock is made by {generator.kind}, not by a PLL of the fabric")
    settings = {name: int(value) for name, value in clock.settings.items()}
    return render(
        "shell/open_top.v.j2",
        title=title,
        input_mhz=f"{generator.input_mhz:g}",
        clock_mhz=f"{clock.mhz:.6g}",
        pll=generator.primitive.name if settings else None,
        pll_core=board.toolchain.pll_core,
        settings=settings,
        vco_mhz=f"{vco_mhz(generator, settings):g}" if settings else None,
        filter_range=filter_range(compare_mhz(generator, settings)) if "DIVR" in settings else None,
        reset_pin=reset,
        reset_low=reset is not None and RESETS[reset],
        high=KEEP_HIGH if KEEP_HIGH in board.pins else None,
        baud=link["baud"],
        clocks_per_bit=link["clocks_per_bit"],
    )


def reset_pin(board: Board) -> str | None:
    """The pin that holds the design in reset, None if the board has none."""
    return next((name for name in RESETS if name in board.pins), None)


def compare_mhz(generator: PllClock, settings: Mapping[str, float]) -> float:
    """The frequency at which a PLL compares its input with its feedback."""
    return generator.input_mhz / (settings["DIVR"] + 1 if "DIVR" in settings else settings["CLKI_DIV"])


def vco_mhz(generator: PllClock, settings: Mapping[str, float]) -> float:
    """The frequency of a PLL's oscillator with these settings."""
    times = settings["DIVF"] + 1 if "DIVF" in settings else settings["CLKFB_DIV"] * settings["CLKOP_DIV"]
    return compare_mhz(generator, settings) * times


def filter_range(mhz: float) -> int:
    """FILTER_RANGE of an iCE40 PLL that compares at ``mhz`` (the table of Lattice's and IceStorm's icepll)."""
    return 1 + sum(mhz >= limit for limit in (17, 26, 44, 66, 101))


def simulated_files(design: Design) -> dict[str, str]:
    """The Verilog of the whole board for a simulation, pins included: module SIMULATED_TOP, the PLL as a model."""
    board, link = design.board, uart_link(design)
    reset = reset_pin(board)
    sources = sources_of(design, link)
    found = {path.removeprefix("rtl/"): text for path, text in sources.items() if isinstance(text, str)}
    generator = board.clock
    if design.clock.settings and isinstance(generator, PllClock):
        name = generator.primitive.name
        if name == "SB_PLL40":
            name += "_CORE" if board.toolchain.pll_core else "_PAD"
        found[f"{name}.v"] = read_text(data_dir("templates") / "shell" / "models" / f"{name}.v", "model of a PLL")
    found[f"{SIMULATED_TOP}.v"] = render(
        "shell/open_sim.v.j2",
        reset_pin=reset,
        reset_low=reset is not None and RESETS[reset],
        high=KEEP_HIGH if KEEP_HIGH in board.pins else None,
    )
    return found


def constraints(board: Board) -> str:
    """The pins and the clock input as nextpnr reads them: .lpf for ECP5, .pcf for iCE40.

    Raises InputError if a pin is not known.
    """
    clock = board.inputs[0]
    if clock.pin is None:
        raise InputError(f"board {board.name}: the pin of its clock {clock.name} is not known")
    for pin in ("uart_tx", "uart_rx"):
        if pin not in board.pins:
            raise InputError(f"board {board.name} has no pin {pin}: its network could not be reached")
    reset = reset_pin(board)
    pins = {"clk_in": clock.pin, "uart_rx": board.pins["uart_rx"], "uart_tx": board.pins["uart_tx"]}
    pins |= {name: board.pins[name] for name in (reset, KEEP_HIGH) if name is not None and name in board.pins}
    pulled = {"uart_rx"} | ({reset} if reset and RESETS[reset] else set())  # an open line is idle
    if board.family == "ice40":
        lines = [f"set_io {'-pullup yes ' if name in pulled else ''}{name} {pin}" for name, pin in pins.items()]
        return "\n".join([*lines, f"set_frequency clk_in {clock.mhz:g}", ""])
    standard = board.pins.get("iostandard", "LVCMOS33")
    lines = []
    for name, pin in pins.items():
        pull = " PULLMODE=UP" if name in pulled else ""
        lines += [f'LOCATE COMP "{name}" SITE "{pin}";', f'IOBUF PORT "{name}" IO_TYPE={standard}{pull};']
    lines.append(f'FREQUENCY PORT "clk_in" {clock.mhz:g} MHZ;')
    return "\n".join([*lines, ""])


def _script(design: Design, device: Device, sources: list[str], product: str) -> str:
    return render(
        "shell/open_build.sh.j2",
        title=design.title,
        device=device,
        top=TOP,
        sources=[path.removeprefix("rtl/") for path in sources],
        arguments=design.board.toolchain.nextpnr,
        mhz=f"{design.clock.mhz:.6f}",
        product=product,
    )


def _readme(design: Design, device: Device, link: Mapping[str, Any], product: str) -> str:
    a = design.accelerator
    line_bytes = a.input.bytes + a.output.bytes + 2 * FRAME_BYTES
    return render(
        "host/README_open.md.j2",
        design=design,
        accelerator=a,
        throughput=None if a.interval_cycles is None else design.clock.mhz * 1e6 / a.interval_cycles,
        device=device,
        baud=link["baud"],
        line_rate=link["baud"] / (10 * line_bytes),
        product=product.removeprefix(f"{BOARD}/"),
        loader=design.board.toolchain.loader,
    )
