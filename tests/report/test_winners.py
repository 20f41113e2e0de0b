"""Tables of winners: aligned, at most 120 columns, sources apart, and unknown never printed as 0."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.report.run_view import RunView, Winner, load_run
from flow.report.winners import (
    WIDTH,
    accuracy,
    amount,
    architecture,
    by_source,
    duration,
    interval,
    percent,
    scarcest,
    shorten,
    significant,
    source_text,
    winners_table,
)
from flow.resources import Measurement, Resources
from flow.space.candidate import Candidate, LayerChoice
from tests.report.builder import build_run, candidate, measurement

BOARD = Resources(53200, 106400, 280, 0, 220)
LARGE = Resources(1728000, 3456000, 5376, 1280, 12288)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return load_run(build_run(tmp_path_factory.mktemp("runs") / "run", trials=40, winners=6))


def winner(name: str = "w1", *measurements: Measurement, **changes: Any) -> Winner:
    """A winner of some network with the measurements."""
    rng = random.Random(name)
    c = candidate(rng)
    made = Winner(
        name, c.digest, c, {}, 0.9, 0.85, 1000.0, 5.0, 100.0, measurements or (measurement(rng, 1234.0),), raw={}
    )
    return dataclasses.replace(made, **changes)


# Numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "?"), (0, "0"), (0.4, "0"), (999.6, "1,000"), (1234567, "1,234,567"), (-1, "-1")],
)
def test_amounts_are_whole_and_grouped(value: float | None, text: str) -> None:
    assert amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "?"), (0.0, "0"), (0.00001234, "0.0000123"), (2.2, "2.2"), (8.529, "8.53"), (99.94, "99.9"),
        (99.96, "100"), (999.9, "1,000"), (641025.6, "641,026"), (1e9, "1,000,000,000"),
    ],
)  # fmt: skip
def test_three_digits_are_enough_and_never_an_exponent(value: float | None, text: str) -> None:
    assert significant(value) == text


@given(value=st.floats(1e-12, 1e12))
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    text = significant(value)
    assert re.fullmatch(r"[\d,]+(\.\d+)?", text)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "?"), (0.0, "0.0%"), (0.0123, "1.2%"), (0.0996, "10%"), (0.27, "27%"), (1.0, "100%"), (1.25, "125%"),
        (float("inf"), ">999%"),
    ],
)  # fmt: skip
def test_shares_are_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (float("inf"), "?"),
        (-3, "0:00"),
        (59.6, "1:00"),
        (125, "2:05"),
        (3600, "1:00:00"),
        (90061, "25:01:01"),
    ],
)
def test_times_are_read_like_a_clock(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_an_accuracy_has_four_digits() -> None:
    assert (accuracy(None), accuracy(0.97164), accuracy(1.0)) == ("?", "0.9716", "1.0000")


def test_an_interval_stands_beside_its_number() -> None:
    m = measurement(random.Random(1), 1000.0)
    assert interval(m) == "1,000 [720-1,410]"
    assert interval(dataclasses.replace(m, low=Resources())) == "1,000 [?-1,410]"
    assert interval(dataclasses.replace(m, low=Resources(), high=Resources())) == "1,000"
    assert interval(m, "uram") == "?"
    assert interval(measurement(random.Random(1), 987654.0)) == "987,654 [711k-1,393k]"


def test_the_scarcest_resource_is_the_one_with_the_largest_share() -> None:
    assert scarcest(Resources(5320, 10640, 0, 0, 110), BOARD) == ("dsp", 0.5)
    assert scarcest(Resources(lut=5320), BOARD) == ("lut", 0.1)
    assert scarcest(Resources(), BOARD) is None
    assert scarcest(Resources(lut=1), None) is None


def test_a_measurement_says_where_it_comes_from() -> None:
    m = measurement(random.Random(1), 1000.0)
    assert source_text(m) == "predicted (uncalibrated), flow-structural 0.1.0, xc7z020clg400-1, 100 MHz"
    hls = dataclasses.replace(m, source="hls", tool="vivado_hls", version="2019.2", note="", clock_mhz=142.857)
    assert source_text(hls) == "hls, vivado_hls 2019.2, xc7z020clg400-1, 142.857 MHz"


@given(text=st.text(max_size=30), width=st.integers(1, 20))
def test_shortening_marks_the_cut(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width or short == text
    assert short == text or (short[-1] == "…" and text.startswith(short[:-1]))


# Networks


def test_a_network_is_one_readable_line() -> None:
    w4, t, a3 = WeightFormat.parse("fixed<4,1>"), WeightFormat.parse("ternary"), FixedFormat(3, 1, signed=False)
    made = Candidate(
        (8, 8, 1),
        FixedFormat(4, 0, signed=False),
        10,
        (
            LayerChoice("conv2d", 8, w4, a3, (3, 3), pool=2),
            LayerChoice("depthwise", 0, t, a3, (3, 5), (2, 2), residual=True),
            LayerChoice("conv2d", 4, w4, a3, (1, 1), (1, 2), concat=(0,)),
            LayerChoice("dense", 32, t, a3),
        ),
        WeightFormat.parse("fixed<6,1>"),
    )
    assert architecture(made) == (
        "conv3x3x8 w4 a3 -> pool2 -> depthwise3x5 stride2 ternary a3 +skip -> conv1x1x4 stride1x2 w4 a3 +concat(1)"
        " -> flatten -> dense32 ternary a3 -> dense10 w6"
    )


def test_the_head_stands_before_the_output_where_no_dense_layer_precedes_it() -> None:
    conv = LayerChoice("conv2d", 8, WeightFormat.parse("binary"), FixedFormat(2, 1, signed=False), (3, 3))
    images = Candidate((8, 8, 1), FixedFormat(4, 0), 10, (conv,), WeightFormat.parse("ternary"), head="gap")
    assert architecture(images) == "conv3x3x8 binary a2 -> gap -> dense10 ternary"
    assert architecture(Candidate((16,), FixedFormat(8, 3), 5, (), WeightFormat.parse("ternary"))) == "dense5 ternary"


# Tables


def test_the_table_shows_every_winner_with_its_numbers(view: RunView) -> None:
    lines = winners_table(view, BOARD).splitlines()
    assert lines[0] == "source: predicted (uncalibrated), flow-structural 0.1.0, xc7z020clg400-1, 100 MHz"
    assert lines[1].split() == "id val acc test acc LUT [low-high] FF BRAM18 DSP inf/s latency us of board".split()
    for line, w in zip(lines[3:], view.winners, strict=False):
        m = w.measurements[-1]
        assert line.split()[0] == w.id
        assert accuracy(w.validation) in line
        assert f" {interval(m)} " in line
        assert f" {amount(m.resources.dsp)} " in line
        assert significant(m.throughput_per_s) in line
    assert [line.split()[0] for line in lines[-len(view.winners) :]] == [w.id for w in view.winners]


def test_columns_line_up(view: RunView) -> None:
    head, rule, *rows = winners_table(view, BOARD).split("\n\n")[0].splitlines()[1:]
    starts = [m.start() for m in re.finditer(r"(?<=  )-|^-", rule)]
    assert len(starts) == 10
    for line in (head, *rows):
        for start in starts[1:]:
            assert line[start - 2 : start] == "  "


def test_what_is_unknown_is_a_question_mark_and_never_zero() -> None:
    m = Measurement("hls", "vitis_hls", "2023.2", "xck26", 100.0, Resources(lut=500))
    row = winners_table([winner("w1", m, test=None, validation=None)], BOARD).splitlines()[3]
    assert row.split() == ["w1", "?", "?", "500", "?", "?", "?", "?", "?", "0.9%", "LUT"]
    nothing = dataclasses.replace(m, resources=Resources())
    row = winners_table([winner("w1", nothing)], None).splitlines()[3]
    assert row.split() == ["w1", "0.9000", "0.8500", *"????????"][: len(row.split())]
    assert "0" not in row.replace("0.9000", "").replace("0.8500", "")


def test_numbers_of_different_sources_never_share_a_table() -> None:
    predicted = measurement(random.Random(1), 1000.0)
    routed = dataclasses.replace(predicted, source="routed", tool="vivado", version="2020.1", low=Resources(), note="")
    newer = dataclasses.replace(predicted, resources=Resources(lut=1100))
    rows = [winner("w1", predicted, routed, newer), winner("w2", predicted)]
    groups = by_source(rows)
    assert [title.split()[1].strip(",") for title, _ in groups] == ["predicted", "routed"]
    assert [[w.id for w, _ in pairs] for _, pairs in groups] == [["w1", "w2"], ["w1"]]
    assert groups[0][1][0][1] is newer, "the newest of a source counts"
    text = winners_table(rows, BOARD)
    blocks = text.split("\n\n")
    assert len(blocks) == 3
    assert "1,100" in blocks[0]
    assert "1,100" not in blocks[1]
    assert blocks[1].startswith("source: routed, vivado 2020.1")


def test_a_measured_design_does_not_borrow_the_predicted_time() -> None:
    routed = Measurement("routed", "vivado", "2020.1", "p", 100.0, Resources(lut=900))
    row = winners_table([winner("w1", routed, throughput_per_s=777.0, latency_us=7.7)], BOARD).splitlines()[3]
    assert "777" not in row
    assert "7.7" not in row


def test_ultraram_has_a_column_only_where_there_is_some() -> None:
    assert "URAM" not in winners_table([winner()], BOARD)
    assert "URAM" in winners_table([winner()], LARGE)
    used = dataclasses.replace(measurement(random.Random(2), 10.0), resources=Resources(10, 10, 0, 3, 0))
    assert "URAM" in winners_table([winner("w1", used)], None)


def test_no_line_is_longer_than_120_columns() -> None:
    rng = random.Random(7)
    rows = []
    for i, lut in enumerate((1234567.0, 987654.0, 12.0)):
        m = measurement(rng, lut)
        m = dataclasses.replace(m, resources=Resources(lut, 3.4e6, 5376, 1280, 12288), clock_mhz=333.333333)
        rows.append(winner(f"w{i + 1}" if i else "a-very-long-name-of-a-winner", m))
    for board in (LARGE, BOARD, None):
        text = winners_table(rows, board)
        assert max(map(len, text.splitlines())) <= WIDTH, text


def test_entries_of_the_file_are_shown_as_they_are(view: RunView) -> None:
    raw = json.loads((Path(view.path) / "winners.json").read_text())["winners"]
    assert winners_table(raw, BOARD) == winners_table(view, BOARD)
    with pytest.raises(InputError, match=r"winners\[1\]: id must be"):
        winners_table([raw[0], {**raw[1], "id": None}], BOARD)


def test_without_winners_it_says_so() -> None:
    assert winners_table([], BOARD) == "no winners"


def test_every_amount_has_its_interval_where_it_is_predicted() -> None:
    predicted = dataclasses.replace(
        measurement(random.Random(0), 1234.0), low=Resources(900, 1100, 2, 0, 1), high=Resources(1600, 2100, 7, 0, 9)
    )
    text = winners_table([winner("w1", predicted)], BOARD)
    for name in ("ff", "bram18", "dsp"):
        assert interval(predicted, name) in text
    assert "[1,100-2,100]" in text
    measured = dataclasses.replace(predicted, source="synthesized", low=Resources(), high=Resources())
    assert "low and high end" not in winners_table([winner("w1", measured)], BOARD)
