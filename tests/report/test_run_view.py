"""A run read back: what a search wrote is there, and a damaged file is named with what to do."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow.errors import InputError
from flow.report.html import render_report
from flow.report.run_view import RunView, load_run, parse_winner
from flow.report.show import show_json, show_text
from tests.report.builder import build_run

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few candidates, not to be changed."""
    return build_run(tmp_path_factory.mktemp("runs") / "small", trials=8, seed=4)


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    """The same run, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "small"))


def edit(file: Path, change: Callable[[Any], object]) -> None:
    """Change what a JSON or YAML file holds."""
    is_yaml = file.suffix == ".yaml"
    data = yaml.safe_load(file.read_text()) if is_yaml else json.loads(file.read_text())
    change(data)
    file.write_text(yaml.safe_dump(data) if is_yaml else json.dumps(data))


def an_evaluation(run: Path) -> Path:
    """The file of one candidate that is done."""
    files = sorted(run.glob("candidates/*/evaluation.json"))
    return next(f for f in files if json.loads(f.read_text())["status"] == "done")


def refused(run: Path) -> str:
    """The one line that loading the run gives, without the folder."""
    with pytest.raises(InputError) as caught:
        load_run(run)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text.replace(f"{run}/", "")


def presented(view: RunView) -> str:
    """Everything that is made of a run; fails if any of it can't be made."""
    json.dumps(show_json(view), allow_nan=False)
    return show_text(view) + render_report(view)


# What is there


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    view = load_run(build_run(tmp_path / "mine", trials=40, winners=6))
    assert (view.name, view.board, view.part, view.dataset) == ("mine", "pynq-z2", "xc7z020clg400-1", "digits")
    assert (view.budget.lut, view.spec["clock_mhz"]) == (33180.0, 100.0)
    assert view.versions["keras"] == "3.15.0"
    assert [e.number for e in view.evaluations] == list(range(40))
    assert [e.number for e in view.evaluations if e.status == "failed"] == [7, 23]
    assert {e.rung for e in view.evaluations} == {"short", "full", None}
    assert all(e.rung == ("full" if e.number % 2 == 0 else "short") for e in view.evaluations if e.rung)
    assert [w.id for w in view.winners] == [f"w{i}" for i in range(1, len(view.winners) + 1)]
    assert view.winners[0].test is None
    assert view.winners[1].test is not None
    assert list(view.rejected.items()) == [("over the LUT budget", 1841), ("throughput", 312), ("pool too large", 57)]
    assert [(f.number, f.rung, f.error) for f in view.failures] == [
        (7, "short", "the worker was killed (out of memory)"),
        (23, "short", "training gave NaN after 2 epochs"),
    ]
    assert (view.end_reason, view.complete, view.training_s, view.diagnosis) == ("trials", True, 401.5, None)
    assert view.elapsed_s is not None
    assert view.elapsed_s > 100


def test_a_winners_numbers_are_those_of_its_evaluation(built: Path) -> None:
    view = load_run(built)
    evaluations = {e.digest: e for e in view.evaluations}
    assert view.winners
    for winner in view.winners:
        evaluation = evaluations[winner.digest]
        assert winner.candidate == evaluation.candidate
        assert winner.validation == evaluation.validation == evaluation.rungs["full"].val_accuracy
        assert winner.measurements[-1] == evaluation.predicted
        assert winner.raw["id"] == winner.id


def test_the_best_is_the_most_accurate_and_of_equals_the_first(run: Path) -> None:
    view = load_run(run)
    assert view.best is not None
    assert view.best.validation == max(e.validation for e in view.evaluations if e.validation is not None)
    for file in run.glob("candidates/*/evaluation.json"):
        edit(file, lambda d: d["accuracy"].update(validation=0.5))
    best = load_run(run).best
    assert best is not None
    assert best.number == 0


def test_a_run_that_has_just_begun_is_a_run(tmp_path: Path) -> None:
    path = build_run(tmp_path / "new", trials=1, ended=False)
    shutil.rmtree(path / "candidates")
    for name in ("winners.json", "log.jsonl"):
        (path / name).unlink()
    view = load_run(path)
    assert (view.evaluations, view.winners, view.failures, dict(view.rejected)) == ((), (), (), {})
    assert (view.best, view.elapsed_s, view.training_s, view.end_reason, view.complete) == (
        None,
        None,
        None,
        None,
        False,
    )
    assert "no winners yet" in presented(view)


