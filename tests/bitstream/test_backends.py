"""Both backends on every kind of board, and what their tools' failures become: one line each, with its exit code."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from flow import cli
from flow.errors import FlowError, InputError, NothingFeasible
from flow.network.quantized_io import save
from flow.runner import ToolFailure
from tests.bitstream.builder import build, build_hls, fake_environment, hls_project
from tests.hls.builder import FAKE_TOOLS
from tests.rtl.builder import dense_network


def tools_called(record: Path) -> list[str]:
    """The tools that were run on a script, in their order."""
    calls = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    return [tool for tool, *arguments in calls if arguments and "ersion" not in arguments[0]]


@pytest.mark.parametrize(
    ("board", "backend", "tools", "products"),
    [
        ("zcu104", "Vitis", ["vitis-run", "vivado"], ["bit", "hwh", "xsa"]),
        ("pynq-z2", "Vivado", ["vivado_hls", "vivado"], ["bit", "hwh", "xsa"]),
        ("alveo-u250", "Vitis", ["vitis-run", "v++", "v++", "v++"], ["xclbin"]),
    ],
)
def test_an_hls_project_becomes_an_ip_or_a_kernel_and_then_a_bitstream(
    board: str, backend: str, tools: list[str], products: list[str], tmp_path: Path
) -> None:
    record = tmp_path / "calls"
    outcome = build_hls(tmp_path, board, backend, environment=fake_environment(FAKE_TOOL_RECORD=str(record)), ila=True)
    assert outcome.missing is None
    assert [t for t in tools_called(record) if t != "xclbinutil"] == tools
    for suffix in products:
        assert (outcome.folder / "board" / f"network_{board}.{suffix}").is_file()
    assert outcome.manifest["backend"] == "hls"
    assert outcome.manifest["hardware"]["hls_project"] == "0123456789abcdef"
    assert outcome.manifest["checks"]["timing"]["met"] is True


def test_our_verilog_becomes_a_kernel(tmp_path: Path) -> None:
    record = tmp_path / "calls"
    outcome = build(tmp_path, "alveo-u50", fake_environment(FAKE_TOOL_RECORD=str(record)), ila=True)
    assert tools_called(record) == ["vivado", "v++", "v++", "v++"]
    assert outcome.manifest["tools"]["platform"] == "xilinx_u50_gen3x16_xdma_5_202210_1"
    assert outcome.manifest["checks"]["timing"] == {"met": True, "kernel_clock_mhz": 200.0}
    assert outcome.manifest["files"].keys() == {"net_alveo-u50.xclbin"}


def test_hls_for_another_clock_or_part_is_refused(tmp_path: Path) -> None:
    hls_project(tmp_path / "hls", "zcu104", 200)  # the board makes 187.5 MHz
    with pytest.raises(InputError, match=r"made for 200 MHz, but zcu104 makes 187\.5 MHz: convert the model for that"):
        build_hls(tmp_path, "zcu104")
    with pytest.raises(InputError, match=r"is for part xczu7ev-ffvc1156-2-e, but pynq-z2 has xc7z020clg400-1"):
        build_hls(tmp_path, "pynq-z2", clock_mhz=200)


def test_an_arty_has_no_streams_for_hls_or_an_ila(tmp_path: Path) -> None:
    hls_project(tmp_path / "hls", "arty-a7-35t", 100)
    with pytest.raises(InputError, match=r"backend 'hls' does not go with board arty-a7-35t .*: rtl"):
        build_hls(tmp_path, "arty-a7-35t")
    with pytest.raises(InputError, match="leave --ila out"):
        build(tmp_path, "arty-a7-35t", ila=True)


# One clock everywhere


@pytest.mark.parametrize(("board", "asked", "made"), [("zcu104", 200, 187.5), ("pynq-z2", 90, 1000 / 12)])
def test_hls_constraints_driver_and_manifest_have_one_clock(
    board: str, asked: float, made: float, tmp_path: Path
) -> None:
    outcome = build_hls(tmp_path, board, mhz=made, clock_mhz=asked)
    folder = outcome.folder
    period = re.search(r"create_clock -period (\S+)", (folder / "hls" / "build_ip.tcl").read_text(encoding="utf-8"))
    assert period is not None
    assert float(period[1]) == pytest.approx(1000 / made, rel=1e-6)
    set_to = re.search(r"dict set design clock_mhz (\S+)", (folder / "build.tcl").read_text(encoding="utf-8"))
    assert set_to is not None
    assert float(set_to[1]) == pytest.approx(made, rel=1e-6)
    design = json.loads((folder / "board" / "design.json").read_text(encoding="utf-8"))
    for clock in (design["clock_mhz"], outcome.manifest["clock"]["achieved_mhz"]):
        assert clock == pytest.approx(made)
    assert outcome.manifest["clock"]["requested_mhz"] == asked


def test_an_mmcm_makes_the_clock_of_an_arty(tmp_path: Path) -> None:
    outcome = build(tmp_path, "arty-a7-100t", clock_mhz=83)
    clock = outcome.manifest["clock"]
    s = clock["settings"]
    made = 100 * s["CLKFBOUT_MULT_F"] / (s["DIVCLK_DIVIDE"] * s["CLKOUT0_DIVIDE_F"])
    assert clock["achieved_mhz"] == pytest.approx(made)
    assert 82.5 < made <= 83
    top = (outcome.folder / "rtl" / "flow_board_top.v").read_text(encoding="utf-8")
    for name, value in s.items():
        assert re.search(rf"\.{name}\({value:.3f}\)|\.{name}\({value:g}\)", top), name
    link = json.loads((outcome.folder / "board" / "design.json").read_text(encoding="utf-8"))["link"]
    assert made * 1e6 / link["clocks_per_bit"] == pytest.approx(link["baud"], rel=0.02)


def test_a_clock_that_the_board_cannot_make_is_refused_with_the_range(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pynq-z2: a clock of 400 MHz is out of reach: zynq7 makes .* to 250 MHz"):
        build(tmp_path, "pynq-z2", clock_mhz=400)
    for asked, makes in ((203, 200), (1000, None)):
        if makes is None:
            with pytest.raises(InputError, match="out of reach"):
                build(tmp_path, "alveo-u50", clock_mhz=asked, emit_only=True)
        else:
            manifest = build(tmp_path, "alveo-u50", clock_mhz=asked, emit_only=True).manifest
            assert (manifest["clock"]["requested_mhz"], manifest["clock"]["achieved_mhz"]) == (asked, makes)


# Failures of the tools that test_make.py does not have


def test_a_missed_clock_names_a_larger_reuse_factor_of_the_layer(tmp_path: Path) -> None:
    with pytest.raises(NothingFeasible) as caught:
        build_hls(tmp_path, "zcu104", environment=fake_environment(FAKE_TOOL_MODE="vivado:timing_missed"))
    text = str(caught.value)
    assert "setup missed by 0.463 ns from u_fc1/step_reg/C to u_fc1/sum_reg/D" in text
    assert "to close it: --clock 93.75" in text
    assert "or reuse factor 2 instead of 1 in layer fc1" in text


HLS_FAILURES = [
    ("vitis-run:export_bug", "export bug of 2022", "answer record 76960"),
    ("vivado_hls:export_bug", "export bug of 2022", "answer record 76960"),
    ("vitis-run:licence", "licence missing", "XILINXD_LICENSE_FILE"),
    ("vivado_hls:part_missing", "part not installed", "install the device family"),
    ("vivado_hls:killed", "killed", "SIGKILL"),
    ("vitis-run:no_report", "no output", ""),
]


@pytest.mark.parametrize(("mode", "cause", "hint"), HLS_FAILURES)
def test_failures_of_the_hls_step_are_its_own(mode: str, cause: str, hint: str, tmp_path: Path) -> None:
    tool = mode.partition(":")[0]
    backend = "Vivado" if tool == "vivado_hls" else "Vitis"
    record = tmp_path / "calls"
    environment = fake_environment(FAKE_TOOL_MODE=mode, FAKE_TOOL_RECORD=str(record))
    with pytest.raises(ToolFailure) as caught:
        build_hls(tmp_path, "pynq-z2", backend, environment=environment)
    assert caught.value.cause == cause
    assert hint in str(caught.value)
    assert tool in str(caught.value)
    assert "vivado" not in tools_called(record)


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        ("timing_missed", NothingFeasible, r"v\+\+ reached 163 MHz, not 200 MHz: no \.xclbin.*close it: --clock 160 "),
        ("overflow", NothingFeasible, r"alveo-u50: the design does not fit: .*could not be obeyed"),
        ("licence", ToolFailure, "licence missing: .*set XILINXD_LICENSE_FILE"),
        ("killed_late", ToolFailure, "(?i)killed"),
        ("disk_full", ToolFailure, "disk full"),
    ],
)
def test_failures_of_the_link_of_a_card(mode: str, kind: type[FlowError], message: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=message):
        build(tmp_path, "alveo-u50", fake_environment(FAKE_TOOL_MODE=f"v++:{mode}"))
    assert not list((tmp_path / "out" / "board").glob("*.xclbin"))


def test_a_card_whose_platform_is_not_installed(tmp_path: Path) -> None:
    environment = fake_environment(FAKE_PLATFORMS="xilinx_u200_xdma_201830_2")
    with pytest.raises(ToolFailure, match=r"no platform xilinx_u50\* is installed: install the card's development"):
        build(tmp_path, "alveo-u50", environment)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("timing_missed", r"setup missed by 0\.463 ns .*to close it: --clock 95\.\d+ \(.* or a lower --fps"),
        ("overflow", "does not fit: Place Check"),
        ("unconstrained", "no path has a setup constraint"),
    ],
)
def test_failures_of_a_board_without_a_processor(mode: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NothingFeasible, match=message):
        build(tmp_path, "arty-a7-35t", fake_environment(FAKE_TOOL_MODE=mode))
    assert not list((tmp_path / "out" / "board").glob("*.bi[tn]"))


def test_folders_of_board_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match="FLOW_BOARD_FILES names /no/such/folder, which is no folder"):
        build(tmp_path, environment=fake_environment(FLOW_BOARD_FILES="/no/such/folder"))


# Exit codes


@pytest.mark.parametrize(
    ("mode", "options", "code", "said"),
    [
        ("ok", [], 0, "ready; "),
        ("ok", ["--emit-only"], 0, "vivado -mode batch -source build.tcl"),
        ("timing_missed", [], 1, "setup missed by 0.463 ns"),
        ("overflow", [], 1, "does not fit"),
        ("ok", ["--clock", "999"], 2, "out of reach"),
        ("ok", ["--flash"], 2, "--flash is for boards with open tools"),
        ("licence", [], 3, "licence missing"),
        ("killed", [], 3, "SIGKILL"),
        ("board_missing", [], 0, "warning: board files of tul.com.tw:pynq-z2:part0:1.0 are not installed"),
    ],
)
def test_exit_codes(
    mode: str, options: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    save(dense_network(), tmp_path / "net.npz")
    monkeypatch.setenv("PATH", f"{FAKE_TOOLS}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_TOOL_MODE", mode)
    argv = ["bitstream", str(tmp_path / "net.npz"), "--board", "pynq-z2", "--out", str(tmp_path / "out"), *options]
    assert cli.main(argv) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
    if code:
        assert "flow: error:" in printed.err.splitlines()[-1]


def test_without_vivado_the_exit_code_says_so_and_what_to_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(dense_network(), tmp_path / "net.npz")
    monkeypatch.setenv("PATH", "/nowhere")
    argv = ["bitstream", str(tmp_path / "net.npz"), "--board", "pynq-z2", "--out", str(tmp_path / "out")]
    assert cli.main(argv) == 3
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Copy that folder to a machine with the tools, and run in it:",
        "  vivado -mode batch -source build.tcl",
        "Then copy it back and run the same `flow bitstream` again: it checks what was built.",
    ]
    manifest = json.loads((tmp_path / "out" / "board" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["built"] is False
    assert "vivado not found" in manifest["not_built_because"]
