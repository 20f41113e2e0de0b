"""Boards with open tools: PLL, pins and project; and the whole board simulated, with `flow run` at its port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow import cli
from flow.bitstream.open_board import (
    SIMULATED_TOP,
    board_top,
    compare_mhz,
    constraints,
    filter_range,
    plan_open,
    simulated_files,
    vco_mhz,
)
from flow.bitstream.project import Design
from flow.bitstream.uart_sim import SimulatedPort, simulated_port
from flow.board import Board, load_board
from flow.clocks import ClockSetting, PllClock
from flow.errors import InputError
from flow.hls.samples import random_samples
from flow.network.quantized_reference import forward
from tests.bitstream.builder import plan_for
from tests.bitstream.pty_board import PtyBoard
from tests.bitstream.test_uart import BadLine
from tests.rtl.builder import conv_network

OPEN = ("ulx3s-85f", "icebreaker")
WITH_PLL = {"ulx3s-85f": 10.0, "icebreaker": 18.0}
LINK = {"baud": 1_000_000, "clocks_per_bit": 10}


def design_for(board: str | Board, mhz: float | None = None) -> Design:
    return plan_for(board, conv_network(), clock_mhz=mhz)[1]


# The PLL


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(OPEN), st.floats(3.2, 275.0))
def test_whatever_clock_is_asked_for_the_pll_is_within_its_limits(name: str, mhz: float) -> None:
    board = load_board(name)
    try:
        clock = board.resolve_clock(mhz)
    except InputError:
        assert mhz < board.clock.least_mhz
        return
    assert clock.mhz <= mhz
    text = board_top(board, clock, LINK, "x")
    generator = board.clock
    assert isinstance(generator, PllClock)
    if not clock.settings:
        assert clock.mhz == generator.input_mhz
        assert "pll" not in text
        return
    # The parameters as they stand in the Verilog, by the formulas of the manuals (FPGA-TN-02200, FPGA-TN-02052).
    found = {key: int(value) for key, value in re.findall(r"\.(\w+)\((?:\d'd)?(\d+)\)", text)}
    if name == "icebreaker":
        compare = 12 / (found["DIVR"] + 1)
        vco = compare * (found["DIVF"] + 1)
        made = vco / 2 ** found["DIVQ"]
        assert 533 <= vco <= 1066
        assert 10 <= compare <= 133
        assert 16 <= made <= 275
        assert found["FILTER_RANGE"] == 1
    else:
        compare = 25 / found["CLKI_DIV"]
        vco = compare * found["CLKFB_DIV"] * found["CLKOP_DIV"]
        made = vco / found["CLKOS_DIV"]
        assert 400 <= vco <= 800
        assert 10 <= compare <= 400
        assert 3.125 <= made <= 400
        assert vco / found["CLKOP_DIV"] >= 3.125
        assert (found["CLKOP_CPHASE"], found["CLKOS_CPHASE"]) == (found["CLKOP_DIV"] - 1, found["CLKOS_DIV"] - 1)
    assert made == pytest.approx(clock.mhz)
    assert compare == compare_mhz(generator, clock.settings)
    assert vco == vco_mhz(generator, clock.settings)


@pytest.mark.parametrize(("mhz", "value"), [(10, 1), (16.9, 1), (17, 2), (26, 3), (44, 4), (66, 5), (101, 6), (133, 6)])
def test_the_filter_of_an_ice40_pll_goes_with_what_it_compares(mhz: float, value: int) -> None:
    assert filter_range(mhz) == value


# Pins and project


def test_the_pins_of_the_ulx3s_are_constrained() -> None:
    text = constraints(load_board("ulx3s-85f"))
    assert 'LOCATE COMP "clk_in" SITE "G2";' in text
    assert 'FREQUENCY PORT "clk_in" 25 MHZ;' in text
    assert 'LOCATE COMP "uart_rx" SITE "M1";' in text
    assert 'IOBUF PORT "uart_rx" IO_TYPE=LVCMOS33 PULLMODE=UP;' in text, "an open line is an idle one"
    assert 'LOCATE COMP "uart_tx" SITE "L4";' in text
    assert 'LOCATE COMP "keep_high" SITE "L2";' in text


def test_the_pins_of_the_icebreaker_are_constrained() -> None:
    lines = constraints(load_board("icebreaker")).splitlines()
    assert lines == ["set_io clk_in 35", "set_io -pullup yes uart_rx 6", "set_io uart_tx 9", "set_frequency clk_in 12"]


def test_a_board_with_a_button_restarts_the_design() -> None:
    board = load_board("icebreaker")
    board = replace(board, pins={**board.pins, "reset_n": "10"})
    assert "set_io -pullup yes reset_n 10" in constraints(board)
    assert "!running || !reset_n" in board_top(board, ClockSetting(12.0, {}), LINK, "x")


def test_an_ice40_whose_oscillator_is_not_on_the_plls_pin_gets_the_other_pll() -> None:
    board = load_board("icebreaker")
    other = replace(board, toolchain=replace(board.toolchain, pll_core=True))
    clock = board.resolve_clock(24)
    assert re.search(r"SB_PLL40_PAD #\(.*\.PACKAGEPIN\(clk_in\)", board_top(board, clock, LINK, "x"), re.DOTALL)
    assert re.search(r"SB_PLL40_CORE #\(.*\.REFERENCECLK\(clk_in\)", board_top(other, clock, LINK, "x"), re.DOTALL)


@pytest.mark.parametrize("pin", ["uart_tx", "uart_rx"])
def test_a_board_without_its_pins_is_refused(pin: str) -> None:
    board = load_board("icebreaker")
    board = replace(board, pins={name: where for name, where in board.pins.items() if name != pin})
    with pytest.raises(InputError, match=f"icebreaker has no pin {pin}"):
        constraints(board)


@pytest.mark.parametrize("name", OPEN)
def test_a_project_says_how_to_build_load_and_use_it(name: str) -> None:
    plan, design = plan_for(name, conv_network())
    stem = design.stem
    suffix = "bit" if name == "ulx3s-85f" else "bin"
    assert plan.products == (f"board/{stem}.{suffix}",)
    readme = plan.files["README.md"].decode()
    loader = load_board(name).toolchain.loader
    assert f"openFPGALoader -b {loader} board/{stem}.{suffix}" in readme
    assert "flow run --folder board --port" in readme
    a = design.accelerator
    rate = 1e6 / 10 / (a.input.bytes + a.output.bytes + 12)
    assert f"carries about {rate:.0f} inferences a second" in readme
    script = plan.files["build.sh"].decode()
    assert " ".join(load_board(name).toolchain.nextpnr) in script
    about = json.loads(plan.files["board/design.json"])
    assert about["clock_mhz"] == design.clock.mhz
    assert about["link"] == {"kind": "uart", "baud": 1_000_000, "clocks_per_bit": round(design.clock.mhz)}
    assert plan.digest == plan_open(design).digest


def test_only_our_verilog_is_built_with_open_tools() -> None:
    with pytest.raises(InputError, match="backend 'hls' does not go with board ulx3s-85f"):
        plan_for("ulx3s-85f", backend="hls")


def test_a_title_cannot_leave_its_comment() -> None:
    text = board_top(load_board("icebreaker"), ClockSetting(12.0, {}), LINK, "x\nmodule evil; /* */")
    assert not re.search(r"^module evil", text, re.MULTILINE)


# The whole board in Verilator, pins and PLL included


@pytest.fixture(scope="module", params=OPEN)
def design(request: pytest.FixtureRequest) -> Design:
    return design_for(request.param, WITH_PLL[request.param])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boards")


@pytest.fixture
def port(design: Design, cache: Path) -> Iterator[SimulatedPort]:
    bits = round(design.clock.mhz)
    with simulated_port(simulated_files(design), SIMULATED_TOP, bits, cache) as opened:
        opened.silence(20)  # until the PLL has locked
        yield opened


@pytest.fixture
def folder(design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The result folder of the design, where `flow run` looks for it."""
    monkeypatch.chdir(tmp_path)
    plan_open(design).write(tmp_path / "bitstream" / design.stem)
    return Path("bitstream") / design.stem / "board"


