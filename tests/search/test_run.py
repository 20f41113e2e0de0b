"""``flow search`` as a user runs it: in a process of its own, with real training on the digits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SMALL = ["--space=mlp-tiny", "--epochs-short=2", "--epochs-full=4", "--jobs=2"]


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "flow", "search", f"--runs={folder}", *more]


def search(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *more), capture_output=True, text=True, timeout=400, check=False)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that failed as it should: one line, no traceback."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("flow: ")
    return lines[0]


def winners_of(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "winners.json").read_text())
    return loaded


def wait_for(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def evaluations(run: Path) -> dict[str, float]:
    """Digest -> time of writing of each evaluation on disk."""
    return {p.parent.name: p.stat().st_mtime for p in run.glob("candidates/*/evaluation.json")}


def group_is_gone(group: int) -> bool:
    """Whether no process of a session is left, zombies not counted."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            return False
    return True


# What is refused before anything starts


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--board=pynqz2"], "unknown board 'pynqz2': did you mean pynq-z2"),
        (["--board=pynq-z2", "--dataset=digit"], "unknown data set 'digit': did you mean digits"),
        (["--board=pynq-z2", "--space=cnn-smal"], "unknown search space 'cnn-smal': did you mean cnn-small"),
        (["--board=pynq-z2", "--sampler=tpee"], "unknown sampler 'tpee': did you mean tpe"),
        (["--board=pynq-z2", "--lut=0"], "0"),
        (["--board=pynq-z2", "--lut=60000"], "60,000"),
        (["--board=pynq-z2", "--clock=10000"], "10000"),
        (["--board=pynq-z2", "--fps=-1"], "-1"),
        (["--board=pynq-z2", "--trials=0"], "trials must be a whole number of at least 1"),
        (["--board=pynq-z2", "--time=nan"], "time must be a positive number"),
        (["--board=pynq-z2", "--jobs=0"], "jobs must be from 1"),
        (["--board=pynq-z2", "--name=../x"], "run name '../x' is not allowed"),
        (["--board=pynq-z2", "--dataset=nowhere.npz"], "cannot read data set nowhere.npz"),
        (["--board=pynq-z2", "--resume", "--overwrite"], "choose one"),
        (["--resume"], "to resume"),
        ([], "which board?"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(tmp_path: Path, options: list[str], says: str) -> None:
    done = search(tmp_path / "runs", *options)
    assert done.returncode == 2, done.stderr
    assert says in one_line(done)
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists(), "nothing is written before the input is right"


def test_a_run_name_that_exists_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.yaml").write_text("schema: 1\n")
    done = search(tmp_path, "--board=pynq-z2", "--name=mine", "--lut=1")
    assert done.returncode == 2
    assert "run 'mine' exists" in one_line(done)
    assert (tmp_path / "mine" / "run.yaml").read_text() == "schema: 1\n"


def test_a_folder_that_is_no_run_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    done = search(tmp_path, "--board=pynq-z2", "--name=thesis", "--overwrite")
    assert done.returncode == 2
    assert "is not a run directory" in one_line(done)
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


def test_an_unwritable_place_gets_one_line_and_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = search(tmp_path / "file" / "runs", "--board=pynq-z2")
    assert done.returncode == 3
    assert "cannot create" in one_line(done)


def test_an_impossible_budget_says_what_binds_and_what_would_help(tmp_path: Path) -> None:
    done = search(tmp_path, "--board=pynq-z2", "--lut=60", "--name=tight", "--json", *SMALL)
    assert done.returncode == 1, done.stderr
    data = json.loads(done.stdout)
    assert data["winners"] == []
    assert "LUT" in data["diagnosis"]
    assert data["diagnosis"] in one_line(done)
    assert winners_of(tmp_path / "tight")["diagnosis"] == data["diagnosis"]
    assert not list((tmp_path / "tight").glob("candidates/*")), "nothing was trained"


# Real searches


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished search of 6 candidates, and what it printed as JSON."""
    folder = tmp_path_factory.mktemp("whole")
    done = search(folder, "--board=pynq-z2", "--trials=6", "--seed=5", "--name=run", "--json", *SMALL)
    assert done.returncode == 0, done.stderr
    return folder / "run", json.loads(done.stdout)


@pytest.mark.slow
def test_a_search_leaves_everything_the_design_lists(whole: tuple[Path, dict[str, Any]]) -> None:
    run, printed = whole
    names = {p.name for p in run.iterdir()}
    assert {"run.yaml", "study.journal", "candidates", "winners.json", "report.html", "log.jsonl"} <= names
    assert (run.parent / "latest").resolve() == run.resolve()
    settings = yaml.safe_load((run / "run.yaml").read_text())
    assert settings["seed"] == 5
    assert {"python", "numpy", "tensorflow", "keras", "qkeras-v3", "optuna", "fpga-nas-flow"} <= set(
        settings["versions"]
    )
    data = winners_of(run)
    assert {k: printed[k] for k in data} == data
    assert data["schema"] == 1
    assert data["complete"] is True
    assert data["winners"]
    for winner in data["winners"]:
        folder = run / "candidates" / winner["digest"]
        assert (folder / "model.keras").is_file()
        assert json.loads((folder / "candidate.json").read_text()) == winner["candidate"]
        assert 0.1 < winner["accuracy"]["validation"] <= 1
        assert 0.1 < winner["accuracy"]["test"] <= 1
        (measurement,) = winner["measurements"]
        assert measurement["source"] == "predicted"
        assert measurement["low"]["lut"] <= measurement["lut"] <= measurement["high"]["lut"]
        assert winner["throughput_per_s"] >= 1000
    assert len(evaluations(run)) == 6


@pytest.mark.slow
def test_show_prints_the_table_and_report_the_page(whole: tuple[Path, dict[str, Any]]) -> None:
    run, printed = whole
    argv = [sys.executable, "-m", "flow", "show", "run", f"--runs={run.parent}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    for winner in printed["winners"]:
        assert f"{winner['accuracy']['test']:.4f}" in done.stdout
    assert "predicted" in done.stdout


@pytest.mark.slow
def test_the_same_seed_gives_the_same_winners_whatever_the_number_of_workers(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    options = [o for o in SMALL if not o.startswith("--jobs")]
    done = search(tmp_path, "--board=pynq-z2", "--trials=6", "--seed=5", "--name=run", "--jobs=1", *options)
    assert done.returncode == 0, done.stderr
    assert winners_of(tmp_path / "run") == winners_of(whole[0])


@pytest.mark.slow
def test_a_search_killed_at_any_moment_resumes_to_the_same_winners(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    argv = command(tmp_path, "--board=pynq-z2", "--trials=6", "--seed=5", "--name=run", *SMALL)
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: len(evaluations(tmp_path / "run")) >= 2)
    process.kill()
    process.wait()
    wait_for(lambda: group_is_gone(process.pid), 30)
    before = evaluations(tmp_path / "run")
    done = search(tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert winners_of(tmp_path / "run") == winners_of(whole[0])
    after = evaluations(tmp_path / "run")
    redone = [digest for digest, written in before.items() if after[digest] != written]
    full = {w["digest"] for w in winners_of(tmp_path / "run")["winners"]}
    promoted = {p.parent.name for p in tmp_path.glob("run/candidates/*/evaluation.json") if "full" in p.read_text()}
    assert set(redone) <= promoted | full, "only a further rung writes an evaluation again"


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_leaves_no_process_and_says_how_to_go_on(tmp_path: Path) -> None:
    argv = command(tmp_path, "--board=pynq-z2", "--trials=50", "--seed=5", "--name=run", *SMALL)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: len(evaluations(tmp_path / "run")) >= 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "flow search --resume --name run" in err
    assert "Traceback" not in err
    assert out == ""
    wait_for(lambda: group_is_gone(process.pid), 30)
    data = winners_of(tmp_path / "run")
    assert data["complete"] is False
    assert evaluations(tmp_path / "run")
    wrong = search(tmp_path, "--resume", "--seed=6")
    assert wrong.returncode == 2
    assert "started with seed 5, not 6" in one_line(wrong)
