"""The run directory: made once, held by one, emptied only on request, and readable after any kill."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow.errors import InputError, ToolError
from flow.search.runlog import read_events
from flow.search.store import RunDirectory, find_run
from tests.report.builder import build_run

SETTINGS = {"schema": 1, "name": "a", "board": "pynq-z2"}
DIGEST = "0123456789abcdef"
EVALUATION: dict[str, Any] = {
    "schema": 1,
    "digest": DIGEST,
    "number": 0,
    "candidate": {"schema": 1},
    "rungs": {"short": {"val_accuracy": 0.5, "epochs": 2, "seconds": 1.0}},
    "accuracy": {"validation": 0.5, "test": None},
}


def new_run(root: Path, name: str = "a") -> Path:
    """A run as an ended search leaves it."""
    run = RunDirectory.create(root, name, overwrite=False)
    run.write_settings({**SETTINGS, "name": name})
    run.log("start")
    run.write_evaluation(EVALUATION)
    run.write_winners({"schema": 1, "winners": []})
    run.point_latest()
    run.close()
    return run.path


# Making, overwriting, resuming


def test_a_run_keeps_what_it_is_given(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    run = RunDirectory.resume(tmp_path, "a")
    assert run.settings() == SETTINGS
    assert run.evaluation(DIGEST) == EVALUATION
    assert run.evaluation("fedcba9876543210") is None
    assert run.evaluated() == 1
    assert json.loads((run.candidate_dir(DIGEST) / "candidate.json").read_text()) == {"schema": 1}
    assert json.loads((path / "winners.json").read_text())["winners"] == []
    assert [e["event"] for e in read_events(path / "log.jsonl")] == ["start"]
    run.close()


def test_a_name_is_taken_only_once(tmp_path: Path) -> None:
    new_run(tmp_path)
    with pytest.raises(InputError, match=r"run 'a' exists in .*: choose another name, resume it .*--overwrite"):
        RunDirectory.create(tmp_path, "a", overwrite=False)


def test_overwriting_empties_the_run_and_nothing_beside_it(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    other = new_run(tmp_path, "b")
    (path / "report.html").write_text("old")
    (path / "link").symlink_to(other)
    run = RunDirectory.create(tmp_path, "a", overwrite=True)
    assert sorted(p.name for p in path.iterdir()) == [".lock", "log.jsonl"]
    assert run.before_s == 0
    assert read_events(path / "log.jsonl") == []
    assert (other / "run.yaml").is_file()
    run.close()


def test_a_folder_of_the_user_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    (tmp_path / "file").write_text("text")
    (tmp_path / "elsewhere").symlink_to(new_run(tmp_path / "other"))
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("thesis", "file", "elsewhere", "dangling"):
        with pytest.raises(InputError, match=f"{name} is not a run directory: it will not be overwritten"):
            RunDirectory.create(tmp_path, name, overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"
    assert (tmp_path / "other" / "a" / "run.yaml").is_file()


def test_a_run_killed_before_its_settings_were_written_can_be_overwritten(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "a", overwrite=False)
    run.log("start")
    run.close()
    with pytest.raises(InputError, match=r"no run 'a' in .* to resume: .*run\.yaml is missing"):
        RunDirectory.resume(tmp_path, "a")
    RunDirectory.create(tmp_path, "a", overwrite=True).close()


def test_a_kill_while_a_run_is_emptied_leaves_one_that_can_be_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_run(tmp_path)

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            RunDirectory.create(tmp_path, "a", overwrite=True)
    assert (path / "run.yaml").is_file()
    RunDirectory.create(tmp_path, "a", overwrite=True).close()
    assert not (path / "candidates").exists()


def test_a_resumed_run_goes_on_with_the_time(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    with (path / "log.jsonl").open("a") as log:
        log.write('{"t": 100.5, "event": "done"}\n{"t": 123.0, "eve')
    run = RunDirectory.resume(tmp_path, "a")
    assert run.before_s == 100.5
    assert 100.5 <= run.elapsed_s < 160
    run.log("resume")
    run.close()
    events = read_events(path / "log.jsonl")
    assert [e["event"] for e in events] == ["start", "done", "resume"]
    assert events[-1]["t"] >= 100.5


def test_resuming_says_what_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run 'a' in"):
        RunDirectory.resume(tmp_path, "a")
    path = new_run(tmp_path)
    (path / "log.jsonl").write_text('x\n{"t": 1, "event": "done"}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:1: not an event"):
        RunDirectory.resume(tmp_path, "a")
    (path / "run.yaml").write_text("schema: [1\n")
    with pytest.raises(InputError, match=r"run\.yaml:\d: not valid YAML"):
        RunDirectory.resume(tmp_path, "a")
    new_run(tmp_path, "b")
    RunDirectory.resume(tmp_path, "b").close()  # the failed attempts hold no lock


# The lock


HOLD = """
import sys
from pathlib import Path
from flow.search.store import RunDirectory
run = RunDirectory.resume(Path(sys.argv[1]), "a")
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_never_work_on_one_run(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="run 'a' is in use by another process"):
            RunDirectory.resume(tmp_path, "a")
        with pytest.raises(InputError, match="run 'a' is in use by another process"):
            RunDirectory.create(tmp_path, "a", overwrite=True)
        assert (path / "run.yaml").is_file()
        other.kill()  # a killed process gives the lock back
    RunDirectory.resume(tmp_path, "a").close()


