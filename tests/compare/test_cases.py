"""What is compared: the same limits, seeds and training budget for every mode, on data that is always the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow.compare.cases import MODES, STUDIES, Study, cases_of, first_of_each, is_there, prepared, study_of
from flow.errors import InputError
from flow.network.datasets import load_dataset
from flow.search.settings import resolve

REDUCED = Study("digits", "cnn-small", ((12_000, 1000),), (1, 2), 6, (200, 50, 100))


def test_every_mode_has_the_limits_seeds_and_budget_of_the_others() -> None:
    for study in STUDIES.values():
        cases = cases_of(study, study.dataset, "pynq-z2", "tpe", range(3))
        assert len(cases) == 3 * len(study.limits) * len(study.modes)
        assert len({case.name for case in cases}) == len(cases)
        by_mode = {m: [(c.lut, c.fps, c.seed) for c in cases if c.mode == m] for m in study.modes}
        assert all(found == by_mode["joint"] for found in by_mode.values())
        budgets = {(c.settings().epochs_total, c.settings().epochs_short, c.settings().epochs_full) for c in cases}
        assert budgets == {(study.epochs_total, *study.epochs)}


def test_a_case_is_a_search_of_its_mode_and_only_random_draws_uniformly() -> None:
    settings = {c.mode: c.settings() for c in cases_of(STUDIES["digits"], "digits", "pynq-z2", "ehvi", [5])}
    assert {mode: s.mode for mode, s in settings.items()} == MODES
    assert {mode: s.sampler for mode, s in settings.items()} == {
        "joint": "ehvi", "separate": "ehvi", "nested": "ehvi", "random": "random",
    }  # fmt: skip
    problem = resolve(settings["joint"])
    assert problem.settings.seed == 5
    assert problem.spec.budget.lut == STUDIES["digits"].limits[-1][0]


def test_modes_can_be_chosen_and_unknown_data_sets_are_named() -> None:
    cases = cases_of(STUDIES["digits"], "digits", "pynq-z2", "tpe", [0], ["joint", "random"])
    assert {c.mode for c in cases} == {"joint", "random"}
    with pytest.raises(InputError, match="data set to compare on"):
        study_of("digit")
    assert is_there("digits")


def test_a_reduced_data_set_has_the_first_samples_of_each_class_and_is_written_once(tmp_path: Path) -> None:
    path = Path(prepared(REDUCED, tmp_path))
    whole, found = load_dataset("digits"), load_dataset(str(path))
    assert found.info.input_format == whole.info.input_format
    assert found.info.title == "digits, reduced to 200 training samples"
    for part, count in (("train", 200), ("val", 50), ("test", 100)):
        labels = getattr(found, f"y_{part}")
        assert np.bincount(labels).tolist() == [count // 10] * 10
        first = np.flatnonzero(getattr(whole, f"y_{part}") == 3)[0]
        assert np.array_equal(getattr(found, f"x_{part}")[labels == 3][0], getattr(whole, f"x_{part}")[first])
    before = path.stat().st_mtime_ns
    assert prepared(REDUCED, tmp_path) == str(path)
    assert path.stat().st_mtime_ns == before
    assert prepared(STUDIES["digits"], tmp_path) == "digits"


def test_more_samples_than_there_are_is_said() -> None:
    assert first_of_each(np.array([1, 0, 1, 0, 0]), 2).tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="fewer than 3 samples of a class"):
        first_of_each(np.array([1, 0, 1, 0, 0]), 3)
