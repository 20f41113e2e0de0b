"""``flow synth``: what a tool measures stands beside the prediction, is kept with the winner, and failures are told."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from flow.board import load_board
from flow.commands.backends import Limits
from flow.resources import Measurement, Resources
from flow.search.measured import merge, record_measurements
from flow.search.store import RunDirectory
from tests.commands.builder import Flow
from tests.hls.builder import FAKE_TOOLS, write_project

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import
pytest.importorskip("hls4ml")

VITIS = FAKE_TOOLS / "vitis_hls"


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any vendor tool."""
    for name in ("XILINX_VIVADO", "XILINX_HLS", "XILINX_VITIS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def measurements(run: Path, winner: int = 0) -> list[dict[str, Any]]:
    """What winners.json has of a winner."""
    found: list[dict[str, Any]] = json.loads((run / "winners.json").read_text())["winners"][winner]["measurements"]
    return found


def evaluation(run: Path, winner: int = 0) -> list[dict[str, Any]]:
    """What its evaluation.json has."""
    digest = json.loads((run / "winners.json").read_text())["winners"][winner]["digest"]
    path = run / "candidates" / digest / "evaluation.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())["measurements"]
    return found


# What comes out


def test_a_winner_is_synthesized_and_what_was_measured_stands_beside_the_prediction(runs: Path, flow: Flow) -> None:
    before = measurements(runs / "first")
    done = flow("synth", "w1", "--runs", runs, "--tool", VITIS)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "first:w1: fits"
    assert lines[1].startswith("predicted (")
    assert "hls, Vitis HLS 2022.2, xc7z020clg400-1, 100 MHz" in lines
    table = {line.split("  ")[0]: line for line in lines}
    hls, predicted = measurements(runs / "first")[-1], before[0]
    assert f"{hls['lut']:,}" in table["hls"]
    assert f"{predicted['lut']:,}" in table["predicted"]
    assert f"{hls['lut'] / predicted['lut']:.2f}" in table["hls / predicted"]
    budget = load_board("pynq-z2").budget.lut
    assert f"{budget:,.0f}" in table["budget"]
    assert "kept with the winner: flow show first" in done.out
    # Appended, not mixed: the prediction is as it was.
    assert measurements(runs / "first")[:-1] == before
    assert evaluation(runs / "first") == measurements(runs / "first")
    assert (hls["source"], hls["tool"], hls["version"]) == ("hls", "Vitis HLS", "2022.2")
    shown = flow("show", "first", "--runs", runs)
    assert shown.code == 0
    assert "source: hls, Vitis HLS 2022.2, xc7z020clg400-1, 100 MHz" in shown.out


def test_repeating_it_runs_nothing_and_changes_nothing(
    runs: Path, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = flow.json("synth", "w1", "--runs", runs, "--tool", VITIS)["synthesized"][0]
    kept = (runs / "first" / "winners.json").read_bytes(), evaluation(runs / "first")
    monkeypatch.setenv("FAKE_TOOL_RECORD", str(tmp_path / "calls"))
    again = flow.json("synth", "w1", "--runs", runs, "--tool", VITIS)["synthesized"][0]
    assert again["reused"] == ["csynth"]
    assert again["measurements"] == first["measurements"]
    assert ((runs / "first" / "winners.json").read_bytes(), evaluation(runs / "first")) == kept
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == [["vitis_hls", "-version"]]


def test_logic_synthesis_and_cosimulation_are_kept_under_their_own_source(runs: Path, flow: Flow) -> None:
    done = flow.json("synth", "w1", "--runs", runs, "--tool", FAKE_TOOLS, "--backend", "vivado", "--logic", "--cosim")
    (one,) = done["synthesized"]
    assert [m["source"] for m in one["measurements"]] == ["hls", "synthesized"]
    assert one["notes"] == [
        "co-simulation: the RTL computes what the C does", "logic synthesis: worst setup slack 0.184 ns",
    ]  # fmt: skip
    assert [m["source"] for m in measurements(runs / "first")] == ["predicted", "hls", "synthesized"]
    assert {m["tool"] for m in one["measurements"]} == {"Vivado HLS", "Vivado"}


def test_all_winners_of_a_run_are_synthesized_several_at_a_time(runs: Path, flow: Flow) -> None:
    done = flow("synth", "first", "--all", "--runs", runs, "--tool", VITIS, "--jobs", "3", "--memory", "3")
    assert done.code == 0
    assert [line for line in done.out.splitlines() if line.endswith(": fits")] == [
        f"first:w{i}: fits" for i in (1, 2, 3)
    ]
    for winner in range(3):
        assert [m["source"] for m in measurements(runs / "first", winner)] == ["predicted", "hls"]


def test_one_that_fails_does_not_keep_the_others_from_their_results(
    runs: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [flow.json("convert", f"w{i}", "--runs", runs)["project"] for i in (1, 2, 3)]
    (Path(folders[1]) / "firmware" / "network.cpp").unlink()
    done = flow("synth", "--all", "--runs", runs, "--tool", VITIS)
    assert done.code == 3
    assert "flow: error: first:w2: vitis_hls 2022.2 csynth: exit status 1" in done.err
    assert [line for line in done.out.splitlines() if line.endswith(": fits")] == ["first:w1: fits", "first:w3: fits"]
    assert [len(measurements(runs / "first", winner)) for winner in range(3)] == [2, 1, 2]


def test_a_measurement_beyond_the_limits_does_not_fit(runs: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOOL_FACTOR", "50")
    done = flow("synth", "w1", "--runs", runs, "--tool", VITIS)
    assert done.code == 1
    assert done.out.splitlines()[0] == "first:w1: does not fit"
    assert "missed: " in done.out
    assert "DSP of 176" in done.out
    assert len(measurements(runs / "first")) == 2  # it is what was measured, all the same


def test_a_clock_that_is_missed_does_not_fit(runs: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", "timing_missed")
    done = flow("synth", "w1", "--runs", runs, "--tool", VITIS)
    assert (done.code, "missed: 68.59 of 100 MHz" in done.out) == (1, True)


def test_a_winner_built_otherwise_is_measured_and_not_kept_with_it(runs: Path, flow: Flow) -> None:
    done = flow("synth", "w1", "--runs", runs, "--tool", VITIS, "--reuse-factor", "2")
    assert done.code == 0
    assert "not with the winner, which is built otherwise" in done.out
    assert [m["source"] for m in measurements(runs / "first")] == ["predicted"]
    assert flow("synth", "w1", "--runs", runs, "--tool", VITIS, "--board", "zcu104").code == 0
    assert [m["source"] for m in measurements(runs / "first")] == ["predicted"]


def test_a_run_in_use_is_left_alone_and_told_so(runs: Path, flow: Flow) -> None:
    running = RunDirectory.resume(runs, "first")
    try:
        done = flow("synth", "w1", "--runs", runs, "--tool", VITIS)
    finally:
        running.close()
    assert done.code == 0
    assert "not with the winner: run 'first' is in use by another process; repeat this command then" in done.out
    assert len(measurements(runs / "first")) == 1
    assert flow("synth", "w1", "--runs", runs, "--tool", VITIS).code == 0
    assert len(measurements(runs / "first")) == 2


def test_a_project_folder_keeps_its_own_measurement(tmp_path: Path, flow: Flow) -> None:
    folder = write_project(tmp_path / "mine", "vitis")
    (one,) = flow.json("synth", folder, "--tool", VITIS)["synthesized"]
    kept = json.loads((folder / "measurement.json").read_text())
    assert kept["measurements"] == one["measurements"]
    assert kept["measurements"][0]["dsp"] == 148
    assert (kept["predicted"], kept["misses"]) == (None, [])
    done = flow("synth", folder, "--tool", VITIS, "--backend", "vivado")
    assert (done.code, "was written for the other backend, not for vivado" in done.error) == (2, True)


def test_reports_of_a_synthesis_elsewhere_are_read_without_a_tool(
    runs: Path, flow: Flow, tmp_path: Path, no_tools: None
) -> None:
    folder = Path(flow.json("convert", "w1", "--runs", runs)["project"])
    missing = flow("synth", "w1", "--runs", runs, "--reports")
    assert (missing.code, "has no report of C synthesis" in missing.error) == (2, True)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    assert flow("synth", elsewhere, "--tool", VITIS).code == 0
    shutil.copytree(elsewhere / "network_prj", folder / "network_prj")
    (one,) = flow.json("synth", "w1", "--runs", runs, "--reports")["synthesized"]
    assert one["measurements"] == measurements(runs / "first")[1:]
    other = flow("synth", "w2", "--runs", runs, "--reports")
    assert other.code == 2


# What goes wrong


def test_without_a_tool_it_says_where_it_looked_and_what_to_do(runs: Path, flow: Flow, no_tools: None) -> None:
    done = flow("synth", "w1", "--runs", runs)
    assert (done.code, done.out) == (3, "")
    assert done.error.startswith(
        "flow: error: vitis-run or vitis_hls or vivado_hls not found, neither on PATH nor in XILINX_VITIS (not set)"
    )
    assert done.error.endswith(
        "source Vitis' settings64.sh, or set XILINX_VITIS; or synthesize on a machine that has it: docs/howto-server.md"
    )
    assert not list((runs / "first" / "candidates").glob("*/hls"))  # told before anything is converted
    logic = flow("synth", "w1", "--runs", runs, "--tool", VITIS, "--logic")
    assert (logic.code, "--logic needs Vivado: vivado not found" in logic.error) == (3, True)
    named = flow("synth", "w1", "--runs", runs, "--tool", "nothing")
    assert (named.code, named.error) == (2, "flow: error: there is no tool nothing")


@pytest.mark.parametrize(
    ("mode", "message", "tail"),
    [
        ("exit1", "exit status 1 after {} s: ERROR: [HLS 207-2976] use of undeclared identifier", "ERROR: [HLS 207"),
        ("no_report", "ended with status 0 after {} s, but there is no ", "Total elapsed time"),
        ("error_exit0", "ERROR: [HLS 200-478] C synthesis failed.", "C synthesis failed"),
        ("killed", "killed by signal 9 (SIGKILL), as the kernel does when memory runs out", "Starting synthesis"),
        ("crash", "crash: Abnormal program termination (11)", "hs_err_pid"),
        ("bad_alloc", "out of memory: what(): std::bad_alloc; give it more memory", "std::bad_alloc"),
        ("hang", "stopped: not done within 2 s", "Starting scheduling"),
        ("memory", "over its memory limit of 0.3 GiB", "Starting synthesis"),
        ("truncated", "its report can't be read: ", "Finished generating"),
        ("other_version", "was written by release 2018.3, but the tool is vitis_hls 2022.2", "Finished generating"),
        ("licence", "licence missing: ERROR: [Common 17-345]", "license"),
        ("part_missing", "part not installed: ERROR: [HLS 200-1023]", "is not installed"),
        ("disk_full", "disk full: ERROR: [Common 17-1294]", "No space left"),
    ],
)
def test_each_failure_has_one_line_with_the_log_and_its_tail_before_it(
    mode: str, message: str, tail: str, runs: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", mode)
    limits = ["--timeout", "2"] if mode == "hang" else ["--memory", "0.3"] if mode == "memory" else []
    done = flow("synth", "w1", "--runs", runs, "--tool", VITIS, *limits)
    assert (done.code, done.out) == (3, "")
    assert done.error.startswith("flow: error: vitis_hls 2022.2 csynth: ")
    assert message in re.sub(r"after \d+ s", "after {} s", done.error)
    log = done.error.rsplit("; log: ", 1)[1]
    assert Path(log).is_file()
    shown = [line for line in done.err.splitlines() if line.startswith("  | ")]
    assert any(tail in line for line in shown)
    assert len(measurements(runs / "first")) == 1
    assert not list((runs / "first" / "candidates").glob("*/hls/*/measurement.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeout", "0"], "--timeout must be above 0, not 0"),
        (["--memory", "-1"], "--memory must be above 0, not -1"),
        (["--jobs", "0"], "--jobs must be above 0, not 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(arguments: list[str], message: str, runs: Path, flow: Flow) -> None:
    done = flow("synth", "w1", "--runs", runs, *arguments)
    assert (done.code, done.error) == (2, f"flow: error: {message}")


# Keeping measurements


def measured(**changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "source": "hls", "tool": "Vitis HLS", "version": "2022.2", "part": "xc7z020clg400-1", "clock_mhz": 100.0,
        "resources": Resources(lut=10),
    }  # fmt: skip
    return Measurement(**{**fields, **changes})


def test_a_measurement_replaces_one_of_the_same_source_tool_and_part_and_no_other() -> None:
    first, second = measured(), measured(source="synthesized", tool="Vivado")
    once = merge([], [first, second])
    assert merge(once, [first, second]) == once == [first.to_dict(), second.to_dict()]
    better = measured(resources=Resources(lut=12))
    assert merge(once, [better]) == [better.to_dict(), second.to_dict()]
    for other in (measured(version="2023.2"), measured(part="xczu7ev-ffvc1156-2-e")):
        assert merge(once, [other]) == [*once, other.to_dict()]


def test_recording_tells_whether_anything_was_new(runs: Path) -> None:
    digest = json.loads((runs / "first" / "winners.json").read_text())["winners"][0]["digest"]
    assert record_measurements(runs / "first", digest, [measured()])
    assert not record_measurements(runs / "first", digest, [measured()])
    assert not record_measurements(runs / "first", "0" * 16, [measured()])
    assert not [name for name in os.listdir(runs / "first") if name.startswith(".") and name != ".lock"]


def test_limits_name_all_that_is_missed() -> None:
    limits = Limits(Resources(lut=5, dsp=3), throughput_per_s=2e6, latency_us=0.5, clock_mhz=200.0)
    found = limits.misses(measured(interval_cycles=100, latency_cycles=100))
    assert found == ["10 LUT of 5", "1,000,000 of 2,000,000 inferences/s", "1 us of 0.5 us latency", "100 of 200 MHz"]
    assert Limits(Resources(lut=10)).misses(measured()) == []
