"""``flow show``: a run as text for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow.errors import FlowError
from flow.report.run_view import Evaluated, RunView
from flow.report.text import table
from flow.report.winners import LABELS, WIDTH, accuracy, amount, duration, significant, winners_table
from flow.resources import RESOURCE_NAMES, Resources

END_REASONS = {
    "trials": "all trials done",
    "time": "the time was up",
    "space exhausted": "every feasible candidate of the space was tried",
    "nothing feasible": "nothing feasible",
}
"""What the reasons in a run's log mean."""


def board_capacity(view: RunView) -> Resources | None:
    """All resources of the run's board; ``None`` if its description is not here any more."""
    from flow.board import load_board

    asked = view.settings.get("asked")
    where = asked.get("board") if isinstance(asked, Mapping) else None
    for name in (view.board, where):  # a shipped board's name, else the file the user gave
        try:
            board = load_board(name) if isinstance(name, str) else None
        except FlowError:
            continue
        if board is not None and board.part == view.part:
            return board.capacity
    return None


def counts(view: RunView) -> dict[str, int]:
    """How many candidates were tried, fully trained, measured, failed and rejected, and how many won."""
    return {
        "tried": len(view.evaluations),
        "fully_trained": sum("full" in e.rungs for e in view.evaluations),
        "measured": sum(any(m.source != "predicted" for m in e.measurements) for e in view.evaluations),
        "unfit": sum(e.unfit is not None for e in view.evaluations),
        "failed": sum(e.status == "failed" for e in view.evaluations),
        "rejected": sum(view.rejected.values()),
        "winners": len(view.winners),
    }


def state(view: RunView) -> str:
    """Whether the run has ended and why, in a few words."""
    if view.end_reason is None:
        return "not finished: still running, or to be resumed with --resume"
    return f"finished ({END_REASONS.get(view.end_reason, view.end_reason)})"


def limits(view: RunView) -> str:
    """What a winner of the run must meet, in one line."""
    return limits_text(view.budget, view.spec)


def limits_text(budget: Resources, spec: Mapping[str, Any]) -> str:
    """A spec in one line; ``spec`` as ``run.yaml`` has it."""
    parts = [f"{amount(v)} {LABELS[n]}" for n, v in budget if v is not None and (v > 0 or n != "uram")]
    if spec.get("min_throughput_per_s") is not None:
        parts.append(f"at least {significant(spec['min_throughput_per_s'])} inf/s")
    if spec.get("max_latency_us") is not None:
        parts.append(f"latency at most {significant(spec['max_latency_us'])} us")
    if spec.get("clock_mhz") is not None:
        asked = spec.get("requested_clock_mhz")
        note = f" (asked for {asked:g})" if asked not in (None, spec["clock_mhz"]) else ""
        parts.append(f"{spec['clock_mhz']:g} MHz{note}")
    return ", ".join(parts)


def show_text(view: RunView) -> str:
    """The run's settings and state, its winners, what was rejected and what failed; at most 120 columns."""
    n, s, best = counts(view), view.settings, view.best
    of = f" of {s['trials']}" if "trials" in s else ""
    lines = [
        f"run       {view.name}, {state(view)}",
        f"board     {view.board} ({view.part})",
        f"data set  {view.dataset}",
        f"space     {s.get('space', '?')}, sampler {s.get('sampler', '?')}, seed {s.get('seed', '?')}",
        f"limits    {limits(view)}",
        f"tried     {n['tried']}{of}, {n['fully_trained']} fully trained, {n['failed']} failed",
        f"rejected  {n['rejected']:,} before training",
        f"time      {duration(view.elapsed_s)}, training {duration(view.training_s)} (all workers)",
    ]
    if s.get("synthesis"):
        lines.append(f"synthesis {s['synthesis']}: {n['measured']} measured, {n['unfit']} of them do not fit")
    if best is not None:
        lines.append(f"best      {accuracy(best.validation)} {best_note(best)}")
    blocks = ["\n".join(_cut(line) for line in lines)]
    if view.winners:
        title = "" if view.complete else "winners so far\n"
        blocks.append(title + winners_table(view, board_capacity(view)))
    else:
        blocks.append(no_winners(view))
    if view.rejected:
        rows = [[f"{count:,}", _cut(reason, WIDTH - 20)] for reason, count in view.rejected.items()]
        blocks.append(table(["rejected", "why"], rows, right=(0,)))
    unfit = [[str(e.number), _cut(e.unfit, WIDTH - 20)] for e in view.evaluations if e.unfit]
    if unfit:
        blocks.append(table(["does not fit", "as reported"], unfit, right=(0,)))
    if view.failures:
        rows = [[str(f.number), _cut(f.rung, 8), _cut(f.error, WIDTH - 30)] for f in view.failures]
        blocks.append(table(["failed", "rung", "why"], rows, right=(0,)))
    return _printable("\n\n".join(blocks))


def best_note(best: Evaluated) -> str:
    """What the highest accuracy of a run is of; it need not be a winner's."""
    lut = amount(best.predicted.resources.lut if best.predicted else None)
    short = "" if best.rung == "full" else ", short training only"
    return f"on validation data, {lut} LUT predicted{short}"


def no_winners(view: RunView) -> str:
    """Why a run has no winners, in one line."""
    if view.diagnosis:
        return f"no winners: {' '.join(view.diagnosis.split())}"
    if view.end_reason is None:
        return "no winners yet"
    return "no winners: no candidate that meets the limits was fully trained"


def show_json(view: RunView) -> dict[str, Any]:
    """The run as JSON values; ``winners`` are the entries of ``winners.json`` unchanged."""
    best = view.best
    return {
        "schema": 1,
        "name": view.name,
        "board": view.board,
        "part": view.part,
        "dataset": view.dataset,
        "settings": _plain(view.settings),
        "complete": view.complete,
        "end_reason": view.end_reason,
        "diagnosis": view.diagnosis,
        "elapsed_s": view.elapsed_s,
        "training_s": view.training_s,
        "counts": counts(view),
        "rejected": dict(view.rejected),
        "failures": [{"number": f.number, "digest": f.digest, "rung": f.rung, "error": f.error} for f in view.failures],
        "best": None if best is None else {"digest": best.digest, "number": best.number, "validation": best.validation},
        "winners": [_plain(w.raw) for w in view.winners],
        "capacity": None
        if (capacity := board_capacity(view)) is None
        else {n: getattr(capacity, n) for n in RESOURCE_NAMES},
    }


def _plain(value: Any) -> Any:
    """YAML values as JSON ones: dates as text, numbers that JSON has no word for as null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _cut(text: str, width: int = WIDTH) -> str:
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= width else text[: width - 1] + "…"


def _printable(text: str) -> str:
    """Text without control characters: a file must not be able to steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
