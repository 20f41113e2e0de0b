"""What a user names: winners, candidates, runs, model files and projects; and what is said of everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow.commands.what import resolve
from flow.errors import InputError, NothingFeasible
from flow.fileio import read_json, write_json
from tests.report.builder import build_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs; models are empty files, which nothing opens here."""
    root = tmp_path_factory.mktemp("runs")
    for number, name in enumerate(("older", "newer")):
        path = build_run(root / name, seed=number)
        data = read_json(path / "winners.json", "winners")
        for winner in data["winners"]:
            winner["implementation"] = {"io_type": "io_stream", "clock_mhz": 100.0, "layers": []}
            (path / "candidates" / winner["digest"] / "model.keras").touch()
        write_json(path / "winners.json", data)
    (root / "latest").symlink_to("newer")
    return root


def names(text: str, runs: Path, every: bool = False) -> list[str]:
    return [what.text for what in resolve(text, runs=runs, every=every)]


def test_without_a_word_it_is_the_best_winner_of_the_latest_run(runs: Path) -> None:
    (best,) = resolve(None, runs=runs)
    winners = read_json(runs / "newer" / "winners.json", "winners")["winners"]
    fitting = [w for w in winners if w["measurements"][0]["lut"] <= 48850]  # of 53,200, the shell takes 4,350
    assert best.text == f"newer:{max(fitting, key=lambda w: w['accuracy']['validation'])['id']}"
    assert best.origin is not None
    assert best.origin.run == runs / "newer"
    assert best.model == runs / "newer" / "candidates" / best.origin.digest / "model.keras"


def test_a_winner_is_named_by_its_id_of_the_latest_run_of_another_or_with_the_run(runs: Path) -> None:
    assert names("w1", runs=runs) == ["newer:w1"]
    assert names("older:w2", runs=runs) == ["older:w2"]
    assert names("latest:w2", runs=runs) == ["newer:w2"]
    assert [w.text for w in resolve("w2", run="older", runs=runs)] == ["older:w2"]
    with pytest.raises(InputError, match="'older:w2' names run 'older', but --run says 'newer'"):
        resolve("older:w2", run="newer", runs=runs)


def test_a_candidate_is_named_by_its_digest_or_the_beginning_of_it(runs: Path) -> None:
    (first,) = resolve("w1", runs=runs)
    assert first.origin is not None
    digest = first.origin.digest
    assert names(digest, runs=runs) == names(digest[:8], runs=runs) == ["newer:w1"]
    with pytest.raises(InputError, match=r"run newer has no winner or candidate 'abcdef': known: w1"):
        resolve("abcdef", runs=runs)


def test_a_candidate_that_was_trained_briefly_has_no_model(runs: Path) -> None:
    winners = {w["digest"] for w in read_json(runs / "newer" / "winners.json", "winners")["winners"]}
    path = next(p for p in sorted((runs / "newer" / "candidates").iterdir()) if p.name not in winners)
    data = read_json(path / "evaluation.json", "evaluation")
    data["implementation"] = {"io_type": "io_stream", "clock_mhz": 100.0, "layers": []}
    write_json(path / "evaluation.json", data)
    with pytest.raises(
        InputError, match=rf"newer:{path.name} has no model, .* is missing: it was trained briefly only"
    ):
        resolve(path.name, runs=runs)


def test_a_run_is_its_best_winner_or_all_of_them(runs: Path) -> None:
    count = len(read_json(runs / "older" / "winners.json", "winners")["winners"])
    assert names("older", runs=runs)[0].startswith("older:w")
    assert names("older", runs=runs, every=True) == [f"older:w{i + 1}" for i in range(count)]
    assert names(str(runs / "older"), runs=Path("elsewhere")) == names("older", runs=runs)
    with pytest.raises(InputError, match="--all takes the winners of a run, not w1"):
        resolve("w1", runs=runs, every=True)


def test_a_run_without_winners_says_why(tmp_path: Path) -> None:
    path = build_run(tmp_path / "none", trials=2)
    write_json(path / "winners.json", {"schema": 1, "winners": [], "complete": True, "diagnosis": "LUT is too low"})
    for every in (False, True):
        with pytest.raises(NothingFeasible, match="run none has no winner: LUT is too low"):
            resolve("none", runs=tmp_path, every=every)


def test_model_files_and_projects_are_paths(tmp_path: Path) -> None:
    (tmp_path / "project.tcl").touch()
    (project,) = resolve(str(tmp_path))
    assert (project.project, project.model, project.origin) == (tmp_path, None, None)
    (model,) = resolve("some/model.keras")
    assert (model.model, model.text, model.input_format) == (Path("some/model.keras"), "some/model.keras", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.h5", r"model\.h5: only \.keras files are read; save the model with model\.save"),
        ("oldr", r"no run 'oldr' in .*: did you mean older\?"),
        ("older:w99", "run older has no winner or candidate 'w99'"),
        ("./x/y", r"\./x/y is no \.keras file, no HLS project \(project\.tcl\) and no run \(run\.yaml\)"),
    ],
)
def test_anything_else_is_told_with_what_there_is(text: str, message: str, runs: Path) -> None:
    with pytest.raises(InputError, match=message):
        resolve(text, runs=runs)
