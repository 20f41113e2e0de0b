"""A run succeeds only if everything says so, fails with its own message, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import flow.runner
from flow.errors import InputError
from flow.runner import Cancelled, Job, Limits, ToolFailure, run_tool

REPOSITORY = Path(__file__).resolve().parent.parent
PROC = Path("/proc/self/stat").exists()
needs_proc = pytest.mark.skipif(not PROC, reason="needs /proc")


def shell(script: str, folder: Path, expect: Sequence[str] = (), **settings: object) -> Job:
    """A job that runs a shell script as its tool."""
    argv = ["/bin/sh", "-c", script]
    expected = [folder / name for name in expect]
    return Job("frob synth", argv, folder, folder / "logs" / "frob.log", expected, **settings)  # type: ignore[arg-type]


def failure(job: Job) -> ToolFailure:
    with pytest.raises(ToolFailure) as caught:
        run_tool(job, lambda: None)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("frob synth: ")
    return caught.value


def gone(pid: int) -> bool:
    """Whether a process ends (or waits to be reaped) within twenty seconds."""
    for _ in range(400):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def pid_in(path: Path) -> int:
    """The process id a script wrote, waited for."""
    for _ in range(1000):
        if path.exists() and (text := path.read_text(encoding="ascii").strip()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


# Success


def test_a_run_returns_what_was_parsed_and_keeps_its_log(tmp_path: Path) -> None:
    job = shell("echo working; echo loud >&2; sleep 0.3; echo 42 > out", tmp_path, ["out"])
    result = run_tool(job, lambda: int((tmp_path / "out").read_text(encoding="ascii")))
    assert result.value == 42
    assert result.log.read_text(encoding="ascii") == "working\nloud\n"
    assert 0.3 < result.seconds < 10
    if PROC:
        assert result.peak_memory_bytes is not None
        assert 2**16 < result.peak_memory_bytes < 2**27


def test_the_log_is_there_while_the_tool_runs(tmp_path: Path) -> None:
    seen: list[str] = []
    log = tmp_path / "logs" / "frob.log"

    def look() -> None:
        for _ in range(100):
            if log.exists() and "first" in log.read_text(encoding="ascii"):
                seen.append(log.read_text(encoding="ascii"))
                (tmp_path / "go").touch()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=look)
    thread.start()
    run_tool(shell("echo first; while [ ! -e go ]; do sleep 0.02; done; echo last", tmp_path), lambda: None)
    thread.join()
    assert seen == ["first\n"]


def test_the_arguments_reach_the_tool_without_a_shell(tmp_path: Path) -> None:
    nasty = ["two words", "$HOME", "`id`", "; touch pwned", "*"]
    argv = [sys.executable, "-c", "import sys; print(sys.argv[1:])", *nasty]
    run_tool(Job("frob", argv, tmp_path, tmp_path / "log"), lambda: None)
    assert (tmp_path / "log").read_text(encoding="utf-8") == f"{nasty}\n"
    assert not (tmp_path / "pwned").exists()


def test_a_tool_has_no_terminal_to_ask_at(tmp_path: Path) -> None:
    run_tool(shell("if read answer; then exit 3; fi", tmp_path), lambda: None)


# Failure: each its own message


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    error = failure(Job("frob synth", ["no-such-frob", "-x"], tmp_path, tmp_path / "log"))
    assert (error.cause, str(error)) == ("not found", "frob synth: no-such-frob not found; is the tool set up?")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    error = failure(Job("frob synth", ["/bin/sh"], tmp_path / "none", tmp_path / "log"))
    assert str(error) == f"frob synth: there is no folder {tmp_path / 'none'} to run in"


@pytest.mark.parametrize("content", [b"not a program", b"\x7fELF of another machine", b"#!/no/such/interpreter\n"])
def test_a_tool_that_can_not_be_run(content: bytes, tmp_path: Path) -> None:
    program = tmp_path / "frob"
    program.write_bytes(content)
    program.chmod(0o755)
    error = failure(Job("frob synth", [str(program)], tmp_path, tmp_path / "log"))
    assert error.cause == "not executable"
    assert f"{program} can't be run" in str(error)


def test_a_tool_without_the_right_to_be_run(tmp_path: Path) -> None:
    program = tmp_path / "frob"
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o644)
    assert failure(Job("frob synth", [str(program)], tmp_path, tmp_path / "log")).cause == "not executable"


def test_an_exit_status_comes_with_the_first_error_and_the_end_of_the_log(tmp_path: Path) -> None:
    script = "for i in $(seq 30); do echo line $i; done; echo 'ERROR: [X 1] bad pragma'; echo after; exit 7"
    error = failure(shell(script, tmp_path))
    assert error.cause == "exit status"
    log = tmp_path / "logs" / "frob.log"
    said = re.sub(r"after \d+ s", "after N s", str(error))
    assert said == f"frob synth: exit status 7 after N s: ERROR: [X 1] bad pragma; log: {log}"
    assert len(error.tail) == 20
    assert error.tail[-2:] == ("ERROR: [X 1] bad pragma", "after")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGSEGV", "SIGABRT"])
def test_a_tool_that_a_signal_ended(name: str, tmp_path: Path) -> None:
    error = failure(shell(f"kill -{name.removeprefix('SIG')} $$; sleep 9", tmp_path))
    assert error.cause == "killed"
    assert f"killed by signal {signal.Signals[name].value} ({name})" in str(error)


def test_a_launcher_that_reports_the_signal_of_its_tool(tmp_path: Path) -> None:
    error = failure(shell("/bin/sh -c 'kill -KILL $$'", tmp_path))
    assert "killed by signal 9 (SIGKILL), as the kernel does when memory runs out" in str(error)


@pytest.mark.parametrize(("script", "what"), [("kill -KILL $$", "it"), ("exit 1", "a process")])
def test_a_kill_that_the_kernel_counts_was_for_memory(
    script: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([4, 5])
    monkeypatch.setattr(flow.runner, "kernel_kills", lambda: next(counts))
    error = failure(shell(script, tmp_path))
    assert error.cause == "out of memory"
    assert f"the kernel killed {what}: the machine ran out of memory" in str(error)


def test_exit_status_zero_without_the_file_is_a_failure(tmp_path: Path) -> None:
    error = failure(shell("echo 'ERROR: [X 2] crashed'", tmp_path, ["out"]))
    assert error.cause == "no output"
    assert "ended with status 0 after " in str(error)
    assert f", but there is no {tmp_path / 'out'}: ERROR: [X 2] crashed" in str(error)


def test_a_file_of_an_earlier_run_is_no_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("old", encoding="ascii")
    os.utime(out, (time.time() + 9999, time.time() + 9999))  # a file server's clock may be ahead
    error = failure(shell("true", tmp_path, ["out"]))
    assert f"but {out} is from an earlier run" in str(error)
    run_tool(shell("echo old > out", tmp_path, ["out"]), lambda: None)


def test_a_report_that_can_not_be_read_is_a_failure(tmp_path: Path) -> None:
    def parse() -> None:
        raise InputError("out:3: lut is 'x', not a whole number")

    with pytest.raises(ToolFailure) as caught:
        run_tool(shell("echo done; touch out", tmp_path, ["out"]), parse)
    assert caught.value.cause == "unparsable"
    assert caught.value.tail == ("done",)
    expected = "frob synth: ended with status 0, but its report can't be read: out:3: lut is 'x', not a whole number"
    assert str(caught.value) == f"{expected}; log: {caught.value.log}"


def test_what_a_report_says_is_wrong_comes_with_the_log(tmp_path: Path) -> None:
    def parse() -> None:
        raise ToolFailure("written by release 2018.3", "other version")

    with pytest.raises(ToolFailure) as caught:
        run_tool(shell("echo done; touch out", tmp_path, ["out"]), parse)
    assert (caught.value.cause, caught.value.tail) == ("other version", ("done",))
    assert str(caught.value) == f"frob synth: written by release 2018.3; log: {caught.value.log}"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("ERROR: [Common 17-345] A valid license was not found for feature X", "licence missing"),
        ("write: No space left on device", "disk full"),
        ("std::bad_alloc", "out of memory"),
    ],
)
def test_what_the_log_shows_is_named_with_what_to_do(line: str, cause: str, tmp_path: Path) -> None:
    error = failure(shell(f'echo "{line}"; exit 1', tmp_path))
    assert error.cause == cause
    assert f"{cause}: {line}; " in str(error)


def test_a_full_disk_is_named_even_if_the_log_could_not_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow.runner, "_free_bytes", lambda folder: 4096)
    error = failure(shell("exit 1", tmp_path))
    assert (error.cause, f"disk full: no space left at {tmp_path}" in str(error)) == ("disk full", True)


# Limits and endings


def test_a_tool_over_its_time_is_stopped(tmp_path: Path) -> None:
    start = time.monotonic()
    error = failure(shell("echo begun; sleep 60", tmp_path, limits=Limits(timeout_s=0.3)))
    assert time.monotonic() - start < 10
    assert error.cause == "timeout"
    assert "stopped: not done within 0.3 s" in str(error)
    assert error.tail == ("begun",)


@needs_proc
def test_a_tool_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $! > child; while :; do sleep 1; done"
    start = time.monotonic()
    failure(shell(script, tmp_path, limits=Limits(timeout_s=0.5, grace_s=0.5)))
    assert 1.0 <= time.monotonic() - start < 10
    assert gone(pid_in(tmp_path / "child"))


def test_a_tool_gets_the_chance_to_clean_up(tmp_path: Path) -> None:
    script = "trap 'echo tidy > tidied; exit 0' TERM; touch ready; while :; do sleep 0.05; done"
    failure(shell(script, tmp_path, limits=Limits(timeout_s=0.5, grace_s=10)))
    assert (tmp_path / "tidied").exists()


@needs_proc
def test_memory_of_the_whole_tree_is_limited(tmp_path: Path) -> None:
    hog = "import time\nb=[]\nfor i in range(400):\n b.append(b'x'*2**20); time.sleep(0.005)\ntime.sleep(60)"
    script = f'{sys.executable} -c "{hog}" & {sys.executable} -c "{hog}" & wait'
    start = time.monotonic()
    error = failure(shell(script, tmp_path, limits=Limits(memory_bytes=200 * 2**20)))
    assert time.monotonic() - start < 20
    assert error.cause == "out of memory"
    assert "over its memory limit of 0.2 GiB" in str(error)


@needs_proc
def test_children_that_outlive_the_tool_are_ended(tmp_path: Path) -> None:
    run_tool(shell("sleep 60 & echo $! > child; sleep 0.3", tmp_path), lambda: None)
    assert gone(pid_in(tmp_path / "child"))


@needs_proc
def test_children_in_a_session_of_their_own_are_ended_too(tmp_path: Path) -> None:
    script = (
        f'{sys.executable} -c \'import os, time; os.setsid(); open("child", "w").write(str(os.getpid())); '
        "time.sleep(60)' & while :; do sleep 1; done"
    )
    failure(shell(script, tmp_path, limits=Limits(timeout_s=1.0, grace_s=1.0)))
    assert gone(pid_in(tmp_path / "child"))


@needs_proc
def test_a_daemon_that_left_session_and_parent_is_ended_too(tmp_path: Path) -> None:
    daemon = (
        "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
        "  open('child', 'w').write(str(os.getpid()))\n  time.sleep(60)\n os._exit(0)"
    )
    script = f'{sys.executable} -S -c "{daemon}"; while [ ! -s child ]; do sleep 0.02; done'
    run_tool(shell(script, tmp_path), lambda: None)
    assert gone(pid_in(tmp_path / "child"))


@needs_proc
def test_a_run_can_be_cancelled_from_another_thread(tmp_path: Path) -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    error = failure(shell("sleep 60 & echo $! > child; wait", tmp_path, cancel=cancel))
    assert isinstance(error, Cancelled)
    assert error.cause == "cancelled"
    assert gone(pid_in(tmp_path / "child"))


def test_a_cancelled_run_does_not_start(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    error = failure(shell("touch started", tmp_path, cancel=cancel))
    assert "cancelled before it started" in str(error)
    assert not (tmp_path / "started").exists()


PROGRAM = """
import sys
from pathlib import Path
from flow.runner import Job, Limits, run_tool
folder = Path(sys.argv[1])
script = "trap '' TERM; sleep 60 & echo $! > child; while :; do sleep 1; done"
run_tool(Job("frob", ["/bin/sh", "-c", script], folder, folder / "log", limits=Limits(grace_s=1)), lambda: None)
"""


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_tool_ends_when_this_program_is_interrupted_or_killed(number: int, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    process = subprocess.Popen(argv, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    child = pid_in(tmp_path / "child")
    process.send_signal(number)
    process.wait(20)
    assert process.returncode != 0
    assert gone(child)
