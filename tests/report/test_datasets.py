"""Data sets as text and JSON."""

from __future__ import annotations

import json

from flow.network.datasets import dataset_info, list_datasets
from flow.network.fixed import FixedFormat
from flow.report.datasets import dataset_json, dataset_text, datasets_json, datasets_table


def test_the_table_has_a_row_and_a_source_for_each() -> None:
    lines = datasets_table(list_datasets()).splitlines()
    assert lines[0].split("  ")[0] == "data set"
    assert [line.split()[0] for line in lines[2:6]] == ["digits", "mnist", "cifar10", "jets"]
    assert "ufixed<5,1>" in lines[2]
    assert "28x28x1" in lines[3]
    assert "1078 train, 360 validation, 359 test" in lines[2]
    assert [line.split(":")[0] for line in lines[7:]] == ["digits", "mnist", "cifar10", "jets"]
    assert all("Input: " in line for line in lines[7:])


def test_without_data_sets_it_says_so() -> None:
    assert datasets_table([]) == "no data sets"


def test_one_data_set_is_told_in_full() -> None:
    lines = dataset_text(dataset_info("jets")).splitlines()
    assert lines[0] == "data set  jets: LHC jets, high-level features"
    assert "classes   5: g, q, t, w, z" in lines
    assert "sample    16" in lines
    assert lines[-1].startswith("input     fixed<16,6>, each feature standardised")


def test_the_json_holds_every_field_and_formats_as_text() -> None:
    values = json.loads(json.dumps(datasets_json(list_datasets())))
    assert [v["name"] for v in values] == ["digits", "mnist", "cifar10", "jets"]
    for value, info in zip(values, list_datasets(), strict=True):
        assert set(value) == set(info.__dataclass_fields__)
        assert FixedFormat.parse(value["input_format"]) == info.input_format
        assert (tuple(value["shape"]), len(value["class_names"])) == (info.shape, info.classes)
        assert value == dataset_json(info)
