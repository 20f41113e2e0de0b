"""An Arty simulated from pin to pin: MMCM, reset, UART and network, with `flow run` at its port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow import cli
from flow.bitstream.plan import BitstreamPlan
from flow.bitstream.project import Design
from flow.bitstream.render import render
from flow.bitstream.uart_sim import SimulatedPort, simulated_port
from flow.runner import ToolFailure
from tests.bitstream.builder import plan_for
from tests.bitstream.pty_board import PtyBoard
from tests.rtl.builder import conv_network

pytestmark = pytest.mark.slow

# What a simulation needs of two primitives: time passes in cycles of the MMCM's output, which locks after some.
MODELS = """`default_nettype none
// verilator lint_off UNUSEDPARAM
// verilator lint_off UNUSEDSIGNAL
// verilator lint_off DECLFILENAME
module MMCME2_BASE #(
    parameter real CLKIN1_PERIOD = 0, parameter integer DIVCLK_DIVIDE = 1, parameter real CLKFBOUT_MULT_F = 5,
    parameter real CLKOUT0_DIVIDE_F = 1
) (
    input wire CLKIN1, input wire CLKFBIN, input wire RST, input wire PWRDWN,
    output wire CLKOUT0, output wire CLKFBOUT, output wire LOCKED, output wire CLKOUT0B, output wire CLKOUT1,
    output wire CLKOUT1B, output wire CLKOUT2, output wire CLKOUT2B, output wire CLKOUT3, output wire CLKOUT3B,
    output wire CLKOUT4, output wire CLKOUT5, output wire CLKOUT6, output wire CLKFBOUTB
);
    reg [4:0] cycles;
    initial cycles = 0;
    always @(posedge CLKIN1) if (!LOCKED) cycles <= cycles + 1'b1;
    assign LOCKED = &cycles;
    assign CLKOUT0 = CLKIN1;
    assign CLKFBOUT = CLKIN1;
    assign {CLKOUT0B, CLKOUT1, CLKOUT1B, CLKOUT2, CLKOUT2B, CLKOUT3} = 0;
    assign {CLKOUT3B, CLKOUT4, CLKOUT5, CLKOUT6, CLKFBOUTB} = 0;
endmodule
module BUFG (input wire I, output wire O);
    assign O = I;
endmodule
`default_nettype wire
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fabric")


def arty(mhz: float) -> tuple[BitstreamPlan, Design]:
    return plan_for("arty-a7-35t", conv_network(), clock_mhz=mhz)


def files(plan: BitstreamPlan) -> dict[str, str]:
    """The Verilog and memories of the project, what surrounds the FPGA, and models of the primitives."""
    found = {path[4:]: content.decode() for path, content in plan.files.items() if path.startswith("rtl/")}
    around = render("shell/open_sim.v.j2", reset_pin="reset_n", reset_low=True, high=None)
    return {**found, "flow_board_sim.v": around, "MMCME2_BASE.v": MODELS}


@pytest.fixture(params=[100.0, 80.0], ids=["oscillator", "MMCM"])
def board(request: pytest.FixtureRequest, cache: Path) -> Iterator[tuple[BitstreamPlan, SimulatedPort]]:
    plan, design = arty(request.param)
    with simulated_port(files(plan), "flow_board_sim", round(design.clock.mhz), cache) as port:
        port.silence(20)  # until the MMCM has locked
        yield plan, port


def test_flow_run_gets_from_the_pins_what_the_network_computes(
    board: tuple[BitstreamPlan, SimulatedPort], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    plan, port = board
    monkeypatch.chdir(tmp_path)
    plan.write(tmp_path / "bitstream" / plan.stem)
    with PtyBoard(port) as pty:
        assert cli.main(["run", "--port", pty.name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["wrong"]) == (64, 0)
    assert found["folder"] == f"bitstream/{plan.stem}/board"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BUFG buffer (.I(made), .O(clk));", "BUFG buffer (.I(made), .O());"),
        (".LOCKED(running)", ".LOCKED()"),
        (".CLKFBIN(feedback)", ".CLKFBIN()"),
        (".clk(clk), .rst(rst)", ".clk(clk), .rst()"),
        (".uart_tx(uart_tx)", ".uart_tx()"),
    ],
)
def test_a_clock_reset_or_pin_that_nothing_drives_is_found(old: str, new: str, cache: Path) -> None:
    sources = files(arty(80.0)[0])
    top = sources["flow_board_top.v"]
    assert old in top
    with pytest.raises(ToolFailure) as caught:
        simulated_port({**sources, "flow_board_top.v": top.replace(old, new)}, "flow_board_sim", 80, cache).close()
    assert caught.value.log is not None
    found = re.findall(r"%Warning-(\w+):.*flow_board_top\.v", caught.value.log.read_text(encoding="utf-8"))
    assert set(found) & {"UNDRIVEN", "PINCONNECTEMPTY", "UNUSEDSIGNAL"}
