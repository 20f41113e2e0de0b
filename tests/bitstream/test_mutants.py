"""What the checks of the emitted Tcl are worth: each damage to a project is found, by the message that names it.

The projects run under the fake Vivado and v++ (``tests/fake_tools``): the vendor's commands are stubbed, and as strict
as the real ones about files, modules, pins, clocks, resets, streams, addresses and the order of calls.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from flow.bitstream.make import Options, plan_bitstream
from tests.bitstream.builder import fake_environment, hls_project, subject

ZYNQ, FABRIC, PACKAGE = "scripts/flow_zynq.tcl", "scripts/flow_fabric.tcl", "scripts/flow_package_ip.tcl"
STREAM = "dma/M_AXIS_MM2S accelerator/s_axis accelerator/m_axis dma/S_AXIS_S2MM]"
CLOCKS = "dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk accelerator/ap_clk"


@dataclass(frozen=True)
class Mutant:
    """A change to one file of a project: ``old`` becomes ``new``; without ``old`` the file is removed."""

    name: str
    board: str
    file: str
    old: str
    new: str
    found: str


MUTANTS = [
    Mutant("a stream not connected", "pynq-z2", ZYNQ, STREAM, "dma/M_AXIS_MM2S accelerator/s_axis]",
           "interface dma/S_AXIS_S2MM is not connected"),
    Mutant("a stream connected twice", "pynq-z2", ZYNQ, STREAM,
           "dma/M_AXIS_MM2S accelerator/s_axis accelerator/m_axis dma/S_AXIS_S2MM dma/M_AXIS_MM2S dma/S_AXIS_S2MM]",
           "dma/M_AXIS_MM2S is connected already"),
    Mutant("a stream connected to memory", "zcu104", ZYNQ, "dma/M_AXIS_MM2S accelerator/s_axis",
           "dma/M_AXI_MM2S accelerator/s_axis", "dma/M_AXI_MM2S and accelerator/s_axis cannot be connected"),
    Mutant("no way to the memory", "zcu104", ZYNQ, "memory/M00_AXI ps/[dict get $names memory] \\", "\\",
           "interface memory/M00_AXI is not connected|interface ps/S_AXI_HP0_FPD is not connected"),
    Mutant("a pin that does not exist", "pynq-z2", ZYNQ, "resets/slowest_sync_clk", "resets/clk",
           "no pin resets/clk"),
    Mutant("a cell that was not created", "pynq-z2", ZYNQ,
           "create_bd_cell -type ip -vlnv [flow::ip proc_sys_reset] resets", "", "no pin resets/"),
    Mutant("a clock not driven", "pynq-z2", ZYNQ, CLOCKS, CLOCKS.replace("dma/m_axi_s2mm_aclk ", ""),
           "clk pins are not connected: dma/m_axi_s2mm_aclk"),
    Mutant("a clock of the interconnect not driven", "pynq-z2", ZYNQ, "lappend clocks [format %s/S%02d_ACLK $name $i]",
           "", "clk pins are not connected: (control|memory)/S00_ACLK"),
    Mutant("a reset not driven", "zcu104", ZYNQ, "dma/axi_resetn accelerator/ap_rst_n", "dma/axi_resetn",
           "rst pins are not connected: accelerator/ap_rst_n"),
    Mutant("the reset block not reset", "pynq-z2", ZYNQ,
           "connect_bd_net [get_bd_pins ps/[dict get $names reset]] [get_bd_pins resets/ext_reset_in]", "",
           "rst pins are not connected: resets/ext_reset_in"),
    Mutant("a clock as a reset", "pynq-z2", ZYNQ, "[get_bd_pins resets/peripheral_aresetn]",
           "[get_bd_pins ps/FCLK_CLK0]", "are not of one kind"),
    Mutant("addresses that overlap", "zcu104", ZYNQ, "[flow::address $space ps/$segment]",
           "[flow::address $space ps/$segment 0x0 1024M]", "HP0_DDR_(LOW|HIGH) overlap in dma/Data_MM2S"),
    Mutant("nothing mapped", "pynq-z2", ZYNQ, "flow::address ps/Data dma/S_AXI_LITE/Reg [dict get $names base] 64K", "",
           "nothing is mapped into ps/Data"),
    Mutant("a segment that does not exist", "pynq-z2", ZYNQ, "S_AXI_HP0/HP0_DDR_LOWOCM excluded",
           "S_AXI_HP1/HP1_DDR_LOWOCM excluded", "the DMA cannot reach the processor's memory"),
    Mutant("a port of the processor not enabled", "zcu104", ZYNQ, "CONFIG.PSU__USE__S_AXI_GP2 1", "",
           "no interface pin ps/S_AXI_HP0_FPD"),
    Mutant("a DMA narrower than the stream", "zcu104", ZYNQ,
           "[expr {max($width, [dict get $design in_tdata])}]", "32", "c_m_axi_mm2s_data_width is narrower"),
    Mutant("a stream of another width", "pynq-z2", "build.tcl", "dict set design in_tdata 8",
           "dict set design in_tdata 16", "the DMA's stream and the accelerator's differ in width"),
    Mutant("an ILA without a clock", "zcu104", ZYNQ, "lappend clocks ila/clk", "",
           "clk pins are not connected: ila/clk"),
    Mutant("not validated", "pynq-z2", ZYNQ, "    validate_bd_design\n", "", "the block design is not validated"),
    Mutant("board files too late", "pynq-z2", ZYNQ, "    set board [flow::new_project",
           "    flow::board_files $here\n    set board [flow::new_project",
           "board.repoPaths is set after create_project"),
    Mutant("a script missing", "pynq-z2", "scripts/flow_gate.tcl", "", "", "flow_gate.tcl"),
    Mutant("a source missing", "pynq-z2", "rtl/layer_fc1.v", "", "", r"layer_fc1\.v is missing: copy the whole folder"),
    Mutant("the IP not exported", "zcu104", "hls/ip/component.xml", "", "",
           "the accelerator's IP is not in .*: run the step before this one"),
    Mutant("a source not named", "pynq-z2", "build.tcl", " rtl/layer_fc2.v", "", "module 'layer_fc2' not found"),
    Mutant("a memory not named", "pynq-z2", "build.tcl", " rtl/fc1_bias.mem", "",
           r"reads fc1_bias\.mem, which is no source"),
    Mutant("a source of the board not named", "arty-a7-35t", "build.tcl", " rtl/flow_frame_tx.v", "",
           "module 'flow_frame_tx' not found"),
    Mutant("a memory of the board missing", "arty-a7-35t", "rtl/fc1_bias.mem", "", "", r"fc1_bias\.mem is missing"),
    Mutant("a port without a pin", "arty-a7-35t", "board.xdc",
           "set_property -dict { PACKAGE_PIN D10 IOSTANDARD LVCMOS33 } [get_ports uart_tx]", "",
           "port uart_tx has no pin"),
    Mutant("a pin of no port", "arty-a7-35t", "board.xdc", "[get_ports reset_n]", "[get_ports reset]",
           "No ports matched 'reset'"),
    Mutant("no clock", "arty-a7-35t", "board.xdc", "create_clock -name clk_in -period 10.000 [get_ports clk_in]", "",
           r"\[flow-timing\] no path has a setup constraint"),
    Mutant("not routed", "arty-a7-35t", FABRIC, "    route_design\n", "", "the design is not routed"),
    Mutant("a kernel not marked as one", "alveo-u50", PACKAGE, "set_property sdx_kernel true $core", "",
           "the IP is not a kernel"),
    Mutant("a stream of the card not connected", "alveo-u50", "link.cfg",
           "stream_connect=flow_accelerator_1.m_axis:flow_receive_1.stream\n", "",
           "stream flow_accelerator_1.m_axis is not connected"),
    Mutant("a stream of the card that does not exist", "alveo-u50", "link.cfg", "flow_accelerator_1.s_axis",
           "flow_accelerator_1.in", "no stream flow_accelerator_1.in that is free"),
    Mutant("memory in no bank", "alveo-u50", "link.cfg", "sp=flow_send_1.memory:HBM[0]\n", "",
           "memory port flow_send_1.memory is in no bank"),
    Mutant("movers of another width", "alveo-u50", "kernels/flow_send.cpp", "ap_axiu<8,", "ap_axiu<16,",
           "16 and 8 bits"),
    Mutant("a kernel missing", "alveo-u50", "work/flow_accelerator.xo", "", "",
           r"flow_accelerator\.xo is missing: run the step before this one"),
]  # fmt: skip


def emit(board: str, folder: Path) -> Path:
    """The project of a board; on the ZCU104 with HLS (its step done) and an ILA, on the others our Verilog."""
    hls = board == "zcu104"
    project = hls_project(folder / "network", board, 100.0) if hls else None
    options = Options(backend="hls" if hls else "rtl", ila=hls)
    plan, _ = plan_bitstream(subject(board, project=project), options)
    plan.write(folder / "project")
    if hls:
        run(["vitis_hls", "-f", "hls/build_ip.tcl"], folder / "project")
    if board == "alveo-u50":
        run(["vivado", "-mode", "batch", "-source", "build.tcl"], folder / "project")
    return folder / "project"


def run(argv: list[str], folder: Path, **more: str) -> tuple[int, str]:
    done = subprocess.run(
        argv, cwd=folder, env=fake_environment(**more), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project of each board that mutants are made of."""
    boards = sorted({mutant.board for mutant in MUTANTS})
    return {board: emit(board, tmp_path_factory.mktemp(board)) for board in boards}


