"""``flow show``: what a person reads of a run, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from flow.report.html import render_report
from flow.report.run_view import RunView, load_run
from flow.report.show import board_capacity, counts, limits, limits_text, show_json, show_text, state
from flow.report.winners import WIDTH
from flow.resources import Resources
from tests.report.builder import build_run


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return load_run(build_run(tmp_path_factory.mktemp("runs") / "mine", trials=40, winners=6))


def lines_of(view: RunView) -> dict[str, str]:
    """The lines at the top, by their first word."""
    block = show_text(view).split("\n\n")[0]
    return {line[:10].strip(): line[10:] for line in block.splitlines()}


def test_the_top_says_what_was_searched_and_how_far_it_got(view: RunView) -> None:
    top = lines_of(view)
    assert top["run"] == "mine, finished (all trials done)"
    assert top["board"] == "pynq-z2 (xc7z020clg400-1)"
    assert top["data set"] == "digits"
    assert top["space"] == "cnn-small, sampler tpe, seed 0"
    assert top["limits"] == "33,180 LUT, 52,140 FF, 218 BRAM18, 176 DSP, at least 1,000 inf/s, 100 MHz"
    assert top["tried"] == "40 of 40, 20 fully trained, 2 failed"
    assert top["rejected"] == "2,210 before training"
    assert "training 6:42 (all workers)" in top["time"]


def test_below_stand_winners_reasons_and_failures(view: RunView) -> None:
    text = show_text(view)
    assert "source: predicted (uncalibrated), flow-structural 0.1.0" in text
    assert "   1,841  over the LUT budget" in text
    assert "     7  short  the worker was killed (out of memory)" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_what_a_tool_measured_is_counted_and_what_does_not_fit_listed(view: RunView) -> None:
    first, *others = view.evaluations
    rejected = dataclasses.replace(
        first,
        measurements=(*first.measurements, dataclasses.replace(first.measurements[0], source="hls")),
        unfit="41,100 LUT of 33,180",
    )
    settings = {**view.settings, "synthesis": "vitis_hls 2022.2"}
    measured = dataclasses.replace(view, evaluations=(rejected, *others), settings=settings)
    assert lines_of(measured)["synthesis"] == "vitis_hls 2022.2: 1 measured, 1 of them do not fit"
    assert "           0  41,100 LUT of 33,180" in show_text(measured)
    assert "does not fit" not in show_text(view)
    assert "does not fit: 41,100 LUT of 33,180" in render_report(measured)


def test_the_best_says_if_it_was_only_briefly_trained(view: RunView) -> None:
    best = view.best
    assert best is not None
    assert lines_of(view)["best"].endswith(" LUT predicted" if best.rung == "full" else "short training only")
    short = dataclasses.replace(best, rungs={"short": best.rungs["short"]}, measurements=())
    other = dataclasses.replace(view, evaluations=(short,))
    assert lines_of(other)["best"] == f"{best.validation:.4f} on validation data, ? LUT predicted, short training only"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, "not finished: still running, or to be resumed with --resume"),
        ("time", "finished (the time was up)"),
        ("space exhausted", "finished (every feasible candidate of the space was tried)"),
        ("nothing feasible", "finished (nothing feasible)"),
        ("something new", "finished (something new)"),
    ],
)
def test_the_state_is_in_words(view: RunView, reason: str | None, text: str) -> None:
    assert state(dataclasses.replace(view, end_reason=reason)) == text


def test_a_run_without_winners_says_why(view: RunView) -> None:
    none = dataclasses.replace(view, winners=())
    assert "no winners: no candidate that meets the limits was fully trained" in show_text(none)
    assert "no winners yet" in show_text(dataclasses.replace(none, end_reason=None))
    why = "every network needs\nmore than 100 LUT"
    assert "no winners: every network needs more than 100 LUT" in show_text(dataclasses.replace(none, diagnosis=why))


def test_winners_of_a_run_that_goes_on_are_so_far(view: RunView) -> None:
    assert "winners so far\nsource:" in show_text(dataclasses.replace(view, complete=False))
    assert "so far" not in show_text(view)


def test_a_spec_is_one_line() -> None:
    budget = Resources(lut=5000, bram18=20, uram=4)
    spec = {"min_throughput_per_s": 2.5e5, "max_latency_us": 1.25, "clock_mhz": 99.5, "requested_clock_mhz": 100.0}
    assert limits_text(budget, spec) == (
        "5,000 LUT, 20 BRAM18, 4 URAM, at least 250,000 inf/s, latency at most 1.25 us, 99.5 MHz (asked for 100)"
    )
    assert limits_text(Resources(), {}) == ""


def test_the_limits_are_those_of_the_run(view: RunView) -> None:
    assert limits(view) == limits_text(view.budget, view.spec)


def test_the_json_says_the_same_and_keeps_the_winners_as_they_are(view: RunView) -> None:
    data = json.loads(json.dumps(show_json(view), allow_nan=False))
    assert (data["schema"], data["name"], data["board"], data["complete"]) == (1, "mine", "pynq-z2", True)
    assert data["counts"] == counts(view)
    assert data["counts"] == {
        "tried": 40,
        "fully_trained": 20,
        "measured": 0,
        "unfit": 0,
        "failed": 2,
        "rejected": 2210,
        "winners": len(view.winners),
    }
    assert data["winners"] == json.loads((view.path / "winners.json").read_text())["winners"]
    assert data["settings"]["spec"]["budget"]["lut"] == 33180.0
    assert data["capacity"]["lut"] == 53200
    assert data["best"]["validation"] == max(e.validation or 0 for e in view.evaluations)
    assert [f["number"] for f in data["failures"]] == [7, 23]


def test_dates_and_endless_numbers_are_json_too(view: RunView) -> None:
    import datetime

    odd: dict[Any, Any] = {1: datetime.date(2026, 1, 31), "inf": float("inf"), "set": [float("nan"), {"x": b"y"}]}
    settings = show_json(dataclasses.replace(view, settings=odd))["settings"]
    assert settings == {"1": "2026-01-31", "inf": None, "set": [None, {"x": "b'y'"}]}


def test_the_board_a_user_described_himself_is_found_by_its_file(
    view: RunView, tmp_path: Path, repository: Path
) -> None:
    assert board_capacity(view) == Resources(53200, 106400, 280, 0, 220)
    assert board_capacity(dataclasses.replace(view, part="xc7z010clg400-1")) is None, "the file is of another part now"
    mine = tmp_path / "mine.yaml"
    text = (repository / "boards" / "pynq-z2.yaml").read_text()
    mine.write_text(text.replace("name: pynq-z2", "name: mine"))
    unknown = dataclasses.replace(view, board="mine")
    assert board_capacity(unknown) is None
    settings = {**view.settings, "asked": {"board": str(mine)}}
    capacity = board_capacity(dataclasses.replace(unknown, settings=settings))
    assert capacity is not None
    assert capacity.lut == 53200


def test_an_unknown_board_leaves_shares_unknown(view: RunView) -> None:
    gone = dataclasses.replace(view, board="a-board-of-the-past")
    table = show_text(gone).split("\n\n")[1]
    assert all(line.endswith("?") for line in table.splitlines()[3:])
    assert show_json(gone)["capacity"] is None


def test_a_file_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = build_run(tmp_path / "run", trials=2, settings={"sampler": "\x1b[2J\x07tpe"})
    with (path / "log.jsonl").open("a") as log:
        event = {
            "t": 99,
            "event": "failed",
            "number": 1,
            "digest": "x",
            "rung": "\x1b[31m",
            "error": "a\x1b]0;b\x07" * 99,
        }
        log.write(json.dumps(event) + "\n")
        log.write(json.dumps({"t": 99, "event": "rejected", "counts": {"\x9b31m" + "x" * 300: 5}}) + "\n")
    text = show_text(load_run(path))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert max(map(len, text.splitlines())) <= WIDTH
