"""What a search shows while it runs: honest times, one line where there is no terminal, and never an exception."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from flow.report.panel import panel
from flow.report.progress import (
    LiveProgress,
    PlainProgress,
    ProgressDisplay,
    Result,
    State,
    Summary,
    closing,
    make_progress,
)

SUMMARY = Summary("digits on pynq-z2, space cnn-small, seed 0", 40, 540.0, 2, "33,180 LUT, at least 1,000 inf/s")


class Clock:
    """A clock that goes as told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def started(clock: Clock, summary: Summary = SUMMARY) -> State:
    state = State(clock)
    state.start(summary)
    return state


def result(number: int, accuracy: float = 0.5, lut: float | None = 1000.0, rung: str = "short") -> Result:
    return Result(number, rung, accuracy, lut, False)


# Times


def test_before_the_first_result_only_the_limit_is_known(clock: Clock) -> None:
    state = started(clock)
    clock.sleep(20)
    assert state.left_s is None
    assert state.left_text == "at most 8:40 left"


def test_the_time_left_follows_from_the_speed(clock: Clock) -> None:
    state = started(clock)
    clock.sleep(20)  # the framework is imported
    for number in range(10):
        clock.sleep(6)
        state.finish(result(number))
    assert state.left_s == pytest.approx(30 * 6)
    assert state.left_text == "about 3:00 left"
    clock.sleep(3)
    assert state.left_s == pytest.approx(30 * 6 - 3)
    clock.sleep(1000)
    assert state.left_s == 0
    assert state.left_text == "finishing"


def test_the_time_left_never_exceeds_the_limit(clock: Clock) -> None:
    state = started(clock)
    for number in range(4):
        clock.sleep(60)
        state.finish(result(number))
    assert state.left_s == 540 - 240


def test_results_read_from_disk_say_nothing_about_the_speed(clock: Clock) -> None:
    state = started(clock, Summary("t", 40, 5400.0, 2, elapsed_before_s=300.0))
    for number in range(20):
        clock.sleep(0.1)
        state.finish(result(number))
    assert state.left_s is None
    assert state.elapsed_s == pytest.approx(302)
    clock.sleep(25)
    for number in range(20, 30):
        clock.sleep(10)
        state.finish(result(number))
    assert state.left_s == pytest.approx(10 * 10)
    assert state.tried == 30


def test_a_further_rung_of_a_candidate_is_not_a_further_candidate(clock: Clock) -> None:
    state = started(clock)
    clock.sleep(30)
    state.finish(result(0, 0.5))
    state.finish(result(0, 0.7, rung="full"))
    state.fail(1, "NaN")
    assert state.tried == 2
    assert state.best_text == "0.7000 at 1,000 LUT"


def test_time_stands_still_when_the_search_is_over(clock: Clock) -> None:
    state = started(clock)
    clock.sleep(10)
    state.ended = clock()
    clock.sleep(100)
    assert state.elapsed_s == 10


def test_a_search_without_end_has_no_time_left_to_tell(clock: Clock) -> None:
    state = started(clock, Summary("t", 40, float("inf")))
    assert state.left_text == "at most ? left"


# Results


def test_the_best_is_the_most_accurate_and_of_equals_the_smallest(clock: Clock) -> None:
    state = started(clock)
    assert state.best_text == "none yet"
    for number, (accuracy, lut) in enumerate([(0.9, 5000.0), (0.9, None), (0.9, 3000.0), (0.8, 10.0)]):
        state.finish(result(number, accuracy, lut))
    assert state.best_text == "0.9000 at 3,000 LUT"
    assert state.front_size == 2


def test_what_does_not_fit_as_reported_is_not_the_best_any_more(clock: Clock) -> None:
    stream = io.StringIO()
    display = PlainProgress(stream, clock)
    display.start(SUMMARY)
    display.finished(0, "full", 0.95, 5000.0, True)
    display.finished(1, "full", 0.9, 3000.0, True)
    display.unfit(0, "does not fit as vitis_hls 2022.2 reports it: 40,000 LUT of 33,180")
    display.stop()
    lines = stream.getvalue().splitlines()
    assert "candidate 0 does not fit as vitis_hls 2022.2 reports it: 40,000 LUT of 33,180" in lines
    assert lines[-1].startswith("tried 2 of 40 candidates, 1 did not fit as reported, rejected 0 before training, best")
    assert "best validation accuracy 0.9000 at 3,000 LUT" in lines[-1]


