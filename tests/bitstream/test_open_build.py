"""Bitstreams with open tools, really built: what is handed over, what is refused, and that it is the network."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow import cli
from flow.bitstream.host.accelerator import load
from flow.bitstream.make import Options, Outcome, make_bitstream
from flow.bitstream.open_board import SIMULATED_TOP, TOP, device_of, simulated_files
from flow.bitstream.open_build import find_tools, route_seeds
from flow.bitstream.open_flash import command, find_loader, flash
from flow.bitstream.subject import Asked
from flow.bitstream.uart_sim import simulated_port
from flow.board import load_board
from flow.errors import InputError, NothingFeasible, ToolError
from flow.fileio import data_dir
from flow.network.fixed import FixedFormat
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble
from flow.network.quantized_io import save
from flow.resources import ZERO
from flow.rtl.cache import Cache
from flow.rtl.nextpnr import Routed
from flow.rtl.technology import TOP_NAME
from flow.rtl.verilator import Verilator, find_verilator
from flow.rtl.yosys import find_yosys, run_script
from flow.runner import Limits, ToolFailure
from tests.bitstream.test_open_board import WITH_PLL, design_for
from tests.rtl.builder import conv_network, weights
from tests.rtl.test_gate_level import CELLS, WAIVED

SYNC = {"ulx3s-85f": bytes.fromhex("ffffbdb3"), "icebreaker": bytes.fromhex("7eaa997e")}
"""The word after which the device listens: FPGA-TN-02039 and FPGA-TN-02001."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What was synthesized or routed by one test serves the others, and no run before."""
    folder = tmp_path_factory.mktemp("open")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOW_CACHE", str(folder))
        yield folder


@pytest.fixture(params=["ulx3s-85f", "icebreaker"])
def board(request: pytest.FixtureRequest) -> str:
    """A board whose tools are here."""
    needs_tools(request.param)
    return str(request.param)


def needs_tools(board: str) -> None:
    try:
        find_tools(device_of(load_board(board)))
    except ToolError as error:
        pytest.skip(f"needs open tools: {error}")


@pytest.fixture
def verilator() -> Verilator:
    try:
        return find_verilator()
    except ToolError as error:
        pytest.skip(f"needs Verilator and a C++ compiler: {error}")


def build(
    folder: Path, board: str, network: QuantizedNetwork | None = None, fps: float = 1000.0, **options: object
) -> Outcome:
    """Build a network's bitstream in ``folder``/out."""
    model = folder / "net.npz"
    save(network or conv_network(), model)
    given = Options(**{"out": folder / "out", "clock_mhz": WITH_PLL[board], **options})  # type: ignore[arg-type]
    return make_bitstream(Asked(what=str(model), board=board, fps=fps), given)


@pytest.mark.slow
def test_a_bitstream_that_meets_timing_is_handed_over_with_what_was_measured(board: str, tmp_path: Path) -> None:
    outcome = build(tmp_path, board)
    assert outcome.missing is None
    folder = outcome.folder / "board"
    suffix = device_of(load_board(board)).suffix
    name = f"net_{board}.{suffix}"
    names = {name, "design.json", "manifest.json", "network.npz", "vectors.npz", "flow_host"}
    assert {path.name for path in folder.iterdir()} == names
    content = (folder / name).read_bytes()
    assert SYNC[board] in content[:400]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["built"] is True
    assert manifest["files"] == {name: hashlib.sha256(content).hexdigest()}
    assert manifest["checks"]["timing"]["met"] is True
    assert manifest["checks"]["timing"]["fmax_mhz"]["clk"] >= WITH_PLL[board]
    assert manifest["clock"]["settings"], "the clock comes from the PLL"
    assert manifest["used"]["EHXPLLL" if board == "ulx3s-85f" else "ICESTORM_PLL"][0] == 1
    synthesized, routed = manifest["measurements"]
    assert (synthesized["source"], routed["source"]) == ("synthesized", "routed")
    assert "with the shell" in routed["note"]
    assert routed["lut"] == pytest.approx(synthesized["lut"] + manifest["shell"]["lut"], rel=0.05)
    assert set(manifest["tools"]) == {"yosys", "nextpnr", "packer"}
    if board == "ulx3s-85f":  # what is in the bitstream: dividers less one, 25 MHz * 16 / 40 is 10
        routed_pll = (outcome.folder / "reports" / "routed.config").read_text(encoding="utf-8")
        words = {name: int(bits, 2) for name, bits in re.findall(r"^word: (\w+) ([01]+)$", routed_pll, re.MULTILINE)}
        found = [words[name] + 1 for name in ("CLKI_DIV", "CLKFB_DIV", "CLKOP_DIV", "CLKOS_DIV")]
        assert 25 / found[0] * found[1] * found[2] / found[3] == pytest.approx(10)
        assert 400 <= 25 / found[0] * found[1] * found[2] <= 800
        assert (words["ICP_CURRENT"], words["LPF_RESISTOR"], words["MFG_ENABLE_FILTEROPAMP"]) == (12, 8, 1)
    said: list[str] = []
    again = make_bitstream(
        Asked(what=str(tmp_path / "net.npz"), board=board, fps=1000.0),
        Options(out=tmp_path / "out", clock_mhz=WITH_PLL[board]), say=said.append,
    )  # fmt: skip
    assert said == [f"{tmp_path / 'out'} is built already"]
    assert again.manifest == manifest


