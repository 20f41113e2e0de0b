"""Several syntheses run at once within jobs and memory, and stop together."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from flow.errors import InputError
from flow.hls.pool import MemoryBudget, SynthPool
from flow.hls.synth import SynthOptions, SynthResult
from flow.runner import Cancelled, Limits, ToolFailure
from tests.hls.builder import fake_tool, write_project

HLS = fake_tool("vivado_hls")


def projects(folder: Path, count: int) -> list[Path]:
    return [write_project(folder / f"p{i}") for i in range(count)]


def test_every_project_gets_its_result(tmp_path: Path) -> None:
    with SynthPool(HLS, jobs=2, memory_bytes=2**30) as pool:
        futures = [pool.submit(folder) for folder in projects(tmp_path, 4)]
    assert [future.result().hls.resources.dsp for future in futures] == [148] * 4


def test_one_failure_does_not_touch_the_others(tmp_path: Path) -> None:
    good, bad = projects(tmp_path, 2)
    (bad / "firmware" / "myproject.cpp").unlink()
    with SynthPool(HLS, jobs=2) as pool:
        futures = [pool.submit(bad), pool.submit(good)]
    assert isinstance(futures[0].exception(), ToolFailure)
    assert futures[1].result().hls.resources.lut == 9868


def test_cancelling_ends_what_runs_and_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", "hang")
    folders = projects(tmp_path, 3)
    with SynthPool(HLS, jobs=1) as pool:
        futures = [pool.submit(folder) for folder in folders]
        while not (folders[0] / "hang.pid").exists():
            time.sleep(0.05)
        pool.cancel()
    assert all(isinstance(future.exception(), Cancelled) for future in futures)
    assert not (folders[1] / "hang.pid").exists()


def test_an_exception_in_the_block_ends_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOOL_MODE", "hang")
    (folder,) = projects(tmp_path, 1)
    futures: list[Future[SynthResult]] = []
    start = time.monotonic()

    def interrupted() -> None:
        with SynthPool(HLS, jobs=1) as pool:
            futures.append(pool.submit(folder))
            while not (folder / "hang.pid").exists():
                time.sleep(0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - start < 20
    assert isinstance(futures[0].exception(), Cancelled)


def test_each_run_may_take_its_share_of_the_memory() -> None:
    pool = SynthPool(HLS, jobs=4, memory_bytes=8 * 2**30)
    assert pool.options.limits.memory_bytes == 2 * 2**30
    pool.close()
    own = SynthOptions(limits=Limits(memory_bytes=3 * 2**30))
    pool = SynthPool(HLS, options=own, jobs=4, memory_bytes=8 * 2**30)
    assert pool.options == own
    pool.close()


def test_a_pool_without_jobs_is_refused() -> None:
    with pytest.raises(InputError, match="jobs must be at least 1, not 0"):
        SynthPool(HLS, jobs=0)


def test_a_run_that_never_fits_is_refused(tmp_path: Path) -> None:
    options = SynthOptions(limits=Limits(memory_bytes=2**32))
    with SynthPool(HLS, options=options, memory_bytes=2**31) as pool:
        future = pool.submit(projects(tmp_path, 1)[0])
    error = future.exception()
    assert isinstance(error, InputError)
    assert str(error) == "a job needs 4.0 GiB, more than the 2.0 GiB for all jobs"


def test_no_more_memory_is_taken_than_there_is() -> None:
    budget = MemoryBudget(10)
    used = peak = 0
    lock = threading.Lock()

    def work(amount: int) -> None:
        nonlocal used, peak
        budget.take(amount, lambda: False)
        with lock:
            used += amount
            peak = max(peak, used)
        time.sleep(0.005)
        with lock:
            used -= amount
        budget.give_back(amount)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (3, 10, 4, 7, 1, 6, 5, 2) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used == 0
    assert 5 < peak <= 10


def test_a_large_job_is_not_overtaken_for_ever() -> None:
    budget = MemoryBudget(10)
    budget.take(5, lambda: False)
    order: list[str] = []

    def take(name: str, amount: int) -> None:
        budget.take(amount, lambda: False)
        order.append(name)
        budget.give_back(amount)

    large = threading.Thread(target=take, args=("large", 10))
    large.start()
    time.sleep(0.1)
    small = threading.Thread(target=take, args=("small", 5))
    small.start()
    time.sleep(0.1)
    assert order == []
    budget.give_back(5)
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_waiting_for_memory_can_be_cancelled() -> None:
    budget = MemoryBudget(10)
    budget.take(10, lambda: False)
    with pytest.raises(Cancelled):
        budget.take(1, lambda: True)
    budget.give_back(10)
    budget.take(10, lambda: False)