def test_a_file_system_without_locks_is_not_a_busy_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(ToolError, match=r"cannot lock .*: No locks available"):
        RunDirectory.create(tmp_path, "a", overwrite=False)


# Disks


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match=r"cannot create .*file/a: Not a directory"):
        RunDirectory.create(tmp_path / "file", "a", overwrite=False)
    with pytest.raises(ToolError, match="cannot create /proc/flow/a: No such file or directory"):
        RunDirectory.create(Path("/proc/flow"), "a", overwrite=False)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ToolError, match=r"cannot create .*: Permission denied"):
        RunDirectory.create(tmp_path, "a", overwrite=False)


FILL_THE_DISK = """
import json, resource, signal, sys
from pathlib import Path
from flow.errors import FlowError
from flow.search.store import RunDirectory
settings, evaluation = json.loads(sys.argv[2])
run = RunDirectory.create(Path(sys.argv[1]), "full", overwrite=False)
run.write_settings(settings)
run.write_winners({"winners": ["old"]})
run.log("start")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
for write in (
    lambda: run.write_winners({"winners": ["new"] * 100}),
    lambda: run.write_evaluation({**evaluation, "error": "x" * 300}),
    lambda: run.write_settings({**settings, "more": "x" * 300}),
    lambda: run.log("done", more="x" * 300),
):
    try:
        write()
        print("no error")
    except FlowError as error:
        print(f"{type(error).__name__}: {error}")
run.log("end")
"""
"""Files may grow to 200 bytes only: the kernel then refuses a write halfway, as it does on a full disk."""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_when_nothing_more_fits_the_disk_all_that_was_written_stands(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path), json.dumps([SETTINGS, EVALUATION])]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    errors = done.stdout.splitlines()
    path = tmp_path / "full"
    for error, name in zip(errors, ("winners.json", "evaluation.json", "run.yaml", "log.jsonl"), strict=True):
        assert error.startswith("ToolError: cannot write ")
        assert f"{name}: File too large" in error
    assert json.loads((path / "winners.json").read_text()) == {"winners": ["old"]}
    assert not (path / "candidates" / DIGEST / "evaluation.json").exists()
    assert [e["event"] for e in read_events(path / "log.jsonl")] == ["start", "end"]
    assert not [p for p in path.rglob(".*") if p.name != ".lock"]
    run = RunDirectory.resume(tmp_path, "full")
    assert run.settings() == SETTINGS
    run.close()


# Evaluations