@pytest.mark.slow
def test_the_same_network_gives_the_same_bitstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_tools("icebreaker")
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("FLOW_CACHE", str(tmp_path / name / "cache"))  # nothing is kept from the first
        digests.append(build(tmp_path / name, "icebreaker").manifest["files"])
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_the_placed_netlist_with_pins_and_pll_computes_what_the_network_does(
    board: str, tmp_path: Path, verilator: Verilator
) -> None:
    outcome = build(tmp_path, board)
    design = design_for(board, WITH_PLL[board])
    pll = {"ulx3s-85f": "EHXPLLL.v", "icebreaker": "SB_PLL40_PAD.v"}[board]
    family = "ecp5" if board == "ulx3s-85f" else "ice40"
    script = (
        f"read_verilog -defer -overwrite {CELLS[family]}\nread_verilog -defer -overwrite {pll}\nread_json design.json\n"
        f"hierarchy -top {TOP_NAME}\nproc\nflatten\nrename {TOP_NAME} {TOP}\nopt_clean\nwrite_verilog -noattr gates.v\n"
    )
    with Cache(tmp_path / "cache").work("gates") as folder:
        shutil.copy(data_dir("templates") / "shell" / "models" / pll, folder)
        shutil.copy(outcome.folder / "reports" / "design.json", folder)
        read = (folder / "gates.v").read_text
        gates = run_script(find_yosys(), folder, script, "gates", ["gates.v"], Limits(300.0), read).value
    waived = "\n".join(f"// verilator lint_off {name}" for name in WAIVED.split())
    wrapper = simulated_files(design)[f"{SIMULATED_TOP}.v"]
    files = {f"{TOP}.v": f"{waived}\n{gates}", f"{SIMULATED_TOP}.v": wrapper}
    bits = round(design.clock.mhz)
    with simulated_port(files, SIMULATED_TOP, bits, tmp_path / "cache", verilator) as port:
        port.silence(20)
        net = load(outcome.folder / "board", port=port, timeout_s=5.0)
        check = net.check(20)
    assert (check.images, check.wrong, net.link.link.repeated) == (20, 0, 0)


@pytest.mark.slow
def test_a_missed_clock_hands_nothing_over_and_names_one_that_closes(tmp_path: Path) -> None:
    needs_tools("ulx3s-85f")
    with pytest.raises(NothingFeasible) as caught:
        build(tmp_path, "ulx3s-85f", clock_mhz=300.0)
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(r"timing is missed, no bitstream is handed over: reached \d+\.\d\d MHz of", message)
    assert re.search(r"setup of the worst path (within|from) .* is \d+\.\d\d ns late \(best of 1 seed\)", message)
    assert not list((tmp_path / "out" / "board").glob("net_*"))
    assert not (tmp_path / "out" / "reports" / "result.json").exists()
    advised = re.search(r"to close it: --clock ([\d.]+) \([\d,]+ inferences/s, still enough\)", message)
    assert advised
    assert build(tmp_path, "ulx3s-85f", clock_mhz=0.9 * float(advised[1])).missing is None


def routed(mhz: float) -> Routed:
    """A result for a clock of 40 MHz."""
    at = Path("x")
    return Routed("ecp5", ZERO, {}, {"clk": mhz}, {}, 40.0, 1, 1.0, at, at)