def test_training_ends_the_stage_but_what_comes_from_disk_does_not(clock: Clock) -> None:
    state = started(clock)
    state.stage = "starting 2 workers"
    state.finish(result(0))
    assert state.stage == "starting 2 workers"
    clock.sleep(20)
    state.finish(result(1))
    assert state.stage == ""


def test_the_closing_line_sums_up(clock: Clock) -> None:
    state = started(clock)
    clock.sleep(62)
    state.finish(result(0, 0.9123, 12345.0))
    state.fail(1, "NaN")
    state.rejected = {"throughput": 1500, "pooling": 3}
    assert closing(state) == (
        "tried 2 of 40 candidates, 1 failed, rejected 1,503 before training, best validation accuracy 0.9123 at "
        "12,345 LUT, 1:02"
    )


# Plain lines


def test_plain_lines_come_at_most_every_five_seconds_and_failures_at_once(clock: Clock) -> None:
    stream = io.StringIO()
    display = PlainProgress(stream, clock)
    display.start(SUMMARY)
    display.stage("starting 2 workers")
    display.stage("starting 2 workers")
    clock.sleep(20)
    for number in range(10):
        clock.sleep(2)
        display.rejected({"throughput": number})
        display.finished(number, "short", 0.5 + number / 100, 1000.0 + number, best=number % 2 == 0)
    display.failed(10, "out of\nmemory")
    display.stop()
    display.stop()
    lines = stream.getvalue().splitlines()
    assert lines[:3] == [
        "search: digits on pynq-z2, space cnn-small, seed 0 (33,180 LUT, at least 1,000 inf/s)",
        "budget: 40 candidates, 9:00 at most, jobs: 2",
        "starting 2 workers",
    ]
    assert lines[3].startswith("[1/40] candidate 0 short: 0.5000, 1,000 LUT * | best 0.5000 at 1,000 LUT | front 1 |")
    progress = [line for line in lines if line.startswith("[")]
    assert [line.split("]")[0] for line in progress] == ["[1/40", "[4/40", "[7/40", "[10/40"]
    assert "rejected 9 | 0:40, about" in progress[-1]
    assert "candidate 10 failed: out of memory" in lines
    assert lines[-1].startswith("tried 11 of 40 candidates, 1 failed, rejected 9 before training")


def test_the_last_result_is_shown_even_if_it_came_too_soon(clock: Clock) -> None:
    stream = io.StringIO()
    display = PlainProgress(stream, clock)
    display.start(SUMMARY)
    display.finished(0, "short", 0.5, 1000.0, best=True)
    display.finished(1, "short", 0.9, 2000.0, best=True)
    display.stop()
    assert "[2/40] candidate 1 short: 0.9000" in stream.getvalue()


def test_plain_lines_hold_no_control_characters(clock: Clock) -> None:
    stream = io.StringIO()
    display = PlainProgress(stream, clock)
    display.start(Summary("a\x1b[2Jb", 1, 1.0))
    display.failed(0, "\x07" * 500)
    display.stage("\x9b1m")
    assert all(c.isprintable() or c == "\n" for c in stream.getvalue())
    assert max(map(len, stream.getvalue().splitlines())) < 250


# The panel


