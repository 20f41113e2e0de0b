"""A board of the user's own is one YAML file: those of the how-to, from the file to the bitstream."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.bitstream.builder import build, fake_environment
from tests.bitstream.test_zynq import Dump


def made_up(repository: Path, folder: Path, name: str, change: tuple[str, str] = ("", "")) -> str:
    """The example of the how-to, under a name that no board has."""
    text = (repository / "docs" / "howto-board.md").read_text(encoding="utf-8")
    (example,) = re.findall(rf"<!-- example: {name} -->\n```yaml\n(.*?)```", text, re.DOTALL)
    assert change[0] in example
    path = folder / "mine.yaml"
    path.write_text(example.replace(f"name: {name}", "name: made-up").replace(*change), encoding="utf-8")
    return str(path)


def test_a_zynq_board(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "bd.txt"
    board = made_up(repository, tmp_path, "lab-z7")
    outcome = build(tmp_path, board, fake_environment(FAKE_BD_DUMP=str(path)), clock_mhz=120)
    assert outcome.missing is None
    found = Dump(path)
    assert found.settings["ps", "preset"] == "0"
    assert found.settings["ps", "CONFIG.PCW_UIPARAM_DDR_PARTNO"] == "MT41K256M16 RE-125"
    assert found.settings["ps", "CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ"] == "33.333333"
    made = outcome.manifest["clock"]["achieved_mhz"]
    assert 110 < made <= 120
    assert float(found.settings["ps", "CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ"]) == pytest.approx(made)
    # No board part was asked for, so nothing is missing; that the processor is not set up in full is said.
    assert [w.partition(" has ")[0] for w in outcome.warnings] == ["the processor"]
    assert "2 settings from flow's own board file" in outcome.warnings[0]
    design = json.loads((outcome.folder / "board" / "design.json").read_text(encoding="utf-8"))
    assert (design["board"], design["part"]) == ("made-up", "xc7z020clg400-1")
    assert (outcome.folder / "board" / "net_made-up.bit").is_file()
    assert (outcome.folder / "board" / "net_made-up.ipynb").is_file()


def test_a_board_without_a_processor(tmp_path: Path, repository: Path) -> None:
    outcome = build(tmp_path, made_up(repository, tmp_path, "basys3"), clock_mhz=50)
    assert outcome.missing is None
    pins = (outcome.folder / "board.xdc").read_text(encoding="utf-8")
    for pin, port in (("W5", "clk_in"), ("A18", "uart_tx"), ("B18", "uart_rx")):
        assert f"PACKAGE_PIN {pin} IOSTANDARD LVCMOS33 }} [get_ports {port}]" in pins
    assert "reset" not in pins  # the file names no button
    top = (outcome.folder / "rtl" / "flow_board_top.v").read_text(encoding="utf-8")
    assert "MMCME2_BASE" in top
    assert "reset" not in top[top.index("module") : top.index(");")]


def test_a_larger_processor_in_the_same_file(tmp_path: Path, repository: Path) -> None:
    board = made_up(repository, tmp_path, "lab-z7", ("xc7z020clg400-1", "xczu3eg-sbva484-1-e"))
    text = Path(board).read_text(encoding="utf-8")
    text = text.replace("family: zynq7000", "family: zynqmp").replace("kind: zynq7", "kind: zynqmp")
    Path(board).write_text(text.partition("ps_preset:")[0], encoding="utf-8")
    path = tmp_path / "bd.txt"
    outcome = build(tmp_path, board, fake_environment(FAKE_BD_DUMP=str(path)))
    assert "zynq_ultra_ps_e" in Dump(path).cells["ps"]
    (warning,) = outcome.warnings
    assert warning.startswith("flow's board file has no settings of the processor, all are Vivado's defaults: ")