@pytest.mark.parametrize(
    ("results", "tried"),
    [
        ([41.0], [41.0]),
        ([39.0, 40.5, 45.0], [39.0, 40.5]),
        ([30.0, 41.0], [30.0]),  # too slow by a quarter: no seed brings that
        ([39.0, 38.0, 39.5, 37.0], [39.0, 38.0, 39.5, 37.0]),
        ([None, 41.0], [41.0]),  # not all nets could be routed
        ([39.0, None, None, None], [39.0]),
    ],
)
def test_further_seeds_are_tried_while_there_is_hope(results: list[float | None], tried: list[float]) -> None:
    def route(seed: int) -> Routed:
        mhz = results[seed - 1]
        if mhz is None:
            raise ToolFailure("x", "not routed")
        return routed(mhz)

    done = route_seeds(route, range(1, 5), 36.0)
    assert [one.fmax_mhz["clk"] for one in done] == tried


def test_a_design_that_no_seed_routes_is_a_failure() -> None:
    def route(seed: int) -> Routed:
        raise ToolFailure(f"seed {seed}", "not routed")

    with pytest.raises(ToolFailure, match="seed 4"):
        route_seeds(route, range(1, 5), 36.0)


@pytest.mark.slow
def test_a_network_too_large_for_the_icebreaker_is_refused_with_what_is_too_much(tmp_path: Path) -> None:
    needs_tools("icebreaker")
    step = Step("fc", "dense", "fc", ("x",), (64,), weight=weights((64, 64), 6))
    network = assemble("x", (64,), FixedFormat(6, 0, signed=False), [step])
    with pytest.raises(NothingFeasible) as caught:
        build(tmp_path, "icebreaker", network, fps=200_000.0)
    found = re.search(r"it needs ([\d,]+) logic cells of 5,280", str(caught.value))
    assert found
    assert int(found[1].replace(",", "")) > 5280
    assert "choose a smaller winner, or give a lower --fps" in str(caught.value)
    assert not list((tmp_path / "out" / "board").glob("net_*"))