def test_candidates_in_flight_are_left_out(run: Path) -> None:
    before = len(load_run(run).evaluations)
    (run / "candidates" / "0123456789abcdef").mkdir()
    (run / "candidates" / "0123456789abcdef" / "candidate.json").write_text("{}")
    assert len(load_run(run).evaluations) == before


def test_a_resumed_run_has_not_ended(run: Path) -> None:
    assert load_run(run).end_reason == "trials"
    with (run / "log.jsonl").open("a") as log:
        log.write('{"t": 900.0, "event": "resume"}\n{"t": 950.0, "event": "rejected", "counts": {"throughput": 3}}\n')
    view = load_run(run)
    assert view.end_reason is None
    assert view.elapsed_s == 950.0
    assert view.rejected == {"throughput": 3}, "a sitting counts from its start"
    seconds = [r.seconds for e in view.evaluations for r in e.rungs.values()]
    assert view.training_s == pytest.approx(sum(s or 0 for s in seconds))


def test_an_unfinished_last_line_of_the_log_is_left_out(run: Path) -> None:
    whole = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(whole + '{"t": 2000.0, "event": "e')
    assert load_run(run) == load_run(run)
    assert load_run(run).elapsed_s != 2000.0


def test_a_failure_that_a_later_attempt_made_good_is_gone(tmp_path: Path) -> None:
    path = build_run(tmp_path / "run", trials=8, seed=4)
    assert [f.number for f in load_run(path).failures] == [7]
    failed = next(f for f in path.glob("candidates/*/evaluation.json") if json.loads(f.read_text())["number"] == 7)
    rung = {"short": {"val_accuracy": 0.7, "epochs": 10, "seconds": 4.0}}
    edit(failed, lambda d: d.update(status="done", error=None, rungs=rung, accuracy={"validation": 0.7, "test": None}))
    assert load_run(path).failures == ()


def test_a_full_training_that_failed_is_told_beside_the_short_one_that_did_not(run: Path) -> None:
    done = json.loads(an_evaluation(run).read_text())
    event = {
        "t": 70.0,
        "event": "failed",
        "number": done["number"],
        "digest": done["digest"],
        "rung": "full",
        "error": "NaN",
    }
    edit(an_evaluation(run), lambda d: d["rungs"].pop("full", None))
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps(event) + "\n")
    assert (done["number"], "full", "NaN") in [(f.number, f.rung, f.error) for f in load_run(run).failures]


def test_why_nothing_is_feasible_is_kept(run: Path) -> None:
    why = "the smallest network needs 900 LUT, the budget is 100"
    edit(run / "winners.json", lambda d: d.update(winners=[], diagnosis=why))
    view = load_run(run)
    assert view.diagnosis == why
    assert why in show_text(view)
    assert f"No winners: {why}" in render_report(view)
    assert show_json(view)["diagnosis"] == why


# What is damaged


FILES = ("run.yaml", "winners.json", "log.jsonl", "evaluation.json")


def path_of(run: Path, name: str) -> Path:
    return an_evaluation(run) if name == "evaluation.json" else run / name