def drawn(state: State, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(panel(state))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_panel_shows_what_goes_on(clock: Clock) -> None:
    state = started(clock)
    first = drawn(state)
    assert "digits on pynq-z2, space cnn-small, seed 0" in first
    assert "0 of 40" in first
    assert "none yet" in first
    assert "training, 2 workers" in first
    clock.sleep(30)
    state.finish(Result(0, "full", 0.9123, 4321.0, True))
    state.finish(result(1, 0.5, None))
    state.fail(2, "killed: out of memory")
    state.rejected = {"a": 1, "b": 5, "c": 40, "d": 300, "e": 2000, "f": 2}
    state.stage = "measuring the winners on the test split"
    text = drawn(state)
    assert "3 of 40, 1 failed" in text
    assert "2,348: e 2,000, d 300, c 40, b 5, others 3" in text
    assert "0.9123 at 4,321 LUT" in text
    assert "1 network " in text
    assert re.search(r"0  full +0\.9123  4,321  on the front", text)
    assert re.search(r"1  short +0\.5000 +\? ", text)
    assert re.search(r"2  failed .*killed: out of memory", text)
    assert "measuring the winners on the test split" in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_the_panel_fits_any_terminal(width: int, clock: Clock) -> None:
    state = started(clock)
    clock.sleep(30)
    for number in range(9):
        state.finish(result(number, 0.5, 10.0**number))
    state.fail(9, "why " * 100)
    state.rejected = {f"a reason number {i} of some length": 10**i for i in range(8)}
    state.stage = "something long that goes on " * 9
    lines = drawn(state, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24 or width < 80


def test_a_terminal_gets_the_panel_and_keeps_one_line() -> None:
    code = (
        "import sys\n"
        "from flow.report.progress import Summary, make_progress, LiveProgress\n"
        "display = make_progress(sys.stderr)\n"
        "assert isinstance(display, LiveProgress)\n"
        "display.start(Summary('digits on pynq-z2', 40, 540.0))\n"
        "display.finished(0, 'short', 0.9, 1234.0, True)\n"
        "display.stop(); display.stop()\n"
        "print('result')\n"
    )
    main, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm"},
            timeout=60,
            check=True,
        )
        os.close(terminal)
        screen = b""
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:
                break
            if not chunk:
                break
            screen += chunk
    finally:
        os.close(main)
    text = screen.decode()
    assert done.stdout == b"result\n", "standard output holds results only"
    assert "digits on pynq-z2" in text
    assert "\x1b[2K" in text, "the panel is erased"
    last = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", text).replace("\r", "").strip().splitlines()[-1]
    assert last.startswith("tried 1 of 40 candidates, rejected 0 before training, best validation accuracy 0.9000")


def test_no_terminal_or_a_dumb_one_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress(io.StringIO()), PlainProgress)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_progress(Terminal()), LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_progress(Terminal()), PlainProgress)
    monkeypatch.delenv("TERM")
    assert isinstance(make_progress(Terminal()), PlainProgress)
    assert isinstance(make_progress(Terminal(), live=True), LiveProgress)
    closed = Terminal()
    closed.close()
    assert isinstance(make_progress(closed), PlainProgress)


# Never an exception


class Broken(io.StringIO):
    """A terminal that has been closed."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


KINDS: list[Callable[[Any], ProgressDisplay]] = [PlainProgress, LiveProgress]
calls = st.lists(
    st.one_of(
        st.tuples(
            st.just("start"), st.builds(Summary, st.text(), st.integers(), st.floats(), st.integers(), st.text())
        ),
        st.tuples(st.just("rejected"), st.dictionaries(st.text(), st.integers())),
        st.tuples(st.just("finished"), st.integers(), st.text(), st.floats(), st.none() | st.floats(), st.booleans()),
        st.tuples(st.just("failed"), st.integers(), st.text()),
        st.tuples(st.just("stage"), st.text()),
        st.tuples(st.just("stop")),
    ),
    max_size=8,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [io.StringIO, Broken])
@settings(max_examples=40)
@given(order=calls)
def test_nothing_a_search_says_ever_raises(
    kind: Callable[[Any], ProgressDisplay], stream: Callable[[], io.StringIO], order: list[Any]
) -> None:
    threads = threading.active_count()
    display = kind(stream())
    for name, *arguments in order:
        getattr(display, name)(*arguments)
    display.stop()
    for _ in range(200):
        if threading.active_count() <= threads:
            break
        threading.Event().wait(0.01)
    assert threading.active_count() <= threads, "no thread is left behind"
