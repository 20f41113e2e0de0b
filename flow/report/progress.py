"""What a search shows while it runs: a live panel on a terminal, else a plain line now and then.

Both write to the stream they are given (standard error, so that ``--json`` on standard output stays clean), and
neither ever raises: a closed terminal must not end a search.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from flow.report.winners import accuracy, amount, duration, shorten
from flow.search.pareto import pareto_front

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_INTERVAL_S = 5.0
"""Seconds between two plain lines: a log of ten minutes then has at most about 120."""

CACHED_GAP_S = 5.0
"""Results that come within this time of the start, or of one that did, were read from disk: a worker's framework
import alone takes about three times as long. They say nothing about the speed of training."""

RATE_TRIALS = 20
"""How many of the last candidates the speed is taken from."""


@dataclass(frozen=True)
class Summary:
    """What the display has to know of a search. Times in seconds; ``elapsed_before_s`` is that of earlier sittings.

    ``title`` is one line such as ``digits on pynq-z2, space cnn-small, seed 0``; ``limits`` another, with the spec.
    """

    title: str
    trials: int
    time_s: float
    jobs: int = 1
    limits: str = ""
    elapsed_before_s: float = 0.0


class ProgressDisplay(Protocol):
    """What a search tells its user. No method raises."""

    def start(self, summary: Summary) -> None:
        """The search begins."""

    def rejected(self, counts: Mapping[str, int]) -> None:
        """Counts of refused candidates by reason, so far."""

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """One rung of candidate ``number`` is done; ``best``: it is on the front now."""

    def failed(self, number: int, reason: str) -> None:
        """Candidate ``number`` failed."""

    def unfit(self, number: int, reason: str) -> None:
        """Candidate ``number`` does not fit as a tool reports it: what was said of it before counts no more."""

    def stage(self, text: str) -> None:
        """What is going on, such as ``starting 2 workers (framework import, about 20 s)``."""

    def stop(self) -> None:
        """The search is over; may be called twice."""


def make_progress(
    stream: TextIO, live: bool | None = None, clock: Callable[[], float] = time.monotonic
) -> ProgressDisplay:
    """The display for ``stream``. ``live`` chooses the panel or plain lines; ``None``: the panel on a real terminal."""
    if live is None:
        with contextlib.suppress(Exception):
            live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if live:
        with contextlib.suppress(ImportError):
            import rich.live  # noqa: F401  (a terminal without rich gets plain lines)

            return LiveProgress(stream, clock)
    return PlainProgress(stream, clock)


@dataclass
class Result:
    """The newest result of one candidate."""

    number: int
    rung: str
    val_accuracy: float
    lut: float | None
    best: bool


@dataclass
class State:
    """All that was reported so far, and what follows from it. ``clock`` gives seconds.

    ``stage`` is what goes on instead of training; the first result that training gives ends it.
    """

    clock: Callable[[], float]
    summary: Summary = field(default_factory=lambda: Summary("", 0, 0.0))
    started: float = 0.0
    ended: float | None = None
    stage: str = ""
    rejected: dict[str, int] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    unfit: dict[int, str] = field(default_factory=dict)
    recent: deque[Result | tuple[int, str]] = field(default_factory=lambda: deque(maxlen=6))
    base: float = 0.0
    trained: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_TRIALS))
    counted: int = 0

    def start(self, summary: Summary) -> None:
        """Begin to count the time."""
        self.summary, self.started, self.base, self.ended = summary, self.clock(), self.clock(), None

    def finish(self, result: Result) -> None:
        """Take one result."""
        self._tick(result.number)
        self.unfit.pop(result.number, None)
        self.results[result.number] = result
        self.recent.append(result)

    def fail(self, number: int, reason: str) -> None:
        """Take one failure."""
        self._tick(number)
        self.failures[number] = " ".join(reason.split())
        self.recent.append((number, self.failures[number]))

    def reject(self, number: int, reason: str) -> None:
        """Take back what was reported of a candidate."""
        self.results.pop(number, None)
        self.unfit[number] = " ".join(reason.split())
        self.recent.append((number, self.unfit[number]))

    def _tick(self, number: int) -> None:
        """Note the time of a candidate's first result, unless it came from disk."""
        now = self.clock()
        if not self.trained and now - self.base < CACHED_GAP_S:
            self.base = now
        elif not {number} & (self.results.keys() | self.failures.keys() | self.unfit.keys()):
            self.trained.append(now)
            self.counted += 1
            self.stage = ""

    @property
    def tried(self) -> int:
        """Candidates with a result, good or bad."""
        return len(self.results.keys() | self.failures.keys() | self.unfit.keys())

    @property
    def elapsed_s(self) -> float:
        """Seconds of this search, earlier sittings included."""
        now = self.clock() if self.ended is None else self.ended
        return self.summary.elapsed_before_s + now - self.started

    @property
    def left_s(self) -> float | None:
        """Seconds left: candidates to go at the speed of the last ones, never beyond the time limit.

        ``None`` before the first result: only the limit is known then.
        """
        limit = max(0.0, self.summary.time_s - self.elapsed_s)
        to_go = self.summary.trials - self.tried
        if not self.trained:
            return None
        if len(self.trained) > self.summary.jobs + 1:
            each = (self.trained[-1] - self.trained[0]) / (len(self.trained) - 1)
        else:
            each = (self.trained[-1] - self.base) / self.counted
        waited = max(0.0, self.clock() - self.trained[-1])
        return min(limit, max(to_go * each - waited, 0.0))

    @property
    def left_text(self) -> str:
        """The time left in words."""
        left = self.left_s
        if left is None:
            return f"at most {duration(max(0.0, self.summary.time_s - self.elapsed_s))} left"
        return f"about {duration(left)} left" if left >= 1 else "finishing"

    @property
    def best(self) -> Result | None:
        """The result of highest accuracy; of equal ones that of fewest LUTs."""
        return max(
            self.results.values(),
            key=lambda r: (r.val_accuracy, -(r.lut if r.lut is not None else float("inf"))),
            default=None,
        )

    @property
    def front_size(self) -> int:
        """How many results no other one beats in both accuracy and LUTs."""
        return len(pareto_front([(r.val_accuracy, r.lut) for r in self.results.values() if r.lut is not None]))

    @property
    def best_text(self) -> str:
        """The best result in words."""
        best = self.best
        return "none yet" if best is None else f"{accuracy(best.val_accuracy)} at {amount(best.lut)} LUT"