@pytest.mark.parametrize("name", ["run.yaml", "winners.json", "evaluation.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 64,
        b"PK\x03\x04\x14\x00\xff\xfe",
        b"<html><body>404</body></html>",
        b"[1, 2]",
        b"{}",
        b'"text"',
        b"[" * 9000,
    ],
    ids=["empty", "zeros", "zip", "html", "list", "mapping", "text", "deep"],
)
def test_a_file_emptied_or_replaced_is_named_with_what_to_do(run: Path, name: str, content: bytes) -> None:
    path_of(run, name).write_bytes(content)
    text = refused(run)
    assert name in text
    if name != "run.yaml":
        assert "delete" in text
        assert "resume the run" in text


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_anywhere_is_named_or_does_no_harm(run: Path, name: str) -> None:
    file = path_of(run, name)
    whole = file.read_bytes()
    for size in range(0, len(whole) - 1, max(1, len(whole) // 40)):
        file.write_bytes(whole[:size])
        try:
            view = load_run(run)
        except InputError as error:
            assert file.name in str(error)  # noqa: PT017  (either way is right)
        else:
            assert name in ("run.yaml", "log.jsonl"), "JSON cut off is no JSON"
            presented(view)


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a run directory: run\.yaml is missing; `flow search` makes one"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(schema=2), "run.yaml: schema 2 is not supported, expected 1; start a new run"),
        (lambda d: d.pop("board"), "run.yaml: board must be a printable text, not None"),
        (lambda d: d.update(board="\x1b[2J"), "run.yaml: board must be a printable text"),
        (lambda d: d.update(name=7), "run.yaml: name must be a printable text, not 7"),
        (lambda d: d.update(dataset="digits"), "run.yaml: dataset: expected a mapping of fields, found str"),
        (lambda d: d.update(spec=None), "run.yaml: spec: expected a mapping of fields, found NoneType"),
        (lambda d: d["spec"].update(budget={"lut": "x"}), "run.yaml: spec.budget: lut must be a number"),
        (lambda d: d["spec"].update(clock_mhz="fast"), "run.yaml: spec.clock_mhz must be a number"),
        (lambda d: d["spec"].update(min_throughput_per_s=[1]), "run.yaml: spec.min_throughput_per_s must be a number"),
        (lambda d: d.update(versions=[1]), "run.yaml: versions: expected a mapping of fields, found list"),
    ],
)
def test_damaged_settings_name_the_field(run: Path, change: Callable[[Any], object], problem: str) -> None:
    edit(run / "run.yaml", change)
    assert refused(run).startswith(problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(schema="1"), "schema '1' is not supported"),
        (lambda d: d.update(digest="0123456789abcdef"), "the candidate is not the one of digest '0123456789abcdef'"),
        (lambda d: d["candidate"]["layers"][0].update(units=5), "the candidate is not the one of digest"),
        (lambda d: d["candidate"]["layers"][0].update(units=-5), "candidate: layers[0]: units must be"),
        (lambda d: d.update(status="running"), "status must be done or failed, not 'running'"),
        (lambda d: d.update(number=True), "number must be a whole number >= 0, not True"),
        (lambda d: d.update(number=-1), "number must be a whole number >= 0, not -1"),
        (lambda d: d.update(rungs=[]), "rungs: expected a mapping of fields, found list"),
        (lambda d: d["rungs"].update(short=0.5), "rungs.short: expected a mapping"),
        (
            lambda d: d["rungs"]["short"].update(val_accuracy=1.2),
            "rungs.short.val_accuracy must be from 0 to 1, not 1.2",
        ),
        (
            lambda d: d["rungs"]["short"].update(seconds="4"),
            "rungs.short.seconds must be a number >= 0 or null, not '4'",
        ),
        (lambda d: d["accuracy"].update(validation=math.nan), "accuracy.validation must be a number"),
        (lambda d: d.update(measurements={}), "measurements must be a list"),
        (lambda d: d.update(measurements=[1]), "measurements[0]: expected a mapping"),
        (
            lambda d: d["measurements"][0].update(source="guess"),
            "measurements[0]: source must be one of predicted, hls",
        ),
        (lambda d: d["measurements"][0].update(lut=-1), "measurements[0]: lut must be a number"),
        (lambda d: d["measurements"][0].update(low=[1]), "measurements[0]: low: expected a mapping of amounts"),
        (
            lambda d: d["measurements"][0].update(interval_cycles=0),
            "measurements[0]: interval_cycles must be at least 1",
        ),
    ],
)
def test_a_damaged_evaluation_names_field_and_folder(run: Path, change: Callable[[Any], object], problem: str) -> None:
    file = an_evaluation(run)
    edit(file, change)
    text = refused(run)
    assert text.startswith(f"candidates/{file.parent.name}/evaluation.json: ")
    assert problem in text
    assert text.endswith(f"; delete the folder {file.parent.name} and resume the run to evaluate it again")


