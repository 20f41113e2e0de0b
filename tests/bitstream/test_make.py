"""From a network to a result folder, with a Vivado that works, fails in every way, or is not there."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from flow.bitstream.make import Options, make_bitstream
from flow.bitstream.subject import Asked
from flow.errors import InputError, NothingFeasible
from flow.hls.tools import Finder
from flow.network.quantized_io import save
from flow.runner import ToolFailure
from tests.bitstream.builder import build, fake_environment
from tests.hls.builder import FAKE_TOOLS
from tests.rtl.builder import dense_network


def test_the_result_is_one_folder_with_one_stem(tmp_path: Path) -> None:
    outcome = build(tmp_path)
    board = outcome.folder / "board"
    assert outcome.missing is None
    assert {path.name for path in board.iterdir()} == {
        "net_pynq-z2.bit", "net_pynq-z2.hwh", "net_pynq-z2.xsa", "net_pynq-z2.ipynb", "design.json", "manifest.json",
        "README.md", "vectors.npz", "flow_host",
    }  # fmt: skip
    manifest = json.loads((board / "manifest.json").read_text(encoding="utf-8"))
    bit = hashlib.sha256((board / "net_pynq-z2.bit").read_bytes()).hexdigest()
    assert manifest["files"]["net_pynq-z2.bit"] == bit
    assert manifest["built"] is True
    assert manifest["network"] == dense_network().digest
    assert len(manifest["weights"]) == 64
    assert manifest["checks"]["timing"] == {"met": True, "setup_slack_ns": 0.184, "hold_slack_ns": 0.097}
    assert manifest["tools"]["vivado"] == "2020.1"
    routed = manifest["measurements"][-1]
    assert (routed["source"], routed["tool"]) == ("routed", "Vivado")
    assert "shell" in routed["note"]
    assert manifest["versions"]["fpga-nas-flow"]


def test_a_build_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    build(tmp_path)
    calls = tmp_path / "calls"
    said: list[str] = []
    finder = Finder(fake_environment(FAKE_TOOL_RECORD=str(calls)))
    options = Options(backend="rtl", out=tmp_path / "out")
    outcome = make_bitstream(Asked(what=str(tmp_path / "net.npz"), board="pynq-z2"), options, finder, said.append)
    assert outcome.missing is None
    assert not calls.exists()
    assert said == [f"{tmp_path / 'out'} is built already"]


def test_a_project_is_built_elsewhere_and_checked_here(tmp_path: Path) -> None:
    emitted = build(tmp_path, emit_only=True)
    assert emitted.missing == "only emitted, as asked"
    assert emitted.commands == ("vivado -mode batch -source build.tcl",)
    assert emitted.manifest["built"] is False
    # On the server: the folder alone, under another name.
    server = tmp_path / "on the server"
    shutil.copytree(tmp_path / "out", server)
    argv = [str(FAKE_TOOLS / "vivado"), "-mode", "batch", "-source", str(server / "build.tcl")]
    done = subprocess.run(argv, cwd=tmp_path, env=fake_environment(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    shutil.rmtree(tmp_path / "out")
    shutil.move(server, tmp_path / "out")
    checked = build(tmp_path, environment={"PATH": "/nowhere"})
    assert checked.missing is None
    assert checked.manifest["built"] is True


def test_without_vivado_everything_is_emitted_and_the_way_is_shown(tmp_path: Path) -> None:
    outcome = build(tmp_path, environment={"PATH": "/nowhere"})
    assert outcome.missing is not None
    assert "vivado not found" in outcome.missing
    assert outcome.commands == ("vivado -mode batch -source build.tcl",)
    assert (outcome.folder / "build.tcl").is_file()
    readme = (outcome.folder / "README.md").read_text(encoding="utf-8")
    assert "vivado -mode batch -source build.tcl" in readme
    assert "Vivado 2019.2 to 2025.x" in readme


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        ("timing_missed", NothingFeasible, r"setup missed by 0\.463 ns from u_fc1/step_reg/C to u_fc1/sum_reg/D \("),
        ("hold_missed", NothingFeasible, r"hold missed by 0\.031 ns from .*build again with another release"),
        ("unconstrained", NothingFeasible, "no path has a setup constraint"),
        (
            "overflow",
            NothingFeasible,
            r"does not fit: Place Check : This design requires more Slice LUTs .*lower --fps",
        ),
        ("licence", ToolFailure, "licence missing: .*set XILINXD_LICENSE_FILE"),
        ("part_missing", ToolFailure, "part xc7z020clg400-1 is not installed in Vivado 2020.1"),
        ("clock_off", ToolFailure, r"the processor makes a clock of 97\.0+ MHz, the design is for 100 MHz"),
        ("killed", ToolFailure, r"killed by signal 9 \(SIGKILL\)"),
        ("killed_late", ToolFailure, r"killed by signal 9 \(SIGKILL\)"),
        ("bad_alloc", ToolFailure, "out of memory"),
        ("disk_full", ToolFailure, "disk full"),
        ("no_bitstream", ToolFailure, r"ended with status 0 .*there is no .*net_pynq-z2\.bit"),
        ("exit1", ToolFailure, "undeclared identifier"),
    ],
)
def test_every_failure_has_its_own_message_and_hands_over_nothing(
    mode: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message) as caught:
        build(tmp_path, environment=fake_environment(FAKE_TOOL_MODE=mode))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out" / "board").glob("*.bit"))
    manifest = tmp_path / "out" / "board" / "manifest.json"
    assert not manifest.exists() or not json.loads(manifest.read_text(encoding="utf-8"))["built"]


def test_a_missed_clock_comes_with_one_that_would_close(tmp_path: Path) -> None:
    with pytest.raises(NothingFeasible) as caught:
        build(tmp_path, environment=fake_environment(FAKE_TOOL_MODE="timing_missed"))
    # 10 ns and 0.463 ns more are 95.57 MHz; the next lower clock of the processor is 1000 / 11.
    assert "to close it: --clock 90.9091 (" in str(caught.value)
    assert "still enough), or a lower --fps" in str(caught.value)


def test_what_was_missed_before_does_not_stay(tmp_path: Path) -> None:
    built = build(tmp_path)
    stale = built.folder / "board" / "net_pynq-z2.bit"
    assert stale.exists()
    with pytest.raises(NothingFeasible):
        build(tmp_path, clock_mhz=125, environment=fake_environment(FAKE_TOOL_MODE="timing_missed"))
    assert not stale.exists()


def test_a_build_takes_no_longer_than_its_limit(tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match=r"not done within 0\.5 s") as caught:
        build(tmp_path, environment=fake_environment(FAKE_TOOL_MODE="hang"), timeout_s=0.5)
    assert caught.value.cause == "timeout"


def test_a_report_that_does_not_say_met_is_not_believed(tmp_path: Path) -> None:
    built = build(tmp_path)
    report = built.folder / "reports" / "timing.rpt"
    report.write_text(report.read_text(encoding="utf-8").replace("    0.184", "   -0.184"), encoding="utf-8")
    with pytest.raises((InputError, NothingFeasible)):
        build(tmp_path)


@pytest.mark.parametrize("release", ["2018.3", "2026.1"])
def test_a_release_that_is_not_supported_is_not_run(release: str, tmp_path: Path) -> None:
    outcome = build(tmp_path, environment=fake_environment(FAKE_TOOL_VERSION=release))
    assert outcome.missing is not None
    assert "use 2019.2 to 2025.x" in outcome.missing


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "out" / "thesis.tex"
    mine.parent.mkdir()
    mine.write_text("do not delete", encoding="utf-8")
    with pytest.raises(InputError, match="not empty and no bitstream project"):
        build(tmp_path)
    assert mine.exists()


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    for folder in (one, two):
        folder.mkdir()
    first, second = build(one, emit_only=True), build(two, emit_only=True)
    assert first.plan.digest == second.plan.digest
    assert dict(first.plan.files) == dict(second.plan.files)


def test_a_network_needs_a_board(tmp_path: Path) -> None:
    save(dense_network(), tmp_path / "net.npz")
    with pytest.raises(InputError, match=r"which board is .* for"):
        make_bitstream(Asked(what=str(tmp_path / "net.npz")), Options())


def test_a_network_alone_has_no_hls(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="flow convert"):
        build(tmp_path, backend="hls")
    with pytest.raises(InputError, match="backend 'vhdl' does not go with board pynq-z2"):
        build(tmp_path, backend="vhdl")