class PlainProgress:
    """One line a finished candidate, at most every five seconds; failures and stages at once."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._state, self._clock = stream, State(clock), clock
        self._last = float("-inf")
        self._pending: Result | None = None

    def start(self, summary: Summary) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            self._state.start(summary)
            limits = f" ({summary.limits})" if summary.limits else ""
            self._write(f"search: {summary.title}{limits}")
            self._write(
                f"budget: {summary.trials} candidates, {duration(summary.time_s)} at most, jobs: {summary.jobs}"
            )

    def rejected(self, counts: Mapping[str, int]) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            self._state.rejected = dict(counts)

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            self._pending = Result(number, rung, val_accuracy, lut, best)
            self._state.finish(self._pending)
            if self._clock() - self._last >= PLAIN_INTERVAL_S:
                self._line()

    def failed(self, number: int, reason: str) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            self._state.fail(number, reason)
            self._write(f"candidate {number} failed: {shorten(self._state.failures[number], 200)}")

    def unfit(self, number: int, reason: str) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            self._state.reject(number, reason)
            self._write(f"candidate {number} {shorten(self._state.unfit[number], 200)}")

    def stage(self, text: str) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            if text and text != self._state.stage:
                self._write(" ".join(text.split()))
            self._state.stage = text

    def stop(self) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            if self._state.ended is None:
                if self._pending is not None:
                    self._line()
                self._state.ended = self._clock()
                self._write(closing(self._state))

    def _line(self) -> None:
        state, result = self._state, self._pending
        if result is None:
            return
        self._pending, self._last = None, self._clock()
        self._write(
            f"[{state.tried}/{state.summary.trials}] candidate {result.number} {result.rung}: "
            f"{accuracy(result.val_accuracy)}, {amount(result.lut)} LUT{' *' if result.best else ''}"
            f" | best {state.best_text} | front {state.front_size}"
            f" | rejected {sum(state.rejected.values()):,} | {duration(state.elapsed_s)}, {state.left_text}"
        )

    def _write(self, line: str) -> None:
        self._stream.write(_printable(line) + "\n")
        self._stream.flush()


class LiveProgress:
    """A panel that redraws itself four times a second and leaves one line when it is done."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console

        self._state = State(clock)
        self._lock = threading.RLock()
        self._console = Console(file=stream, force_terminal=True, highlight=False, emoji=False)
        self._live: Any = None

    @contextmanager
    def _update(self) -> Iterator[State]:
        """The state, for one change; nothing that goes wrong comes out."""
        with contextlib.suppress(Exception), self._lock:
            yield self._state

    def start(self, summary: Summary) -> None:
        """See ProgressDisplay."""
        self.stop()
        with contextlib.suppress(Exception):
            from rich.live import Live

            self._state.start(summary)
            # Standard output stays untouched: results go there, perhaps into a pipe.
            self._live = Live(
                get_renderable=self.render,
                console=self._console,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=False,
                vertical_overflow="crop",
            )
            self._live.start(refresh=True)

    def rejected(self, counts: Mapping[str, int]) -> None:
        """See ProgressDisplay."""
        with self._update() as state:
            state.rejected = dict(counts)

    def finished(self, number: int, rung: str, val_accuracy: float, lut: float | None, best: bool) -> None:
        """See ProgressDisplay."""
        with self._update() as state:
            state.finish(Result(number, rung, val_accuracy, lut, best))

    def failed(self, number: int, reason: str) -> None:
        """See ProgressDisplay."""
        with self._update() as state:
            state.fail(number, reason)

    def unfit(self, number: int, reason: str) -> None:
        """See ProgressDisplay."""
        with self._update() as state:
            state.reject(number, reason)

    def stage(self, text: str) -> None:
        """See ProgressDisplay."""
        with self._update() as state:
            state.stage = text

    def stop(self) -> None:
        """See ProgressDisplay."""
        with contextlib.suppress(Exception):
            live, self._live = self._live, None
            if live is not None:
                self._state.ended = self._state.clock()
                live.stop()
                self._console.print(closing(self._state), markup=False, soft_wrap=True)

    def render(self) -> RenderableType:
        """The panel as it stands."""
        from rich.text import Text

        from flow.report.panel import panel

        with contextlib.suppress(Exception), self._lock:
            return panel(self._state)
        return Text("")


def closing(state: State) -> str:
    """The one line that stays when a search is over."""
    failed = f", {len(state.failures)} failed" if state.failures else ""
    failed += f", {len(state.unfit)} did not fit as reported" if state.unfit else ""
    return (
        f"tried {state.tried} of {state.summary.trials} candidates{failed}, rejected {sum(state.rejected.values()):,} "
        f"before training, best validation accuracy {state.best_text}, {duration(state.elapsed_s)}"
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