def test_an_evaluation_in_the_wrong_folder_is_refused(run: Path) -> None:
    file = an_evaluation(run)
    file.parent.rename(file.parent.with_name("0123456789abcdef"))
    assert "is not the name of its folder" in refused(run)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(schema=None), "schema None is not supported"),
        (lambda d: d.update(winners={}), "winners must be a list"),
        (lambda d: d["winners"].append(3), "expected a mapping of fields, found int"),
        (lambda d: d["winners"].append(d["winners"][0]), "two winners have the same id"),
        (lambda d: d["winners"][0].update(id=""), "winners[0]: id must be a printable text, not ''"),
        (lambda d: d["winners"][0].update(id="w1\nw2"), "winners[0]: id must be a printable text"),
        (lambda d: d["winners"][0].update(digest="ab"), "winners[0]: the candidate is not the one of digest 'ab'"),
        (lambda d: d["winners"][0].update(accuracy=0.9), "winners[0]: accuracy: expected a mapping"),
        (lambda d: d["winners"][0]["accuracy"].update(test=7), "winners[0]: accuracy.test must be from 0 to 1"),
        (lambda d: d["winners"][0].update(latency_us="1"), "winners[0]: latency_us must be a number"),
        (lambda d: d["winners"][0].update(measurements=None), "winners[0]: measurements must be a list"),
        (lambda d: d["winners"][0]["measurements"][0].pop("part"), "winners[0]: measurements[0]: part must be a text"),
    ],
)
def test_damaged_winners_name_the_entry(run: Path, change: Callable[[Any], object], problem: str) -> None:
    edit(run / "winners.json", change)
    text = refused(run)
    assert text.startswith("winners.json: ")
    assert problem in text
    assert text.endswith("; delete it and resume the run to have it written again")


def test_one_entry_alone_is_checked_too(built: Path) -> None:
    raw = json.loads((built / "winners.json").read_text())["winners"][0]
    assert parse_winner(raw).id == "w1"
    with pytest.raises(InputError, match="entry 3: implementation: expected a mapping"):
        parse_winner({**raw, "implementation": None}, "entry 3")


# Anything


@settings(parent=same_folder, max_examples=150)
@given(data=st.data())
def test_random_bytes_give_a_run_or_an_input_error(data: st.DataObject, built: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    run = Path(shutil.copytree(built, tmp_path / "run"))
    file = data.draw(st.sampled_from(sorted(p for p in run.rglob("*") if p.is_file())))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    file.write_bytes(content)
    check(run, file)


strange = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 10**20, 10**400, 1e-300, 1e308, math.inf, -math.inf, math.nan, 2**53 + 1])
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["\x1b[31m", "a\nb", "<script>", "x" * 500, "\ud800", "w1"])
    | st.lists(st.integers(0, 3), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(0, 3) | st.text(max_size=3), max_size=3)
    | st.builds(json.loads, st.just("[" * 60 + "]" * 60))
)


def spots(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a JSON value."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += [(value, key), *spots(inner)]
    return found


@settings(parent=same_folder, max_examples=200)
@given(data=st.data())
def test_any_value_in_any_place_gives_a_run_or_an_input_error(data: st.DataObject, built: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    run = Path(shutil.copytree(built, tmp_path / "run"))
    file = path_of(run, data.draw(st.sampled_from(FILES)))
    if file.suffix == ".jsonl":
        values = [json.loads(line) for line in file.read_text().splitlines()]
    else:
        values = [yaml.safe_load(file.read_text()) if file.suffix == ".yaml" else json.loads(file.read_text())]
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(spots(values)))
        container[key] = data.draw(strange)
    texts = [json.dumps(v) for v in values]  # JSON is YAML, but for a few numbers
    file.write_text("\n".join(texts) + "\n")
    check(run, file)


def check(run: Path, file: Path) -> None:
    """Either the run is refused in one line that names the file, or all that is made of it can be made."""
    try:
        view = load_run(run)
    except InputError as error:
        problem = str(error)
        assert file.name in problem
        assert "\n" not in problem
        return
    assert all(c.isprintable() or c == "\n" for c in show_text(view))
    presented(view).encode("utf-8", "replace")
