"""Boards: the shipped files against the facts they were written from, and what happens to mistakes in one's own."""

from __future__ import annotations

import copy
import math
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flow.board import Board, list_boards, load_board
from flow.board_file import FAMILIES
from flow.errors import InputError
from flow.fileio import data_dir, yaml_line
from flow.resources import RESOURCE_NAMES, Resources

REPOSITORY = Path(__file__).resolve().parent.parent
HOWTO = (REPOSITORY / "docs" / "howto-board.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"<!-- example: basys3 -->\n```yaml\n(.*?)```", HOWTO, re.DOTALL)

# board: part, board part, processor, toolchain, default clock in MHz
IDENTITY = {
    "pynq-z2": ("xc7z020clg400-1", "tul.com.tw:pynq-z2:part0:1.0", "zynq7", "vivado", 100),
    "pynq-z1": ("xc7z020clg400-1", "www.digilentinc.com:pynq-z1:part0:1.0", "zynq7", "vivado", 100),
    "zybo-z7-20": ("xc7z020clg400-1", "digilentinc.com:zybo-z7-20:part0:1.2", "zynq7", "vivado", 100),
    "arty-a7-35t": ("xc7a35ticsg324-1L", "digilentinc.com:arty-a7-35:part0:1.1", None, "vivado", 100),
    "arty-a7-100t": ("xc7a100tcsg324-1", "digilentinc.com:arty-a7-100:part0:1.1", None, "vivado", 100),
    "zcu104": ("xczu7ev-ffvc1156-2-e", "xilinx.com:zcu104:part0:1.1", "zynqmp", "vivado", 100),
    "zcu102": ("xczu9eg-ffvb1156-2-e", "xilinx.com:zcu102:part0:3.4", "zynqmp", "vivado", 100),
    "kv260": ("xck26-sfvc784-2LV-c", "xilinx.com:kv260_som:part0:1.4", "zynqmp", "vivado", 100),
    "ultra96v2": ("xczu3eg-sbva484-1-i", "avnet.com:ultra96v2:part0:1.2", "zynqmp", "vivado", 100),
    "alveo-u250": ("xcu250-figd2104-2L-e", "xilinx.com:au250:part0:1.3", None, "vitis", 200),
    "alveo-u50": ("xcu50-fsvh2104-2-e", None, None, "vitis", 200),
    "ulx3s-85f": ("LFE5U-85F-6BG381C", None, None, "open", 40),
    "icebreaker": ("iCE40UP5K-SG48", None, None, "open", 12),
}

# board: LUT, FF, memory blocks, RAMB18 in a block (five 4-kbit blocks of an iCE40 make one), UltraRAM, DSP
CAPACITY: dict[str, tuple[int, int, int, int | Fraction, int, int]] = {
    "pynq-z2": (53_200, 106_400, 140, 2, 0, 220),
    "pynq-z1": (53_200, 106_400, 140, 2, 0, 220),
    "zybo-z7-20": (53_200, 106_400, 140, 2, 0, 220),
    "arty-a7-35t": (20_800, 41_600, 50, 2, 0, 90),
    "arty-a7-100t": (63_400, 126_800, 135, 2, 0, 240),
    "zcu104": (230_400, 460_800, 312, 2, 96, 1_728),
    "zcu102": (274_080, 548_160, 912, 2, 0, 2_520),
    "kv260": (117_120, 234_240, 144, 2, 64, 1_248),
    "ultra96v2": (70_560, 141_120, 216, 2, 0, 360),
    "alveo-u250": (1_728_000, 3_456_000, 2_688, 2, 1_280, 12_288),
    "alveo-u50": (871_680, 1_743_360, 1_344, 2, 640, 5_952),
    "ulx3s-85f": (83_640, 83_640, 208, 1, 0, 156),
    "icebreaker": (5_280, 5_280, 30, Fraction(1, 5), 0, 8),
}

# board: oscillators on pins of the fabric, MHz and pin
INPUTS = {
    "pynq-z2": [(125, "H16")],
    "pynq-z1": [(125, "H16")],
    "zybo-z7-20": [(125, "K17")],
    "arty-a7-35t": [(100, "E3")],
    "arty-a7-100t": [(100, "E3")],
    "zcu104": [(125, None), (300, None)],
    "zcu102": [(125, None), (300, None)],
    "kv260": [],
    "ultra96v2": [],
    "alveo-u250": [(300, None)],
    "alveo-u50": [],
    "ulx3s-85f": [(25, "G2")],
    "icebreaker": [(12, "35")],
}


def write(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_board_may_say_how_much_of_the_period_hls_leaves_to_routing(tmp_path: Path) -> None:
    assert load_board(write(tmp_path, EXAMPLE)).hls_uncertainty is None
    text = EXAMPLE.replace("kind: mmcm", "kind: mmcm\n  uncertainty_percent: 20")
    board = load_board(write(tmp_path, text))
    assert board.hls_uncertainty == 20
    assert board.sources["clock.uncertainty_percent"] == board.sources["clock.kind"]
    with pytest.raises(InputError, match=r"clock\.uncertainty_percent: expected a number from 0 to 90, not 100"):
        load_board(write(tmp_path, text.replace("percent: 20", "percent: 100")))


# The shipped boards


def test_thirteen_boards_are_shipped() -> None:
    assert list_boards() == sorted(IDENTITY)


@pytest.mark.parametrize("name", IDENTITY)
def test_a_shipped_board_is_what_its_sources_say(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert (board.part, board.board_part, board.ps, board.toolchain.name, board.default_clock_mhz) == IDENTITY[name]
    lut, ff, blocks, each, uram, dsp = CAPACITY[name]
    assert board.capacity == Resources(lut, ff, math.floor(blocks * each), uram, dsp)
    assert [(i.mhz, i.pin) for i in board.inputs] == INPUTS[name]
    assert board.headroom == {"lut": 0.7, "ff": 0.5, "bram18": 0.8, "uram": 0.8, "dsp": 0.8}


@pytest.mark.parametrize("name", IDENTITY)
def test_every_number_of_a_shipped_board_has_a_source(name: str) -> None:
    board = load_board(name)
    fields = {f"{group}.{n}" for group in ("capacity", "shell", "headroom") for n in RESOURCE_NAMES}
    fields |= {"part", "board_part", "clock.default_mhz", "clock.max_mhz"}
    fields |= {f"inputs.{i.name}" for i in board.inputs} | {f"pins.{pin}" for pin in board.pins}
    assert fields <= board.sources.keys()
    assert all(len(source) > 5 for source in board.sources.values())
    assert board.sources["shell.lut"].startswith(("estimate", "assumption", "FINN"))


def test_what_nobody_has_verified_says_so() -> None:
    assert load_board("alveo-u50").sources["capacity.uram"].startswith("unverified")
    assert load_board("icebreaker").sources["capacity.bram18"].startswith("unverified")


def test_the_pynq_z2_leaves_32890_luts_for_an_accelerator() -> None:
    board = load_board("pynq-z2")
    assert board.budget == Resources(37_240 - 4_350, 53_200 - 6_436, 224 - 6, 0, 176)
    assert board.available == Resources(48_850, 99_964, 274, 0, 220)


def test_the_family_of_a_board_is_one_the_estimator_knows() -> None:
    ultrascale = {name for name in FAMILIES if "ultra" in name or "zynqmp" in name}
    assert {load_board(n).family for n in ("zcu104", "kv260", "alveo-u50", "alveo-u250")} <= ultrascale
    assert load_board("pynq-z2").family not in ultrascale
    assert "ecp5" in load_board("ulx3s-85f").family
    assert "ice40" in load_board("icebreaker").family


def test_nextpnr_is_told_the_device() -> None:
    expected = ("--85k", "--package", "CABGA381", "--speed", "6")
    assert load_board("ulx3s-85f").toolchain.nextpnr == expected
    assert load_board("icebreaker").toolchain.nextpnr == ("--up5k", "--package", "sg48")


def test_a_board_has_the_name_that_openfpgaloader_knows_it_by() -> None:
    loaders = {name: load_board(name).toolchain.loader for name in ("ulx3s-85f", "icebreaker", "pynq-z2")}
    assert loaders == {"ulx3s-85f": "ulx3s", "icebreaker": "ice40_generic", "pynq-z2": None}


def test_the_pll_of_an_ice40_is_pad_or_core(tmp_path: Path) -> None:
    text = (data_dir("boards") / "icebreaker.yaml").read_text(encoding="utf-8")
    path = write(tmp_path, text.replace("  loader: ice40_generic", "  pll: core"), "mine.yaml")
    assert load_board(path).toolchain.pll_core
    assert not load_board("icebreaker").toolchain.pll_core
    path = write(tmp_path, text.replace("  loader: ice40_generic", "  pll: both"), "mine.yaml")
    with pytest.raises(InputError, match=r"toolchain\.pll: expected pad or core"):
        load_board(path)
    text = (data_dir("boards") / "ulx3s-85f.yaml").read_text(encoding="utf-8")
    path = write(tmp_path, text.replace("  loader: ulx3s", "  pll: core"), "mine.yaml")
    with pytest.raises(InputError, match="for ice40 only"):
        load_board(path)


def test_the_alveo_shell_is_what_finn_counts() -> None:
    ddr, hbm = Resources(33_256, 44_889, 199, 0, 3), Resources(10_718, 21_793, 8, 0, 0)
    u250, u50 = load_board("alveo-u250"), load_board("alveo-u50")
    assert u250.available + ddr == Resources(345_000, 690_000, 1_000, 320, 2_877).scaled(
        dict.fromkeys(RESOURCE_NAMES, 4)
    )
    assert u50.available + hbm == Resources(365_000, 730_000, 1_128, 304, 2_580).scaled(
        dict.fromkeys(RESOURCE_NAMES, 2)
    )


def test_boards_load_without_numpy() -> None:
    code = (
        "import sys, flow.spec, flow.report.boards\nfrom flow.board import list_boards, load_board\n"
        "for name in list_boards(): load_board(name)\nassert not {'numpy', 'jinja2', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# One's own board


def test_the_example_of_the_manual_is_a_board(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, EXAMPLE))
    assert (board.name, board.part, board.family, board.ps) == ("basys3", "xc7a35tcpg236-1", "artix7", None)
    assert board.capacity == load_board("arty-a7-35t").capacity
    assert board.sources["board_part"] == "Digilent's board files"
    assert board.sources["part"] == "litex-boards digilent_basys3.py"


def test_the_example_without_headroom_has_the_same_one(tmp_path: Path) -> None:
    without = re.sub(r"headroom:.*?\n\n", "", EXAMPLE, flags=re.DOTALL)
    assert load_board(write(tmp_path, without)).headroom == load_board(write(tmp_path, EXAMPLE, "b.yaml")).headroom


def test_the_mistake_shown_in_the_manual_reads_like_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, EXAMPLE.replace("default_mhz: 100", "default_mhz: 500"), "basys3.yaml")
    with pytest.raises(InputError) as caught:
        load_board(Path(path).name)
    assert f"flow: error: {caught.value}\n" in HOWTO


def test_the_manual_names_every_family_and_every_clock() -> None:
    for name, family in FAMILIES.items():
        for word in (name, *family.clocks, *family.toolchains):
            assert f"`{word}`" in HOWTO or f"name: {word}" in HOWTO


def test_an_unknown_board_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"^unknown board 'pynqz2': did you mean pynq-z2 or pynq-z1\?$"):
        load_board("pynqz2")
    for name in ("", "../boards/pynq-z2", "pynq-z2\0", "/etc/passwd"):
        with pytest.raises(InputError, match="unknown board"):
            load_board(name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read board .*none\.yaml: No such file"):
        load_board(str(tmp_path / "none.yaml"))


def test_unknown_amounts_stay_unknown(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, EXAMPLE.replace("dsp: 90", "dsp: null")))
    assert board.capacity.dsp is None
    assert board.budget.dsp is None
    assert board.available.dsp is None


@pytest.mark.parametrize(
    ("kind", "capacity", "shell"), [("bram18", 30, 2), ("bram36", 60, 4), ("ebr18", 30, 2), ("ebr4", 6, 1)]
)
def test_memory_is_counted_in_ramb18_whatever_the_block(tmp_path: Path, kind: str, capacity: int, shell: int) -> None:
    text = EXAMPLE.replace("bram36: 50", f"{kind}: 30").replace("bram18: 2", f"{kind}: 2")
    board = load_board(write(tmp_path, text))
    assert (board.capacity.bram18, board.shell.bram18) == (capacity, shell)


MISTAKES = [
    ("lut: 20800", "lut: -1", 13, "capacity.lut", "expected a number from 0 to 100,000,000, not -1"),
    ("lut: 20800", "lut: 20800.5", 13, "capacity.lut", "expected a whole number, or null if unknown, not 20800.5"),
    ("lut: 20800", "lut: true", 13, "capacity.lut", "expected a whole number, or null if unknown, not True"),
    ("lut: 20800", "lut: 2e4", 13, "capacity.lut", "expected a whole number, or null if unknown, not '2e4'"),
    ("lut: 20800", "lut: null", 13, "capacity.lut", "must be known"),
    ("  ff: 41600\n", "", 12, "capacity", "field 'ff' is missing"),
    ("ff: 41600", "fff: 41600", 14, "capacity.fff", "unknown field, did you mean ff?"),
    ("bram36: 50", "bram36: 50\n  bram18: 100", 15, "capacity.bram36", "bram18 is there already"),
    ("lut: 600", "lut: 30000", 21, "shell.lut", "the shell takes 9200 more than the part has"),
    ("lut: 600", "lut: 14560", 20, "shell", "with this shell and headroom no LUT is left for an accelerator"),
    ("lut: 0.7", "lut: 1.01", 29, "headroom.lut", "expected a number from 0.01 to 1, not 1.01"),
    ("lut: 0.7", "lut: 0", 29, "headroom.lut", "expected a number from 0.01 to 1, not 0"),
    ("lut: 0.7", "lut: .nan", 29, "headroom.lut", "expected a number from 0.01 to 1, not nan"),
    ("default_mhz: 100", "default_mhz: -5", 38, "clock.default_mhz", "expected a number from 0.001 to 10,000, not -5"),
    ("default_mhz: 100", "default_mhz: 1", 38, "clock.default_mhz", "a clock of 1 MHz is out of reach"),
    (
        "default_mhz: 100",
        "default_mhz: 33.333",
        38,
        "clock.default_mhz",
        "33.333 MHz cannot be made, the next lower is",
    ),
    ("kind: mmcm", "kind: zynq7", 37, "clock.kind", "'zynq7' does not exist in artix7, expected mmcm"),
    ("kind: mmcm", "kind: [mmcm]", 37, "clock.kind", "['mmcm'] does not exist in artix7, expected mmcm"),
    ("kind: mmcm", "kind: null", 37, "clock.kind", "expected mmcm"),
    ("kind: mmcm", "kind: mmcm\n  reference_mhz: 50", 38, "clock.reference_mhz", "unknown field"),
    ("mhz: 100, pin", "mhz: 5, pin", 42, "inputs.0.mhz", "MMCME2 takes 10 to 800 MHz"),
    ("pin: W5", "pin: 'W5; exec'", 42, "inputs.0.pin", "expected letters, digits and '_', at most 16, not 'W5; exec'"),
    ("family: artix7", "family: artix", 6, "family", "'artix' is not a family, did you mean artix7"),
    ("part: xc7a35tcpg236-1", "part: xc7z020clg400-1", 4, "part", "'xc7z020clg400-1' is not a part of artix7: those"),
    (
        "part: xc7a35tcpg236-1",
        "part: xc7a35t [x]",
        4,
        "part",
        "expected letters, digits and '-', 3 to 40, not 'xc7a35t [x]'",
    ),
    ("toolchain: vivado", "toolchain: open", 7, "toolchain", "'open' does not build for artix7, expected vivado"),
    ("toolchain: vivado", "toolchain: {name: vivado, nextpnr: [-x]}", 7, "toolchain", "nextpnr arguments that pick"),
    ("name: basys3", "name: ../basys3", 2, "name", "expected lower-case letters, digits, '.', '_' and '-'"),
    ("name: basys3\n", "", 1, "name", "field 'name' is missing"),
    ("title: Digilent Basys 3", 'title: "a\\x1b[2J"', 3, "title", "expected printable characters, not 'a\\x1b[2J'"),
    ("title: Digilent Basys 3", "title: [1]", 3, "title", "expected text, not [1]"),
    ("schema: 1", "schema: 2", 1, "schema", "2 is not supported, expected 1"),
    ("notes:", "nodes:", 49, "nodes", "unknown field, did you mean notes"),
    ("uart_tx: A18", '"a\\nb": A18', 45, "'pins.a\\nb'", "expected letters, digits and '_', at most 16, not 'a b'"),
]


@pytest.mark.parametrize(("old", "new", "line", "field", "problem"), MISTAKES)
def test_a_mistake_is_named_with_file_line_and_field(
    tmp_path: Path, old: str, new: str, line: int, field: str, problem: str
) -> None:
    assert old in EXAMPLE
    path = write(tmp_path, EXAMPLE.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_board(path)
    assert str(caught.value).startswith(f"{path}:{line}: {field}: {problem}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("group", ["capacity", "shell", "headroom", "clock", "pins"])
def test_a_group_of_numbers_without_a_source_is_refused(tmp_path: Path, group: str) -> None:
    data = yaml.safe_load(EXAMPLE)
    del data[group]["source"]
    path = write(tmp_path, yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(InputError) as caught:
        load_board(path)
    line = yaml_line(Path(path), group, "board")
    assert str(caught.value) == (
        f"{path}:{line}: {group}: field 'source' is missing: say where these numbers come from"
    )


def test_a_fabric_pll_without_an_input_is_refused(tmp_path: Path) -> None:
    text = re.sub(r"inputs:\n.*\n", "inputs: []\n", EXAMPLE)
    with pytest.raises(InputError, match=r"clock\.kind: mmcm needs a clock input: give one under inputs"):
        load_board(write(tmp_path, text))


def test_a_reference_that_the_pll_cannot_multiply_is_refused(tmp_path: Path) -> None:
    text = (REPOSITORY / "boards" / "pynq-z2.yaml").read_text(encoding="utf-8").replace("_mhz: 50", "_mhz: 33.4")
    with pytest.raises(InputError, match=r"clock\.reference_mhz: the IO PLL cannot make 1000 MHz of it"):
        load_board(write(tmp_path, text))


def test_the_shell_of_an_alveo_card_and_its_clock_belong_together(tmp_path: Path) -> None:
    text = (REPOSITORY / "boards" / "alveo-u250.yaml").read_text(encoding="utf-8")
    for changed in (text.replace("toolchain: vitis", "toolchain: vivado"), text.replace("kind: xrt", "kind: mmcm")):
        with pytest.raises(InputError, match=r"clock\.kind: the shell's clock \(xrt\) and the toolchain vitis belong"):
            load_board(write(tmp_path, changed))


# What a board is counted with

amounts = st.none() | st.integers(0, 10**7)
shares = st.integers(1, 100)


@given(capacity=st.tuples(*[amounts] * 5), shell=st.tuples(*[amounts] * 5), headroom=st.tuples(*[shares] * 5))
def test_the_budget_is_capacity_times_headroom_less_shell(
    capacity: tuple[int | None, ...], shell: tuple[int | None, ...], headroom: tuple[int, ...]
) -> None:
    percent = dict(zip(RESOURCE_NAMES, headroom, strict=True))
    board = replace(
        load_board("pynq-z2"),
        capacity=Resources(*capacity),
        shell=Resources(*shell),
        headroom={n: p / 100 for n, p in percent.items()},
    )
    for (name, budget), all_of_it, taken in zip(board.budget, capacity, shell, strict=True):
        if all_of_it is None or taken is None:
            assert budget is None
            assert getattr(board.available, name) is None
        else:
            assert budget == max(math.floor(Fraction(all_of_it * percent[name], 100)) - taken, 0)
            assert getattr(board.available, name) == max(all_of_it - taken, 0)


# Whatever is in a file, it is a board or one line of error


def loads_or_says_why(path: str) -> Board | None:
    said = ""
    try:
        return load_board(path)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert said.startswith((path, f"cannot read board {path}"))
    return None


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_garbage_is_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.yaml"
    path.write_bytes(content)
    assert loads_or_says_why(str(path)) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@pytest.mark.parametrize("name", ["pynq-z2", "ulx3s-85f", "alveo-u50", "basys3"])
@given(data=st.data())
def test_a_board_with_any_field_changed_is_a_board_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    shipped = REPOSITORY / "boards" / f"{name}.yaml"
    original = yaml.safe_load(shipped.read_text(encoding="utf-8") if shipped.exists() else EXAMPLE)
    changed = copy.deepcopy(original)
    place = data.draw(st.sampled_from(places(original)[1:]))
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[place[-1]] = data.draw(values)
    elif isinstance(parent, dict):
        parent[data.draw(st.text(max_size=6) | st.integers() | st.none())] = parent.pop(place[-1])
    path = tmp_path_factory.getbasetemp() / "changed.yaml"
    path.write_text(yaml.safe_dump(changed, sort_keys=False, allow_unicode=True), encoding="utf-8")
    board = loads_or_says_why(str(path))
    if board is not None:
        assert board.budget.lut
        assert board.resolve_clock(board.default_clock_mhz).mhz == board.default_clock_mhz
        assert not board.shell.exceeds(board.capacity)
