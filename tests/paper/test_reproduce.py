"""``flow reproduce iccad19``: claimed, paper and corrected side by side, and columns that others add."""

from __future__ import annotations

import json

import pytest

from flow.errors import InputError
from flow.network import build_network
from flow.paper.candidates import to_candidate
from flow.paper.logged import LoggedDesign
from flow.paper.reproduce import Column, Values, reproduce, reproduce_text


def test_what_was_claimed_stands_beside_the_model_and_its_correction() -> None:
    data = json.loads(json.dumps(reproduce(), allow_nan=False))
    assert [d["name"] for d in data["designs"]] == ["D", "E", "F"]
    figures = {
        (d["name"], column): (values["lut"], values.get("lut_resident"))
        for d in data["designs"]
        for column, values in d["values"].items()
        if column != "corrected, re-tiled"
    }
    assert figures == {
        ("D", "claimed"): (29_904, None),
        ("D", "paper"): (29_904, 105_024),
        ("D", "corrected"): (71_376, 195_624),
        ("E", "claimed"): (94_496, None),
        ("E", "paper"): (94_496, 279_996),
        ("E", "corrected"): (226_624, 646_572),
        ("F", "claimed"): (299_860, None),
        ("F", "paper"): (299_860, 299_860),
        ("F", "corrected"): (491_584, 491_584),
    }
    rates = [round(d["values"]["paper"]["images_per_s"], 4) for d in data["designs"]]
    assert rates == [1293.1926, 1042.4485, 2088.5547]


def test_the_published_tiles_break_the_limits_once_corrected_and_other_tiles_keep_them() -> None:
    for design in reproduce()["designs"]:
        assert design["fits"] == {"claimed": True, "paper": True, "corrected": False, "corrected, re-tiled": True}
        again = design["values"]["corrected, re-tiled"]
        assert again["lut_least"] <= again["lut"] <= design["limits"]["lut"]
        assert again["lut_least"] <= again["lut_least_resident"]
        assert design["values"]["corrected"]["lut_dense"] > 0


def test_every_column_says_where_its_numbers_come_from() -> None:
    data = reproduce()
    assert [(c["name"], c["source"]) for c in data["columns"]] == [
        ("claimed", "claimed"),
        ("paper", "modelled"),
        ("corrected", "modelled"),
        ("corrected, re-tiled", "modelled"),
    ]
    text = reproduce_text()
    assert text.count("\nsource ") == 3
    for expected in ("29,904", "71,376", "1,293.2", "195,624", "226,624", "491,584", "(3,48)(12,48)|(16,36)"):
        assert expected in text
    assert "corrected: same tiles and groups" in text


def test_another_backend_adds_its_column() -> None:
    def priced(logged: LoggedDesign) -> Values:
        return {"lut": build_network(to_candidate(logged.design)).macs / 1e3, "images_per_s": None, "dsp": 12}

    column = Column("ours", "predicted", priced, "hls4ml, structural model")
    data = reproduce([column])
    assert data["columns"][-1] == {"name": "ours", "source": "predicted", "note": "hls4ml, structural model"}
    assert data["designs"][0]["values"]["ours"]["dsp"] == 12
    assert data["designs"][0]["fits"]["ours"] is None
    lines = reproduce_text([column]).splitlines()
    (row, *_) = (line for line in lines if line.startswith("dsp"))
    assert row.split() == ["dsp", "-", "-", "-", "-", "12"]
    (last, *_) = (line for line in lines if line.startswith("keeps its limits"))
    assert last.split()[-5:] == ["yes", "yes", "no", "yes", "-"]
    assert lines[-1] == "ours: hls4ml, structural model"


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="same name"):
        reproduce([Column("paper", "modelled", lambda logged: {})])