@pytest.mark.slow
def test_a_board_of_the_users_own_is_one_file(tmp_path: Path, repository: Path) -> None:
    needs_tools("ulx3s-85f")
    text = (repository / "docs" / "howto-open-board.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"<!-- example: colorlight-i5 -->\n```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(example.replace("name: colorlight-i5", "name: made-up"), encoding="utf-8")
    save(conv_network(), tmp_path / "net.npz")
    asked = Asked(what=str(tmp_path / "net.npz"), board=str(tmp_path / "mine.yaml"))
    outcome = make_bitstream(asked, Options(out=tmp_path / "out"))
    assert outcome.manifest["clock"]["achieved_mhz"] == 40
    assert outcome.manifest["used"]["TRELLIS_COMB"][1] == 24288, "the device of the file"
    content = (tmp_path / "out" / "board" / "net_made-up.bit").read_bytes()
    assert SYNC["ulx3s-85f"] in content[:400]
    assert "openFPGALoader -b colorlight-i5 board/net_made-up.bit" in (tmp_path / "out" / "README.md").read_text()


# By hand


def test_a_project_is_emitted_without_any_tool(board: str, tmp_path: Path) -> None:
    outcome = build(tmp_path, board, emit_only=True)
    assert (outcome.missing, outcome.commands) == ("only emitted, as asked", ("sh build.sh",))
    assert outcome.manifest["built"] is False
    assert outcome.manifest["files"] == {}
    assert (outcome.folder / device_of(load_board(board)).constraints).is_file()


def test_without_a_run_the_command_that_comes_first_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run `make search BOARD=ulx3s-85f` first, or give a model"):
        make_bitstream(Asked(board="ulx3s-85f", runs=tmp_path / "runs"), Options())


def test_the_command_emits_and_checks_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(conv_network(), Path("net.npz"))
    given = ["bitstream", "net.npz", "--board", "ulx3s-85f", "--emit-only"]
    assert cli.main(given) == 0
    assert "bitstream/net_ulx3s-85f: the project net_ulx3s-85f for ulx3s-85f, not built: only emitted, as asked" in (
        capsys.readouterr().out
    )
    assert cli.main([*given, "--seed", "0"]) == 2
    assert "--seed must be at least 1, not 0" in capsys.readouterr().err
    assert cli.main([*given, "--clock", "3"]) == 2
    assert "a clock of 3 MHz is out of reach" in capsys.readouterr().err


def program(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.slow
def test_a_project_built_by_hand_is_checked_and_taken(board: str, tmp_path: Path) -> None:
    folder = build(tmp_path, board, emit_only=True).folder
    device = device_of(load_board(board))
    package = f"yowasp_nextpnr_{load_board(board).family}"
    pyosys = "import sys; from pyosys import libyosys as y; d = y.Design(); [y.run_pass(p, d) for p in {}]"
    yosys = pyosys.format("sys.argv[3].split(';')")
    packaged = "import sys; from {} import {} as run; sys.exit(run(sys.argv[1:]))"
    starts = {
        "YOSYS": yosys,
        "NEXTPNR": packaged.format(package, f"run_{device.nextpnr.replace('-', '_')}"),
        "PACK": packaged.format(package, f"run_{device.packer}"),
    }
    names = {name: str(program(tmp_path / name, f"#!{sys.executable}\n{text}\n")) for name, text in starts.items()}
    done = subprocess.run(
        ["sh", str(folder / "build.sh")], capture_output=True, text=True, timeout=300, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **names},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    outcome = build(tmp_path, board)
    assert outcome.missing is None
    assert outcome.manifest["built"] is True
    assert outcome.manifest["checks"]["timing"]["met"] is True
    # A report that says otherwise is not believed, and its bitstream does not stay.
    report = folder / "reports" / "report.json"
    data = json.loads(report.read_text(encoding="utf-8"))
    for clock in data["fmax"].values():
        clock["achieved"] = 1.0
    report.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(NothingFeasible, match=r"timing is not met \(clk 1\.00 of"):
        build(tmp_path, board)
    assert not list((folder / "board").glob("net_*"))


# Into the board

LOADER = f"""#!{sys.executable}
import json, os, pathlib, sys
pathlib.Path(os.environ["SAID"]).write_text(json.dumps(sys.argv[1:]))
print("Jtag frequency : requested 6.00MHz")
sys.exit(int(os.environ.get("ENDS", "0")))
"""


@pytest.fixture
def loader(tmp_path: Path) -> dict[str, str]:
    """The environment in which openFPGALoader is a program that writes down its arguments."""
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "openFPGALoader", LOADER)
    return {"PATH": str(tmp_path / "bin"), "SAID": str(tmp_path / "said")}


def test_openfpgaloader_gets_the_board_and_the_bitstream(loader: dict[str, str], tmp_path: Path) -> None:
    bit = tmp_path / "x.bit"
    bit.write_bytes(b"bits")
    flash(load_board("ulx3s-85f"), bit, tmp_path / "flash.log", loader)
    assert json.loads((tmp_path / "said").read_text()) == ["-b", "ulx3s", str(bit)]
    assert "Jtag frequency" in (tmp_path / "flash.log").read_text()


def test_a_board_that_does_not_answer_is_an_error_with_its_log(loader: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match=r"openFPGALoader: exit status 1 .*flash\.log"):
        flash(load_board("icebreaker"), tmp_path / "x.bin", tmp_path / "flash.log", {**loader, "ENDS": "1"})


def test_without_openfpgaloader_the_command_is_said(tmp_path: Path) -> None:
    if find_loader({"PATH": "/nowhere"}) is not None:
        pytest.skip("the package openfpgaloader is installed")
    with pytest.raises(ToolError, match=r"not found: install it .* then run `openFPGALoader -b ice40_generic /"):
        flash(load_board("icebreaker"), tmp_path / "x.bin", tmp_path / "log", {"PATH": "/nowhere"})


def test_a_board_that_openfpgaloader_does_not_know_is_said() -> None:
    with pytest.raises(InputError, match=r"pynq-z2: its file has no toolchain\.loader"):
        command(load_board("pynq-z2"), Path("x.bit"))


def test_flashing_goes_with_a_bitstream_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--flash needs a bitstream"):
        build(tmp_path, "icebreaker", emit_only=True, flash=True)
    save(conv_network(), tmp_path / "net.npz")
    with pytest.raises(InputError, match="--flash is for boards with open tools"):
        make_bitstream(Asked(what=str(tmp_path / "net.npz"), board="arty-a7-35t"), Options(flash=True))