@pytest.mark.parametrize(
    "damage",
    [
        {"digest": "fedcba9876543210"},
        {"schema": 2},
        {"rungs": None},
        {"rungs": {"short": 0.5}},
        {"rungs": {"short": {"val_accuracy": "high"}}},
        {"rungs": {"short": {"val_accuracy": 1.5}}},
        {"rungs": {"medium": {"val_accuracy": 0.5}}},
        {"accuracy": None},
        {"accuracy": {"test": -1}},
    ],
)
def test_a_damaged_evaluation_says_what_to_delete(damage: dict[str, Any], tmp_path: Path) -> None:
    path = new_run(tmp_path) / "candidates" / DIGEST / "evaluation.json"
    path.write_text(json.dumps({**EVALUATION, **damage}))
    run = RunDirectory.resume(tmp_path, "a")
    with pytest.raises(InputError, match=r"evaluation\.json: damaged evaluation; delete this folder"):
        run.evaluation(DIGEST)
    path.write_text(json.dumps(EVALUATION)[:-5])
    with pytest.raises(InputError, match=r"not valid JSON: .*; delete this folder to evaluate the candidate again"):
        run.evaluation(DIGEST)
    run.close()


# latest


def test_latest_points_to_the_newest_run_and_stays_valid_when_the_folder_moves(tmp_path: Path) -> None:
    new_run(tmp_path / "runs", "a")
    new_run(tmp_path / "runs", "b")
    latest = tmp_path / "runs" / "latest"
    assert os.readlink(latest) == "b"
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "latest" / "run.yaml").is_file()
    assert sorted(p.name for p in (tmp_path / "moved").iterdir()) == ["a", "b", "latest"]


def test_resuming_the_latest_run_does_not_point_latest_to_itself(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    run = RunDirectory.resume(tmp_path, "latest")
    run.point_latest()
    assert run.path.name == "a"
    assert os.readlink(tmp_path / "latest") == "a"
    assert run.path.samefile(path)
    run.close()


def test_what_a_kill_left_of_the_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f".latest.{os.getpid()}").symlink_to("nowhere")
    new_run(tmp_path)
    assert os.readlink(tmp_path / "latest") == "a"


def test_a_folder_called_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    run = RunDirectory.create(tmp_path, "a", overwrite=False)
    with pytest.raises(ToolError, match=r"cannot point .*latest to a: "):
        run.point_latest()
    run.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "latest"]


# Finding


def test_a_run_is_found_by_name_by_path_and_as_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = new_run(tmp_path / "runs")
    for name in ("a", "latest", str(path)):
        assert find_run(tmp_path / "runs", name).samefile(path)
    monkeypatch.chdir(tmp_path)
    assert find_run(Path("elsewhere"), "runs/a").samefile(path)


def test_a_run_that_is_not_there_offers_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run 'latest': there are no runs in .* yet, `flow search` makes one"):
        find_run(tmp_path / "runs", "latest")
    new_run(tmp_path, "digits-1")
    new_run(tmp_path, "jets")
    with pytest.raises(InputError, match=r"no run 'digits' in .*: did you mean digits-1\?"):
        find_run(tmp_path, "digits")
    with pytest.raises(InputError, match=r"no run 'qqq' in .*: known: digits-1, jets"):
        find_run(tmp_path, "qqq")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty is not a run directory: run\.yaml is missing"):
        find_run(tmp_path, "empty")


def test_after_the_latest_run_is_deleted_the_others_are_offered(tmp_path: Path) -> None:
    new_run(tmp_path, "a")
    shutil.rmtree(new_run(tmp_path, "b"))
    with pytest.raises(InputError, match=r"no run 'latest' in .*: .*a"):
        find_run(tmp_path, "latest")


# Damage


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_can_be_resumed_or_is_an_input_error(data: st.DataObject, tmp_path: Path) -> None:
    root = tmp_path / str(time.monotonic_ns())
    path = build_run(root / "a", trials=3)
    files = [p for p in sorted(path.rglob("*")) if p.is_file()]
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        run = RunDirectory.resume(root, "a")
        try:
            run.settings()
            for folder in (path / "candidates").iterdir():
                run.evaluation(folder.name)
        finally:
            run.close()
    except InputError as error:
        problem = str(error)
        assert "\n" not in problem
        assert file.name in problem
    finally:
        shutil.rmtree(root)
