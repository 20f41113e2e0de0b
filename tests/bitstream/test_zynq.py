"""The block design of every Zynq board, as the emitted Tcl makes it in a Vivado that is as strict as the real one."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from flow.board import load_board
from tests.bitstream.builder import ZYNQ, build, fake_environment, plan_for


class Dump:
    """What the fake Vivado saw of a block design."""

    def __init__(self, path: Path) -> None:
        self.cells: dict[str, str] = {}
        self.drivers: dict[str, str] = {}
        self.links: set[frozenset[str]] = set()
        self.settings: dict[tuple[str, str], str] = {}
        self.addresses: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        self.excluded: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, *words = line.split(" ")
            if kind == "cell":
                self.cells[words[0]] = words[1]
            elif kind == "net":
                self.drivers[words[1]] = words[0]
            elif kind == "link":
                self.links.add(frozenset(words))
            elif kind == "address":
                self.addresses[words[0]].append((words[1], int(words[2]), int(words[3])))
            elif kind == "excluded":
                self.excluded.append(" ".join(words))
            elif kind == "set":
                self.settings[words[0], words[1]] = " ".join(words[2:])


def dump(folder: Path, board: str, release: str = "2022.2", **options: bool) -> Dump:
    path = folder / "bd.txt"
    build(folder, board, fake_environment(FAKE_BD_DUMP=str(path), FAKE_TOOL_VERSION=release), **options)
    return Dump(path)


@pytest.mark.parametrize("board", ZYNQ)
def test_the_accelerator_sits_between_the_streams_of_a_dma(board: str, tmp_path: Path) -> None:
    found = dump(tmp_path, board)
    assert set(found.cells) == {"ps", "dma", "accelerator", "resets", "control", "memory"}
    assert frozenset(("dma/M_AXIS_MM2S", "accelerator/s_axis")) in found.links
    assert frozenset(("accelerator/m_axis", "dma/S_AXIS_S2MM")) in found.links
    ultra = load_board(board).ps == "zynqmp"
    clock = "ps/pl_clk0" if ultra else "ps/FCLK_CLK0"
    clocks = {
        pin: driver for pin, driver in found.drivers.items() if driver.startswith("ps/") and "RESET" not in driver
    }
    assert set(clocks.values()) - {"ps/pl_resetn0"} == {clock}
    assert found.drivers["accelerator/ap_clk"] == found.drivers["dma/m_axi_mm2s_aclk"] == clock
    assert found.drivers["accelerator/ap_rst_n"] == found.drivers["dma/axi_resetn"] == "resets/peripheral_aresetn"
    # The interconnect that is cheaper on small parts, or the one that is meant for new ones.
    assert ("smartconnect" if ultra else "axi_interconnect") in found.cells["memory"]


@pytest.mark.parametrize("board", ["pynq-z2", "zcu104"])
def test_addresses_do_not_overlap_and_reach_the_memory(board: str, tmp_path: Path) -> None:
    found = dump(tmp_path, board)
    assert set(found.addresses) == {"ps/Data", "dma/Data_MM2S", "dma/Data_S2MM"}
    for space, segments in found.addresses.items():
        spans = sorted((offset, offset + size) for _, offset, size in segments)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans)), space
    assert found.addresses["ps/Data"] == [
        ("dma/S_AXI_LITE/Reg", 0xA0000000 if board == "zcu104" else 0x40400000, 0x10000)
    ]
    reached = [name for name, _, _ in found.addresses["dma/Data_MM2S"]]
    assert reached == (
        ["ps/SAXIGP2/HP0_DDR_LOW", "ps/SAXIGP2/HP0_DDR_HIGH"] if board == "zcu104" else ["ps/S_AXI_HP0/HP0_DDR_LOWOCM"]
    )
    assert len(found.excluded) == (4 if board == "zcu104" else 0)


@pytest.mark.parametrize("release", ["2019.2", "2020.1", "2020.2", "2022.1", "2023.2", "2025.1"])
def test_every_supported_release_gets_commands_it_knows(release: str, tmp_path: Path) -> None:
    for board in ("pynq-z2", "kv260"):
        (tmp_path / board).mkdir()
        found = dump(tmp_path / board, board, release)
        assert found.addresses["ps/Data"][0][2] == 0x10000
        stem = f"net_{board}"
        assert (tmp_path / board / "out" / "board" / f"{stem}.hwh").is_file()


def test_a_board_without_memory_above_2_gib_is_mapped_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "bd.txt"
    build(tmp_path, "ultra96v2", fake_environment(FAKE_BD_DUMP=str(path), FAKE_TOOL_MODE="small_memory"))
    assert [name for name, _, _ in Dump(path).addresses["dma/Data_MM2S"]] == ["ps/SAXIGP2/HP0_DDR_LOW"]


def test_an_ila_watches_both_streams(tmp_path: Path) -> None:
    found = dump(tmp_path, "pynq-z2", ila=True)
    assert "system_ila" in found.cells["ila"]
    assert frozenset(("ila/SLOT_0_AXIS", "accelerator/s_axis")) in found.links
    assert frozenset(("ila/SLOT_1_AXIS", "accelerator/m_axis")) in found.links
    assert found.drivers["ila/clk"] == "ps/FCLK_CLK0"


@pytest.mark.parametrize(
    ("board", "asked", "made"),
    [("pynq-z2", 100, 100.0), ("pynq-z2", 87, 83.33333333), ("zcu104", 200, 187.5), ("kv260", 100, 100.0)],
)
def test_the_achieved_clock_is_everywhere(board: str, asked: float, made: float, tmp_path: Path) -> None:
    path = tmp_path / "bd.txt"
    outcome = build(tmp_path, board, fake_environment(FAKE_BD_DUMP=str(path)), clock_mhz=asked)
    name = "CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ" if board != "pynq-z2" else "CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ"
    assert float(Dump(path).settings["ps", name]) == pytest.approx(made)
    design = json.loads((outcome.folder / "board" / "design.json").read_text(encoding="utf-8"))
    assert design["clock_mhz"] == pytest.approx(made)
    assert design["requested_clock_mhz"] == asked
    assert outcome.manifest["clock"]["achieved_mhz"] == pytest.approx(made)
    assert outcome.manifest["clock"]["requested_mhz"] == asked
    readme = (outcome.folder / "README.md").read_text(encoding="utf-8")
    assert f"clock {made:g} MHz" in readme
    assert ("which the board cannot make" in readme) == (abs(made - asked) > 0.001)


def test_the_boards_preset_is_taken_where_its_files_are(tmp_path: Path) -> None:
    found = dump(tmp_path, "pynq-z2")
    assert found.settings["ps", "preset"] == "1"
    assert found.settings["project", "board_part"] == "tul.com.tw:pynq-z2:part0:1.0"
    assert ("ps", "CONFIG.PCW_UIPARAM_DDR_PARTNO") not in found.settings


def test_without_board_files_the_bare_part_gets_our_preset_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bd.txt"
    outcome = build(tmp_path, "pynq-z2", fake_environment(FAKE_BD_DUMP=str(path), FAKE_TOOL_MODE="board_missing"))
    found = Dump(path)
    assert found.settings["ps", "preset"] == "0"
    assert found.settings["ps", "CONFIG.PCW_UIPARAM_DDR_PARTNO"] == "MT41J256M16 RE-125"
    assert found.settings["ps", "CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ"] == "50"
    assert outcome.warnings[0] == (
        "board files of tul.com.tw:pynq-z2:part0:1.0 are not installed: building for the bare part xc7z020clg400-1"
    )
    assert "7 settings from flow's own board file" in outcome.warnings[1]
    assert len(outcome.manifest["checks"]["warnings"]) == 2
    assert outcome.manifest["board_part"] is None


def test_another_version_of_the_board_files_will_do(tmp_path: Path) -> None:
    environment = fake_environment(FAKE_BOARD_PARTS="xilinx.com:zcu104:part0:1.0 xilinx.com:zcu104:part0:1.10")
    outcome = build(tmp_path, "zcu104", environment)
    assert outcome.warnings == (
        "board part xilinx.com:zcu104:part0:1.1 is not installed, using xilinx.com:zcu104:part0:1.10",
    )
    assert outcome.manifest["board_part"] == "xilinx.com:zcu104:part0:1.10"


def test_folders_of_board_files_are_known_before_the_project_is_created(tmp_path: Path) -> None:
    files = tmp_path / "my board files"
    files.mkdir()
    build(tmp_path, "pynq-z1", fake_environment(FLOW_BOARD_FILES=str(files)))  # the fake refuses it afterwards


def test_every_file_the_project_names_is_in_it() -> None:
    for board in ZYNQ:
        plan, _ = plan_for(board)
        text = plan.files["build.tcl"].decode()
        for line in text.splitlines():
            if line.startswith(("dict set design sources", "dict set design memories")):
                for name in line.rpartition("[list")[2].strip("] ").split():
                    assert name in plan.files, (board, name)
        for name in ("flow_common.tcl", "flow_gate.tcl", "flow_package_ip.tcl", "flow_zynq.tcl"):
            assert f"scripts/{name}" in plan.files
