"""Worker processes: one that crashes fails its own job only, and none outlives the search."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flow.errors import ToolError
from flow.search.pool import STOPPED, PoolSettings, WorkerPool, describe_status

WORKER = Path(__file__).with_name("pool_worker.py")


def settings_in(folder: Path, jobs: int = 1, **changes: Any) -> PoolSettings:
    values: dict[str, Any] = {
        "command": (sys.executable, str(WORKER)), "setup": {}, "log": folder / "workers.log", "jobs": jobs,
        "environment": {"FOR_WORKERS": "yes"}, "start_s": 30.0, "job_s": 30.0, **changes,
    }  # fmt: skip
    return PoolSettings(**values)


@contextmanager
def pool_in(folder: Path, jobs: int = 1, **changes: Any) -> Iterator[WorkerPool]:
    pool = WorkerPool(settings_in(folder, jobs, **changes))
    try:
        yield pool
    finally:
        pool.close()


def do(pool: WorkerPool, what: str, **more: Any) -> dict[str, Any]:
    return pool.submit({"do": what, **more})()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie answers to signals, too.
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def gone_within(pid: int, seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < limit:
        time.sleep(0.05)
    return not alive(pid)


def test_every_job_gets_its_own_answer(tmp_path: Path) -> None:
    with pool_in(tmp_path, jobs=2) as pool:
        waits = [pool.submit({"do": "sleep", "seconds": 0.05 * (3 - n % 3), "job": n}) for n in range(9)]
        answers = [wait() for wait in waits]
    assert [a["job"] for a in answers] == list(range(9))
    assert len({a["pid"] for a in answers}) == 2
    assert {a["environment"] for a in answers} == {"yes"}
    assert "rss_bytes" not in answers[0]


def test_a_free_worker_takes_the_next_job_while_another_is_busy(tmp_path: Path) -> None:
    with pool_in(tmp_path, jobs=2) as pool:
        assert len({pool.submit({"do": "sleep", "seconds": 0.5})()["pid"] for _ in range(2)}) <= 2
        long = pool.submit({"do": "sleep", "seconds": 3})
        time.sleep(0.2)
        short = {pool.submit({"do": "nothing"})()["pid"] for _ in range(5)}
        assert len(short) == 1
        assert long()["pid"] not in short


@pytest.mark.parametrize(
    ("job", "error"),
    [
        ({"do": "segfault"}, "the worker was ended by signal SIGSEGV"),
        ({"do": "kill", "signal": signal.SIGKILL}, "the worker was ended by signal SIGKILL"),
        ({"do": "exit", "status": 0}, "the worker ended with exit status 0"),
        ({"do": "exit", "status": 7}, "the worker ended with exit status 7"),
    ],
)
def test_a_worker_that_dies_fails_its_own_job_and_is_replaced(tmp_path: Path, job: dict[str, Any], error: str) -> None:
    with pool_in(tmp_path) as pool:
        before = do(pool, "nothing")["pid"]
        waits = [pool.submit(j) for j in (job, {"do": "nothing"}, job, {"do": "nothing"})]
        first, second, third, fourth = (wait() for wait in waits)
    assert first == third == {"ok": False, "error": error}
    assert second["ok"]
    assert len({before, second["pid"], fourth["pid"]}) == 3
    assert error.removeprefix("the worker ") in (tmp_path / "workers.log").read_text()


def test_a_worker_killed_from_outside_between_jobs_is_replaced(tmp_path: Path) -> None:
    with pool_in(tmp_path) as pool:
        pid = do(pool, "nothing")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert gone_within(pid, 5)
        answers = [do(pool, "nothing") for _ in range(2)]
    assert answers[-1]["ok"]
    assert answers[-1]["pid"] != pid


def test_an_exception_is_one_line_and_leaves_the_worker_alive(tmp_path: Path) -> None:
    with pool_in(tmp_path) as pool:
        pid = do(pool, "nothing")["pid"]
        assert do(pool, "raise") == {"ok": False, "error": "ValueError: the first line and the second"}
        assert do(pool, "refuse") == {"ok": False, "error": "not like this"}
        assert do(pool, "nothing")["pid"] == pid
    assert "Traceback" in (tmp_path / "workers.log").read_text()


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pool_in(tmp_path, job_s=0.5) as pool:
        pid = do(pool, "nothing")["pid"]
        found = do(pool, "spin")
        assert found == {"ok": False, "error": "the worker gave no answer within 0.5 s and was ended"}
        assert gone_within(pid, 5)
        assert do(pool, "nothing")["ok"]


def test_a_worker_whose_memory_has_grown_is_replaced_after_its_job(tmp_path: Path) -> None:
    with pool_in(tmp_path, growth_bytes=100 << 20) as pool:
        pid = do(pool, "nothing")["pid"]
        assert do(pool, "grow", mib=20)["pid"] == pid
        assert do(pool, "grow", mib=120)["pid"] == pid
        assert do(pool, "nothing")["pid"] != pid
    assert "MiB: replaced" in (tmp_path / "workers.log").read_text()


def test_what_workers_print_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pool_in(tmp_path) as pool:
        assert do(pool, "print", text="straight from the framework")["ok"]
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "workers.log").read_text().count("straight from the framework") == 2


def test_a_setup_that_fails_is_a_tool_error_with_its_reason(tmp_path: Path) -> None:
    with pool_in(tmp_path, setup={"start": "error"}) as pool:
        for _ in range(2):
            with pytest.raises(ToolError, match=r"^no data to be had$"):
                do(pool, "nothing")


def test_a_worker_that_dies_while_it_starts_is_a_tool_error_that_names_the_log(tmp_path: Path) -> None:
    with pool_in(tmp_path, setup={"start": "crash"}) as pool, pytest.raises(ToolError) as caught:
        do(pool, "nothing")
    assert str(caught.value) == (
        f"the worker was ended by signal SIGABRT while it started; its output is in {tmp_path / 'workers.log'}"
    )


def test_a_program_that_cannot_be_started_is_a_tool_error(tmp_path: Path) -> None:
    with (
        pool_in(tmp_path, command=("/no/such/program",)) as pool,
        pytest.raises(ToolError, match="cannot start /no/such"),
    ):
        do(pool, "nothing")


def test_a_log_that_cannot_be_written_is_a_tool_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cannot write"):
        WorkerPool(settings_in(tmp_path / "file"))


def test_closing_ends_workers_in_the_middle_of_a_job_and_leaves_nobody_waiting(tmp_path: Path) -> None:
    pool = WorkerPool(settings_in(tmp_path, jobs=2))
    pids = {pool.submit({"do": "sleep", "seconds": 0.3})()["pid"] for _ in range(2)}
    waits = [pool.submit({"do": "spin"}) for _ in range(3)]
    time.sleep(0.3)
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 3
    assert all(gone_within(pid, 1) for pid in pids)
    for wait in [*waits, pool.submit({"do": "nothing"})]:
        with pytest.raises(ToolError, match=STOPPED):
            wait()


PARENT = """
    import sys
    from pathlib import Path
    from tests.search.test_pool import settings_in
    from flow.search.pool import WorkerPool
    pool = WorkerPool(settings_in(Path(sys.argv[1]), jobs=2))
    try:
        waits = [pool.submit({"do": "sleep", "seconds": 0.3}) for _ in range(2)]
        print(*{wait()["pid"] for wait in waits}, flush=True)
        pool.submit({"do": "spin"})()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    finally:
        pool.close()
"""


def start_parent(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A program with a pool that is busy, in a session of its own, and its workers."""
    argv = [sys.executable, "-c", textwrap.dedent(PARENT), str(folder)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    time.sleep(0.3)
    assert all(alive(pid) for pid in pids)
    return process, pids


def test_workers_end_when_the_search_is_killed(tmp_path: Path) -> None:
    process, pids = start_parent(tmp_path)
    process.kill()
    process.communicate(timeout=10)
    assert all(gone_within(pid, 10) for pid in pids)


def test_ctrl_c_ends_workers_without_a_word_from_them(tmp_path: Path) -> None:
    process, pids = start_parent(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: every process of the foreground group
    output, errors = process.communicate(timeout=10)
    assert (output, errors, process.returncode) == ("interrupted\n", "", 0)
    assert all(gone_within(pid, 1) for pid in pids)


def test_statuses_in_words() -> None:
    assert describe_status(3) == "ended with exit status 3"
    assert describe_status(-9) == "was ended by signal SIGKILL"
    assert describe_status(-250) == "was ended by signal 250"
