"""What our own backends make of the paper's networks stands beside what was claimed for them."""

from __future__ import annotations

import json

import pytest

from flow.cli import main
from flow.estimate.models import names
from flow.paper.backends import hls4ml_column
from flow.paper.feasible import ALL_LIMITS
from flow.paper.logged import LOGGED
from flow.paper.reproduce import reproduce


@pytest.mark.parametrize("estimator", [n for n in names() if n != "paper"])
def test_hls4ml_meets_the_rate_and_its_luts_are_predicted_with_an_interval(estimator: str) -> None:
    column = hls4ml_column(estimator)
    assert column.source == "predicted"
    for logged in LOGGED:
        values = column.values(logged)
        assert (values["images_per_s"] or 0) >= logged.limits.throughput_per_s
        low, middle, high = (values[n] or 0 for n in ("LUTs, low end of 90%", "lut", "LUTs, high end of 90%"))
        assert 0 < low <= middle <= high


def test_a_column_of_the_papers_model_comes_near_the_corrected_one() -> None:
    """The same estimator contract, with the paper's hardware behind it: rounding and reuse factors aside."""
    data = reproduce([hls4ml_column("paper")])
    for design in data["designs"]:
        again = design["values"]["corrected, re-tiled"]["lut_least_resident"]
        assert 0.95 * again < design["values"]["hls4ml"]["lut"] < 1.6 * again
        assert design["values"]["hls4ml"]["FF"] is None


def test_shares_of_the_space_are_printed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "iccad19", "--shares", "64", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["feasible"]) == 3 * len(ALL_LIMITS)
    assert main(["reproduce", "iccad19"]) == 0
    text = capsys.readouterr().out
    assert "hls4ml" in text
    assert "Share of the space" not in text
    assert main(["reproduce", "iccad19", "--shares", "0"]) == 2