def last_step(folder: Path, mutant: Mutant | None = None) -> tuple[int, str]:
    """(exit status, log) of the step that the damage shows in: the last one, but a kernel is packaged before it."""
    linked = (folder / "link.sh").is_file() and (mutant is None or mutant.file != PACKAGE)
    argv = ["sh", "link.sh"] if linked else ["vivado", "-mode", "batch", "-source", "build.tcl"]
    return run(argv, folder, FLOW_BOARD_FILES=str(folder))


@pytest.mark.parametrize("board", ["alveo-u50", "arty-a7-35t", "pynq-z2", "zcu104"])
def test_the_project_as_it_is_emitted_has_nothing_to_find(
    board: str, projects: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(projects[board], folder)
    status, log = last_step(folder)
    assert (status, "ERROR" in log) == (0, False), log


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_damage_is_found(mutant: Mutant, projects: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(projects[mutant.board], folder)
    path = folder / mutant.file
    if mutant.old:
        text = path.read_text(encoding="utf-8")
        assert mutant.old in text, "the mutant does not fit the project any more"
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    else:
        path.unlink()
    status, log = last_step(folder, mutant)
    assert status != 0, log
    assert re.search(mutant.found, log), log
    products = [*folder.glob("board/*.bit"), *folder.glob("board/*.xclbin"), *folder.glob("board/*.hwh")]
    assert not products