def images(design: Design, folder: Path, count: int) -> Path:
    """Images with labels: what the network itself says, but for the first."""
    network = design.accelerator.network
    codes = random_samples(network, count).codes
    labels = forward(network, codes).reshape(count, -1).argmax(axis=1)
    labels[0] = (labels[0] + 1) % 3
    path = folder / "images.npz"
    np.savez(path, inputs=codes, labels=labels)
    return path


def flow_run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, object], str]:
    code = cli.main(["run", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else {}, captured.err


@pytest.mark.slow
def test_flow_run_gets_from_the_pins_what_the_network_computes(
    design: Design, port: SimulatedPort, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with PtyBoard(port) as board:
        code, found, errors = flow_run(capsys, images(design, folder, 120), "--port", board.name)
    assert (code, errors) == (0, "")
    assert found["folder"] == str(folder), "the board said which design it runs"
    assert (found["images"], found["wrong"], found["repeated"]) == (120, 0, 0)
    assert found["accuracy"] == found["expected_accuracy"] == pytest.approx(119 / 120)
    assert isinstance(found["images_per_s"], float)
    assert found["images_per_s"] > 1


class WorseLine(BadLine):
    """As BadLine, and now and then requests come so fast that the board can't answer them all."""

    def write(self, data: bytes) -> int:
        if self.random.random() < 0.1:
            self.faults += 1
            self.port.write(data * 4)
        return super().write(data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_flow_run_gets_every_result_through_a_bad_line(
    design: Design, port: SimulatedPort, folder: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    line = WorseLine(port, seed)
    line.timeout = 0.05  # type: ignore[attr-defined]
    with PtyBoard(line) as board:
        arguments = ("--port", board.name, "--timeout", 0.3)
        code, found, errors = flow_run(capsys, images(design, folder, 110), *arguments)
    assert (code, errors) == (0, "")
    assert (found["images"], found["wrong"]) == (110, 0)
    assert line.faults > 40
    assert found["repeated"] > 10  # type: ignore[operator]
    with PtyBoard(port) as board:  # the same board on a good line
        code, found, _ = flow_run(capsys, images(design, folder, 5), "--port", board.name)
    assert (code, found["wrong"], found["repeated"]) == (0, 0, 0)


@pytest.mark.slow
def test_a_board_with_another_design_is_told_so(
    design: Design, port: SimulatedPort, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "design.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**about, "id": "0" * 16}), encoding="utf-8")
    with PtyBoard(port) as board:
        code, _, errors = flow_run(capsys, "--port", board.name)
    assert code == 2
    assert f"the board runs design {design.accelerator.id}" in errors


def test_the_simulated_board_is_the_built_one(design: Design) -> None:
    files, plan = simulated_files(design), plan_open(design)
    for path, content in plan.files.items():
        if path.startswith("rtl/"):
            assert files[path.removeprefix("rtl/")] == content.decode()
