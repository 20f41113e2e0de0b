"""Settings: resolved before anything starts, kept in run.yaml, read back the same."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.search.settings import SearchSettings, as_yaml, check_run_name, default_space, from_yaml, resolve

SETTINGS = SearchSettings(board="pynq-z2")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sampler": "genetic"}, "unknown sampler 'genetic'"),
        ({"mode": "both"}, "unknown mode 'both'"),
        ({"epochs_total": 49}, "epochs_total must be at least 50"),
        ({"trials": 0}, "trials must be a whole number of at least 1, not 0"),
        ({"trials": 2**31}, "trials must be"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"epochs_short": 0}, "epochs_short must be"),
        ({"epochs_short": 9, "epochs_full": 8}, r"epochs_full \(8\) is below epochs_short \(9\)"),
        ({"time_s": 0.0}, "time must be a positive number"),
        ({"time_s": float("nan")}, "time must be a positive number"),
        ({"jobs": 5}, "jobs must be from 1 to 4, not 5"),
        ({"board": "pynq"}, "unknown board 'pynq'"),
        ({"dataset": "mnst"}, "unknown data set 'mnst': did you mean mnist"),
        ({"space": "cnn"}, "unknown search space 'cnn'"),
        ({"dataset": "jets", "space": "cnn-small"}, "space cnn-small has convolutions and needs images"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        resolve(replace(SETTINGS, **changes))


def test_a_run_that_minimised_something_else_is_not_resumed_as_if_it_had_not() -> None:
    data = as_yaml(resolve(SETTINGS), "old", {}, None)
    assert from_yaml({**data, "minimize": "lut"}, "run.yaml") == from_yaml(data, "run.yaml")
    with pytest.raises(InputError, match="minimize: scarcest is gone"):
        from_yaml({**data, "minimize": "scarcest"}, "run.yaml")


def test_each_data_set_has_a_space_that_suits_it() -> None:
    for dataset in ("digits", "mnist", "cifar10", "jets"):
        problem = resolve(replace(SETTINGS, dataset=dataset))
        assert problem.space.name == default_space(problem.data)


def test_a_file_of_vectors_gets_a_space_of_dense_layers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.random((60, 7)), y_train=np.arange(60) % 3)
    problem = resolve(replace(SETTINGS, dataset=str(tmp_path / "d.npz")))
    assert problem.space.name == "mlp-tiny"
    assert problem.task.input_shape == (7,)
    assert problem.task.classes == 3


def test_run_yaml_gives_the_same_settings_back() -> None:
    changed = replace(
        SETTINGS,
        lut=9000.0,
        fps=2000.0,
        seed=7,
        sampler="nsga2",
        bound="middle",
        trials=3,
        jobs=1,
        class_weights=True,
        mode="separate",
        epochs_total=500,
    )
    data = as_yaml(resolve(changed), "mine", {"python": "3.11"}, "abc")
    again = from_yaml(yaml.safe_load(yaml.safe_dump(data)), "run.yaml")
    assert again == changed


LATER = {
    "bound": "upper", "mode": "joint", "epochs_total": None, "tool": None, "synth_jobs": 2, "synth_memory": None,
    "synth_timeout": 3600.0, "synth_window": 4,
}  # fmt: skip
"""Settings that run.yaml of earlier versions lacks, with what they did."""


@given(name=st.sampled_from([f.name for f in fields(SearchSettings) if f.name not in ("board", "space", *LATER)]))
def test_run_yaml_without_a_setting_is_damaged(name: str) -> None:
    data = as_yaml(resolve(SETTINGS), "mine", {}, None)
    data["asked"].pop(name, None)
    data.pop(name, None)
    with pytest.raises(InputError, match=r"run\.yaml: damaged run settings"):
        from_yaml(data, "run.yaml")


@pytest.mark.parametrize("name", LATER)
def test_run_yaml_of_an_earlier_version_lacks_what_came_later(name: str) -> None:
    data = as_yaml(resolve(SETTINGS), "mine", {}, None)
    del data[name]
    assert getattr(from_yaml(data, "run.yaml"), name) == LATER[name]


@given(st.text(max_size=80))
def test_a_run_name_that_is_accepted_is_a_plain_file_name(name: str) -> None:
    try:
        assert check_run_name(name) == name
    except InputError:
        return
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    assert Path("runs", name).parent == Path("runs")
    assert name not in (".", "..", "latest")
