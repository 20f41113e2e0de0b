"""A search with a vendor's HLS tool: which tool it takes, what is limited, and what every failure of it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from flow.errors import FlowError, InputError, ToolError
from flow.search.entry import Entry
from flow.search.runlog import read_events
from flow.search.settings import Problem, resolve
from flow.search.synthesis import HlsSynthesizer, find_tool
from tests.hls.builder import FAKE_TOOLS, fake_tool, write_project
from tests.search.formula import SilentDisplay
from tests.search.test_feedback import SETTINGS, problem_of, search_in

VITIS = fake_tool("vitis_hls")


def problem(**changes: Any) -> Problem:
    return problem_of(**{"trials": 2, "lut": 30000.0, **changes})


class Written:
    """Writes the same project for every candidate, each in a folder of its own."""

    def __init__(self, folder: Path, clock_mhz: float) -> None:
        self.folder, self.clock = folder, f"{1000 / clock_mhz:g}"
        self.targets: list[Mapping[str, Any]] = []

    def __call__(self, entry: Entry, target: Mapping[str, Any]) -> Callable[[], Path]:
        self.targets.append(target)
        return lambda: write_project(self.folder / entry.candidate.digest, "vitis", clock=self.clock)


def test_winners_are_measured_by_the_tool_and_projects_are_for_its_backend(tmp_path: Path) -> None:
    asked = problem(synth_jobs=2, synth_memory=3.0)
    write = Written(tmp_path / "projects", asked.spec.clock_mhz)
    with HlsSynthesizer(asked, VITIS, write) as synthesizer:
        _, outcome, _ = search_in(tmp_path / "run", asked, synthesizer)
    assert outcome.front
    for entry in outcome.front:
        assert (entry.measurement.source, entry.measurement.version) == ("hls", "2022.2")
        assert entry.cost == 9868.0  # what the fake tool makes of the project's two layers
    assert write.targets[0] == {"backend": "Vitis", "part": "xc7z020clg400-1", "uncertainty": None}


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("exit1", "ERROR: [HLS 207-2976] use of undeclared identifier"),
        ("no_report", ", but there is no "),
        ("error_exit0", "ERROR: [HLS 200-478] C synthesis failed."),
        ("killed", "killed by signal 9 (SIGKILL), as the kernel does when memory runs out"),
        ("crash", "crash: Abnormal program termination (11)"),
        ("bad_alloc", "out of memory: what(): std::bad_alloc; give it more memory"),
        ("hang", "stopped: not done within 2 s"),
        ("memory", "over its memory limit of 0.3 GiB"),
        ("truncated", "its report can't be read: "),
        ("other_version", "was written by release 2018.3, but the tool is vitis_hls 2022.2"),
        ("licence", "licence missing: ERROR: [Common 17-345]"),
        ("part_missing", "part not installed: ERROR: [HLS 200-1023]"),
        ("disk_full", "disk full: ERROR: [Common 17-1294]"),
    ],
)
def test_each_failure_has_its_message_is_recorded_and_the_search_goes_on(
    mode: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", mode)
    limits = {"hang": {"synth_timeout": 2.0}, "memory": {"synth_memory": 0.3}}.get(mode, {})
    asked = problem(synth_jobs=1, **limits)
    with HlsSynthesizer(asked, VITIS, Written(tmp_path / "projects", asked.spec.clock_mhz)) as synthesizer:
        search, outcome, display = search_in(tmp_path / "run", asked, synthesizer)
    failed = [e for e in outcome.entries if e.verdict is not None]
    assert failed
    assert len(outcome.entries) == 2
    logged = {e["number"]: e["error"] for e in read_events(tmp_path / "run" / "log.jsonl") if e["event"] == "failed"}
    for entry in failed:
        assert entry.verdict is not None
        error = str(entry.verdict.error)
        assert error.startswith("vitis_hls 2022.2 csynth: ")
        assert message in error
        assert "\n" not in error
        file = tmp_path / "run" / "candidates" / entry.candidate.digest / "evaluation.json"
        assert json.loads(file.read_text())["synthesis"][0]["error"] == error
        assert logged[entry.proposal.number] == error
        assert ("failed", entry.proposal.number) in display.events
    assert outcome.front, "the winners are as predicted then"
    assert search.feedback.failures == len(failed)


def test_a_clock_that_is_not_met_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", "timing_missed")
    asked = problem()
    with HlsSynthesizer(asked, VITIS, Written(tmp_path / "projects", asked.spec.clock_mhz)) as synthesizer:
        _, outcome, _ = search_in(tmp_path / "run", asked, synthesizer)
    assert [e for e in outcome.entries if "MHz" in str(e.unfit)]
    assert not outcome.front


def test_a_project_that_cannot_be_written_is_a_failure_like_any_other(tmp_path: Path) -> None:
    def write(entry: Entry, target: Mapping[str, Any]) -> Callable[[], Path]:
        def fail() -> Path:
            raise ToolError("its HLS project can't be written: no such layer")

        return fail

    with HlsSynthesizer(problem(), VITIS, write) as synthesizer:
        search, _, _ = search_in(tmp_path / "run", problem(), synthesizer)
    assert search.feedback.failures


def test_an_interrupt_ends_the_tool_and_all_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", "hang")
    projects = tmp_path / "projects"

    def interrupt(display: SilentDisplay, text: str) -> None:
        """As Ctrl-C does while the first synthesis is waited for."""
        end = time.monotonic() + 60
        while not list(projects.glob("*/hang.pid")):
            assert time.monotonic() < end
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(SilentDisplay, "stage", interrupt)
    asked = problem()
    with (
        pytest.raises(KeyboardInterrupt),
        HlsSynthesizer(asked, VITIS, Written(projects, asked.spec.clock_mhz)) as synthesizer,
    ):
        search_in(tmp_path / "run", asked, synthesizer)
    (pids,) = (file.read_text().split() for file in projects.glob("*/hang.pid"))
    assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]


# Which tool


def test_a_tool_is_taken_if_it_is_asked_for_or_there_and_never_for_the_estimator_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("XILINX_HLS", "XILINX_VITIS", "XILINX_VIVADO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin")
    assert find_tool(problem(), None, False) is None
    assert find_tool(problem(tool=str(FAKE_TOOLS / "vivado_hls")), None, False) == fake_tool("vivado_hls")
    monkeypatch.setenv("PATH", f"{FAKE_TOOLS}:/usr/bin:{Path(sys.executable).parent}")
    found = find_tool(problem(), None, False)
    assert found is not None
    assert found.kind == "vitis-run"
    assert find_tool(problem(estimator_only=True), None, False) is None
    assert find_tool(problem(board="icebreaker", lut=3000.0), None, False) is None, "no AMD part"
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FAKE_TOOL_VERSION", "2018.1")
    assert find_tool(problem(), None, False) is None
    assert "warning: no synthesis in this search: vitis-run 2018.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "recorded", "resumed", "kind", "message"),
    [
        ({"tool": "/nowhere/vitis_hls"}, None, False, InputError, "there is no tool /nowhere/vitis_hls"),
        ({"tool": str(VITIS.path)}, None, True, InputError, "was started without a tool"),
        ({"tool": str(VITIS.path)}, "vitis_hls 2023.1", True, InputError, "started with vitis_hls 2023.1, not with"),
        ({}, "vitis_hls 2022.2", True, ToolError, "started with vitis_hls 2022.2, and goes on with it only: "),
        ({"tool": str(VITIS.path), "board": "icebreaker", "lut": 3000.0}, None, False, InputError, "has no AMD part"),
    ],
)
def test_a_tool_that_cannot_be_had_or_is_not_the_runs_is_told(
    changes: dict[str, Any], recorded: str | None, resumed: bool, kind: type[FlowError], message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not changes:
        monkeypatch.setenv("PATH", "/usr/bin")
    asked = problem(**changes)
    with pytest.raises(kind, match=message):
        find_tool(asked, recorded, resumed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tool": "vitis_hls", "estimator_only": True}, "leave one of --tool and --estimator-only out"),
        ({"synth_jobs": 5}, "synth_jobs must be from 1 to 4, not 5"),
        ({"synth_memory": 0.0}, "synth_memory must be a number above 0, not 0"),
        ({"synth_timeout": float("inf")}, "synth_timeout must be a number above 0, not inf"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(SETTINGS.__class__(board="pynq-z2", **changes))


# The whole command


@pytest.mark.slow
def test_make_search_with_a_tool_measures_shows_and_resumes(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    environment = {"FAKE_TOOL_RECORD": str(calls)}

    def flow(*arguments: str, code: int = 0, **more: str) -> str:
        argv = [sys.executable, "-m", "flow", *arguments, f"--runs={tmp_path}"]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=500, check=False, env={**os.environ, **environment, **more}
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    small = ["--space=mlp-tiny", "--epochs-short=2", "--epochs-full=4", "--jobs=2", "--trials=4", "--seed=5"]
    tool = f"--tool={VITIS.path}"
    flow("search", "--board=pynq-z2", "--name=run", "--time=5000", tool, *small)
    winners = json.loads((tmp_path / "run" / "winners.json").read_text())["winners"]
    assert winners
    for winner in winners:
        assert [m["source"] for m in winner["measurements"]] == ["predicted", "hls"]
        assert winner["accuracy"]["test"] > 0.1
    assert yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())["synthesis"] == "vitis_hls 2022.2"
    before = calls.read_text()
    assert "source: hls, Vitis HLS 2022.2" in flow("search", "--resume", "--name=run")
    assert "hls, Vitis HLS 2022.2" in (tmp_path / "run" / "report.html").read_text()
    assert "done before" in flow("synth", "w1", "--run=run", tool), "the project is the one that flow synth makes"
    assert calls.read_text().count("build_prj") == before.count("build_prj")
    failed = flow("search", "--board=pynq-z2", "--name=bad", "--time=5000", tool, *small, "--trials=8", code=3,
                  FAKE_TOOL_MODE="licence")  # fmt: skip
    assert "flow: error: no synthesis succeeded, the winners are as predicted: vitis_hls 2022.2 csynth: lic" in failed
    assert "source: predicted" in failed
