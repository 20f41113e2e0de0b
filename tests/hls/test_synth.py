"""A written project becomes measurements: with hls4ml's own scripts, run by fake tools that can fail in every way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flow.errors import InputError, ToolError
from flow.hls.synth import STATE, SynthOptions, SynthResult, synthesize
from flow.hls.tools import Kind, Tool
from flow.hls.written_project import read_project
from flow.resources import Resources
from flow.runner import Cancelled, Limits, ToolFailure
from tests.hls.builder import PARAMETERS, fake_tool, write_project

EVERYTHING = SynthOptions(cosim=True, logic=True)
BACKENDS: list[tuple[str, Kind]] = [("vivado", "vivado_hls"), ("vitis", "vitis_hls"), ("vitis", "vitis-run")]

HLS = Tool("vivado_hls", fake_tool("vivado_hls").path, "2020.1")
VIVADO = Tool("vivado", fake_tool("vivado").path, "2020.1")

Mode = Callable[[str], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "prj")


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Mode:
    """Has the fake tools behave in some way."""

    def choose(name: str) -> None:
        monkeypatch.setenv("FAKE_TOOL_MODE", name)

    return choose


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """What the fake tools were called with so far."""
    record = tmp_path / "calls.jsonl"
    monkeypatch.setenv("FAKE_TOOL_RECORD", str(record))

    def read() -> list[list[str]]:
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    return read


def fails(project: Path, options: SynthOptions | None = None, **settings: Any) -> ToolFailure:
    with pytest.raises(ToolFailure) as caught:
        synthesize(project, HLS, VIVADO, options, **settings)
    assert "\n" not in str(caught.value)
    return caught.value


# What comes out


@pytest.mark.parametrize(("backend", "kind"), BACKENDS)
def test_a_project_is_synthesized_simulated_and_its_logic_counted(backend: str, kind: Kind, tmp_path: Path) -> None:
    project = write_project(tmp_path / "prj", backend)
    tool = fake_tool(kind)
    result = synthesize(project, tool, VIVADO, EVERYTHING)
    assert (result.hls.source, result.hls.version) == ("hls", tool.version)
    assert result.hls.tool == ("Vivado HLS" if backend == "vivado" else "Vitis HLS")
    # 16-32-5 with reuse factors 4 and 8: see tests/hls/builder.py.
    assert result.hls.resources == Resources(lut=9868, ff=7184, bram18=4, uram=0, dsp=148)
    assert (result.hls.latency_cycles, result.hls.interval_cycles) == (20, 8)
    assert (result.hls.part, result.hls.clock_mhz) == ("xc7z020clg400-1", 200.0)
    assert result.hls.note == "cycles from co-simulation"
    assert result.logic is not None
    assert (result.logic.source, result.logic.resources.lut) == ("synthesized", 4934)
    assert (result.logic.interval_cycles, result.logic.clock_mhz) == (8, 200.0)
    assert (result.slack_ns, result.cosim_passed) == (0.184, True)
    assert result.best is result.logic
    assert set(result.seconds) == {"csynth", "cosim", "logic"}


def test_without_more_asked_for_only_c_synthesis_runs(project: Path, calls: Callable[[], list[list[str]]]) -> None:
    result = synthesize(project, HLS)
    assert (result.logic, result.slack_ns, result.cosim_passed) == (None, None, None)
    assert result.best is result.hls
    options = "reset=1 csim=0 synth=1 cosim=0 validation=0 export=0 vsynth=0 fifo_opt=0"
    assert calls() == [["vivado_hls", "-f", "build_prj.tcl", options]]


def test_logic_synthesis_is_called_with_part_clock_and_verilog(
    project: Path, calls: Callable[[], list[list[str]]]
) -> None:
    synthesize(project, HLS, VIVADO, SynthOptions(logic=True))
    tool, *arguments = calls()[-1]
    assert tool == "vivado"
    assert arguments[arguments.index("-source") + 1].endswith("vivado_scripts/ooc_synth.tcl")
    verilog = project / "myproject_prj" / "solution1" / "syn" / "verilog"
    passed = ["myproject", "xc7z020clg400-1", "5", str(verilog), str(project / "logic_synthesis")]
    assert arguments[arguments.index("-tclargs") + 1 :] == passed


def test_a_project_may_be_named_from_where_one_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    path = project / "project.tcl"
    path.write_text(path.read_text(encoding="utf-8").replace("7z020clg", "7z020-clg"), encoding="utf-8")
    result = synthesize(Path("prj"), HLS, VIVADO, SynthOptions(logic=True))
    assert result.logic is not None
    assert result.logic.part == result.hls.part == "xc7z020clg400-1"


def test_the_tools_may_deviate_from_a_prediction(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = {"lut": 1000, "ff": 2000, "bram18": 10, "dsp": 5, "uram": 0, "latency_cycles": 9, "interval_cycles": 3}
    (project / "fake_numbers.json").write_text(json.dumps(prediction), encoding="utf-8")
    monkeypatch.setenv("FAKE_TOOL_FACTOR", "1.4")
    measured = synthesize(project, HLS).hls
    assert measured.resources == Resources(lut=1400, ff=2800, bram18=14, uram=0, dsp=7)
    assert (measured.latency_cycles, measured.interval_cycles) == (9, 3)


def test_a_project_for_an_accelerator_has_its_wrapper_on_top(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "prj", "vivadoaccelerator")
    assert read_project(folder).csynth_xml.name == "myproject_axi_csynth.xml"


def test_a_latency_that_is_not_known_is_not_made_up(project: Path, mode: Mode) -> None:
    mode("undef")
    measured = synthesize(project, HLS).hls
    assert (measured.latency_cycles, measured.interval_cycles, measured.throughput_per_s) == (None, None, None)


def test_a_clock_that_is_missed_is_recorded_as_what_is_reached(project: Path, mode: Mode) -> None:
    mode("timing_missed")
    result = synthesize(project, HLS, VIVADO, SynthOptions(logic=True))
    assert result.hls.clock_mhz == pytest.approx(1000 / 7.29)
    assert result.hls.note == "the clock of 5 ns is not met: estimated 7.29 ns"
    assert result.logic is not None
    assert result.logic.clock_mhz == pytest.approx(1000 / 5.463)
    assert result.logic.note == "the clock of 5 ns is not met: worst slack -0.463 ns"
    assert result.slack_ns == -0.463


# Not twice


def test_what_is_done_is_not_done_again(project: Path, calls: Callable[[], list[list[str]]]) -> None:
    first = synthesize(project, HLS, VIVADO, EVERYTHING)
    made = len(calls())
    again = synthesize(project, HLS, VIVADO, EVERYTHING)
    assert len(calls()) == made == 3
    assert again.reused == ("csynth", "cosim", "logic")
    assert replace(again, reused=()) == first


def test_a_step_that_is_added_runs_alone(project: Path, calls: Callable[[], list[list[str]]]) -> None:
    synthesize(project, HLS)
    result = synthesize(project, HLS, VIVADO, SynthOptions(logic=True))
    assert [call[0] for call in calls()] == ["vivado_hls", "vivado"]
    assert result.reused == ("csynth",)


def test_a_moved_project_keeps_its_results(project: Path, calls: Callable[[], list[list[str]]]) -> None:
    synthesize(project, HLS, VIVADO, EVERYTHING)
    made = len(calls())
    moved = project.rename(project.parent / "elsewhere")
    assert synthesize(moved, HLS, VIVADO, EVERYTHING).reused == ("csynth", "cosim", "logic")
    assert len(calls()) == made


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("firmware/weights/w2.txt", "0.25", "0.5"),
        ("firmware/parameters.h", "reuse_factor = 4", "reuse_factor = 2"),
        ("project.tcl", "clock_period 5", "clock_period 4"),
        ("build_prj.tcl", "HLS4ML", "hls4ml"),
    ],
)
def test_another_content_is_another_run(name: str, old: str, new: str, project: Path) -> None:
    before = synthesize(project, HLS)
    path = project / name
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    after = synthesize(project, HLS)
    assert after.reused == ()
    if "reuse" in old:
        assert after.hls.resources.dsp == 276
        assert before.hls.resources.dsp == 148


def test_other_test_vectors_repeat_only_the_cosimulation(project: Path) -> None:
    synthesize(project, HLS, VIVADO, EVERYTHING)
    (project / "tb_data" / "tb_input_features.dat").write_text("4 5 6\n", encoding="utf-8")
    assert synthesize(project, HLS, VIVADO, EVERYTHING).reused == ("csynth", "logic")


def test_another_release_is_another_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesize(project, HLS)
    monkeypatch.setenv("FAKE_TOOL_VERSION", "2019.2")
    result = synthesize(project, fake_tool("vivado_hls"))
    assert (result.reused, result.hls.version) == ((), "2019.2")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 0, "steps": {}}', '{"schema": 1, "steps": [1]}'])
def test_damaged_notes_cost_a_run_and_nothing_more(damage: str, project: Path) -> None:
    synthesize(project, HLS)
    (project / STATE).write_text(damage, encoding="utf-8")
    assert synthesize(project, HLS).reused == ()
    assert synthesize(project, HLS).reused == ("csynth",)


def test_a_failed_run_leaves_no_result_behind(project: Path, mode: Mode) -> None:
    synthesize(project, HLS)
    (project / "firmware" / "parameters.h").write_text(PARAMETERS.replace("= 4;", "= 2;"), encoding="utf-8")
    mode("exit1")
    fails(project)
    mode("no_report")  # the report of the first design is gone: the project was begun anew
    assert fails(project).cause == "no output"
    mode("ok")
    assert synthesize(project, HLS).hls.resources.dsp == 276


def test_lost_verilog_is_made_again_for_logic_synthesis(project: Path) -> None:
    synthesize(project, HLS)
    for path in read_project(project).verilog.iterdir():
        path.unlink()
    read_project(project).verilog.rmdir()
    assert synthesize(project, HLS).reused == ("csynth",)
    assert synthesize(project, HLS, VIVADO, SynthOptions(logic=True)).reused == ()


# Failures: each its own message


@pytest.mark.parametrize(
    ("name", "cause", "message"),
    [
        (
            "exit1",
            "exit status",
            ": ERROR: [HLS 207-2976] use of undeclared identifier 'x' (firmware/myproject.cpp:12:3); log: ",
        ),
        ("no_report", "no output", " s, but there is no "),
        ("error_exit0", "no output", "myproject_csynth.xml: ERROR: [HLS 200-478] C synthesis failed."),
        ("killed", "killed", "killed by signal 9 (SIGKILL), as the kernel does when memory runs out"),
        ("crash", "crash", "crash: Abnormal program termination (11)"),
        ("bad_alloc", "out of memory", "out of memory: "),
        ("truncated", "unparsable", "ended with status 0, but its report can't be read: "),
        ("licence", "licence missing", "licence missing: ERROR: [Common 17-345] A valid license was not found"),
        ("part_missing", "part not installed", "Part 'xc7z020clg400-1' is not installed."),
        ("disk_full", "disk full", "disk full: ERROR: [Common 17-1294] "),
        ("other_version", "other version", "was written by release 2018.3, but the tool is vivado_hls 2020.1"),
    ],
)
def test_a_failure_of_c_synthesis_has_its_own_message(
    name: str, cause: str, message: str, project: Path, mode: Mode
) -> None:
    mode(name)
    error = fails(project)
    assert error.cause == cause
    assert message in str(error)
    if cause not in ("unparsable", "other version"):
        assert error.log == project / "logs" / "csynth.log"
        assert any("Copyright" in line or "HLS" in line or "ERROR" in line for line in error.tail)
    assert not (project / STATE).exists()


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("exit1", "exit status"),
        ("no_report", "no output"),
        ("licence", "licence missing"),
        ("part_missing", "part not installed"),
        ("truncated", "unparsable"),
        ("other_version", "other version"),
    ],
)
def test_a_failure_of_logic_synthesis_keeps_what_hls_found(name: str, cause: str, project: Path, mode: Mode) -> None:
    mode(f"vivado:{name}")
    error = fails(project, SynthOptions(logic=True))
    assert error.cause == cause
    mode("ok")
    assert synthesize(project, HLS, VIVADO, SynthOptions(logic=True)).reused == ("csynth",)


def test_rtl_that_computes_something_else_is_a_failure(project: Path, mode: Mode) -> None:
    mode("cosim_fails")
    error = fails(project, SynthOptions(cosim=True))
    assert error.cause == "co-simulation differs"
    assert "the RTL does not compute what the C does" in str(error)


@pytest.mark.parametrize("name", ["hang", "stubborn"])
def test_a_tool_that_hangs_is_stopped_with_all_it_started(name: str, project: Path, mode: Mode) -> None:
    mode(name)
    error = fails(project, SynthOptions(limits=Limits(timeout_s=2.0, grace_s=0.5)))
    assert error.cause == "timeout"
    assert "stopped: not done within 2 s" in str(error)
    for pid in (project / "hang.pid").read_text(encoding="ascii").split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_tool_that_takes_too_much_memory_is_stopped(project: Path, mode: Mode) -> None:
    mode("memory")
    error = fails(project, SynthOptions(limits=Limits(timeout_s=60, memory_bytes=300 * 2**20)))
    assert error.cause == "out of memory"
    assert "over its memory limit of 0.3 GiB" in str(error)


def test_a_run_can_be_cancelled(project: Path, mode: Mode) -> None:
    mode("hang")
    cancel = threading.Event()
    threading.Timer(0.7, cancel.set).start()
    assert isinstance(fails(project, cancel=cancel), Cancelled)


def test_a_script_with_an_error_fails_as_in_the_real_tool(project: Path) -> None:
    script = project / "build_prj.tcl"
    script.write_text(script.read_text(encoding="utf-8").replace("set_part $part", "set_part $prat"), encoding="utf-8")
    error = fails(project)
    assert error.cause == "exit status"
    assert any('can\'t read "prat"' in line for line in error.tail)


def test_a_script_in_the_wrong_order_fails_as_in_the_real_tool(project: Path) -> None:
    script = project / "build_prj.tcl"
    text = script.read_text(encoding="utf-8").replace("set_part $part\n", "")
    script.write_text(text, encoding="utf-8")
    assert "set_part first" in str(fails(project))


def test_a_missing_source_fails_as_in_the_real_tool(project: Path) -> None:
    (project / "firmware" / "myproject.cpp").unlink()
    assert "The file 'firmware/myproject.cpp' does not exist" in str(fails(project))


def test_exporting_in_2022_fails_with_the_patch_to_install(project: Path, mode: Mode, tmp_path: Path) -> None:
    """The bitstream flow exports; the runner knows that bug for every tool."""
    from flow.runner import Job, run_tool

    mode("export_bug")
    options = "reset=1 csim=0 synth=1 cosim=0 validation=0 export=1 vsynth=0"
    job = Job("vivado_hls export", HLS.script_argv("build_prj.tcl", [options]), project, tmp_path / "log")
    with pytest.raises(ToolFailure) as caught:
        run_tool(job, lambda: None)
    assert caught.value.cause == "export bug of 2022"
    assert "install AMD's patch for answer record 76960" in str(caught.value)


# Projects and tools that don't fit


def test_a_project_and_a_tool_of_different_backends_are_told_apart(project: Path) -> None:
    with pytest.raises(ToolError) as caught:
        synthesize(project, fake_tool("vitis_hls"))
    assert str(caught.value) == (
        f"{project} was written for the Vivado backend, which needs vivado_hls, not vitis_hls 2022.2; "
        "convert the model for the other backend, or give TOOL="
    )


def test_a_board_may_ask_for_one_release(project: Path) -> None:
    with pytest.raises(ToolError, match=r"is to be built with release 2019\.2, but .* is vivado_hls 2020\.1"):
        synthesize(project, HLS, options=SynthOptions(release="2019.2"))


def test_an_unsupported_release_is_refused_before_it_runs(project: Path, calls: Callable[[], list[list[str]]]) -> None:
    with pytest.raises(ToolError, match=r"vivado_hls 2018\.3 .* is not supported: use 2019\.2 to 2020\.1"):
        synthesize(project, replace(HLS, version="2018.3"))
    assert calls() == []


def test_logic_synthesis_needs_vivado(project: Path) -> None:
    with pytest.raises(ToolError, match="logic synthesis needs Vivado"):
        synthesize(project, HLS, None, SynthOptions(logic=True))


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no HLS project: it has no project\.tcl; make one with `flow convert`"):
        synthesize(tmp_path, HLS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"myproject"', '"a;exec ls"', "project.tcl:2: project_name is 'a;exec ls', not a name"),
        ('"myproject"', '"[exec ls]"', "does not set project_name"),
        ('"vivado"', '"quartus"', "backend 'quartus' is not built here; known: vivado, "),
        ('"xc7z020clg400-1"', '"-x"', "project.tcl:6: part is '-x', not a part"),
        ("clock_period 5", "clock_period 0", "clock_period is 0 ns"),
        ("clock_period 5", "clock_period 1e9", "clock_period is '1e9', not a period in ns"),
        ("set clock_period 5", "", "does not set clock_period"),
    ],
)
def test_a_project_that_says_something_odd_is_refused(old: str, new: str, message: str, project: Path) -> None:
    path = project / "project.tcl"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        synthesize(project, HLS)
    assert message in str(caught.value)


def test_two_runs_in_one_folder_do_not_disturb_each_other(project: Path, calls: Callable[[], list[list[str]]]) -> None:
    results: list[SynthResult] = []
    threads = [threading.Thread(target=lambda: results.append(synthesize(project, HLS))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls()) == 1
    assert [len(result.reused) for result in sorted(results, key=lambda r: len(r.reused))] == [0, 1, 1]


def test_who_waits_for_a_folder_can_be_cancelled(project: Path, mode: Mode) -> None:
    mode("hang")
    first, second = threading.Event(), threading.Event()

    def hold() -> None:
        with pytest.raises(Cancelled):
            synthesize(project, HLS, cancel=first)

    thread = threading.Thread(target=hold)
    thread.start()
    while not (project / "hang.pid").exists():
        time.sleep(0.05)
    threading.Timer(0.2, second.set).start()
    with pytest.raises(Cancelled, match="cancelled while another run has it"):
        synthesize(project, HLS, cancel=second)
    first.set()
    thread.join()
