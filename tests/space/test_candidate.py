"""A candidate is one immutable point with a canonical form; a damaged file names the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.space.candidate import Candidate, LayerChoice, load_candidate

CONV = LayerChoice("conv2d", 8, WeightFormat.parse("fixed<4,1>"), FixedFormat.parse("ufixed<4,2>"), (3, 3), pool=2)
DENSE = LayerChoice("dense", 32, WeightFormat.parse("ternary"), FixedFormat.parse("ufixed<3,1>"))
CANDIDATE = Candidate((8, 8, 1), FixedFormat.parse("ufixed<5,1>"), 10, (CONV, DENSE), WeightFormat.parse("fixed<4,1>"))


def test_json_round_trip_keeps_candidate_and_digest() -> None:
    again = Candidate.from_dict(json.loads(CANDIDATE.canonical_json()))
    assert again == CANDIDATE
    assert again.digest == CANDIDATE.digest


def test_digest_depends_on_content_only() -> None:
    other = Candidate((8, 8, 1), FixedFormat.parse("ufixed<5,1>"), 10, (CONV,), WeightFormat.parse("fixed<4,1>"))
    assert other.digest != CANDIDATE.digest
    shuffled = dict(reversed(list(CANDIDATE.to_dict().items())))
    assert Candidate.from_dict(shuffled).digest == CANDIDATE.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 1}, "classes must be a whole number from 2"),
        ({"classes": True}, "classes must be a whole number"),
        ({"schema": 9}, "schema 9 is not supported"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"head": "none"}, "head must be one of flatten, gap"),
        ({"input_shape": [8, 8]}, "input_shape must be a list of 1 or 3 numbers"),
        ({"input_shape": [8, 8, -1]}, "input_shape must be a whole number from 1"),
        ({"input_format": "fixed<0,0>"}, "width must be 1 to 64"),
        ({"output_weight": "ufixed<4,1>"}, "weights are signed"),
        ({"layers": {}}, "layers must be a list"),
        ({"layers": [3]}, "layers[0]: expected a mapping"),
        ({"layers": [{**CANDIDATE.to_dict()["layers"][0], "units": 0}]}, "layers[0]: units must be"),
        ({"layers": [{**CANDIDATE.to_dict()["layers"][0], "kernel": [3]}]}, "layers[0]: kernel must be"),
        ({"layers": [{**CANDIDATE.to_dict()["layers"][0], "residual": 1}]}, "residual must be true or false"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Candidate.from_dict({**CANDIDATE.to_dict(), **change}, "file.json")
    assert str(caught.value).startswith("file.json")
    assert message in str(caught.value)


def test_a_missing_field_is_named() -> None:
    data = CANDIDATE.to_dict()
    del data["layers"]
    with pytest.raises(InputError, match="field 'layers' is missing"):
        Candidate.from_dict(data)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read candidate"):
        load_candidate(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"schema": 1,\n oops')
    with pytest.raises(InputError, match=r"bad\.json:2: not valid JSON"):
        load_candidate(tmp_path / "bad.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        load_candidate(tmp_path / "deep.json")
