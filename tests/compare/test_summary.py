"""A comparison says wins only where the spread over seeds allows it, and counts what found nothing as guessing."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from flow.compare.page import chart_of, page_text, spread, write_page
from flow.compare.summary import sentences, summarize, verdict
from flow.errors import InputError


def result(lut: float, mode: str, seed: int, test: float | None, **more: Any) -> dict[str, Any]:
    """One search; ``test`` None: it found nothing."""
    winner = None if test is None else {"test": test, "lut": lut / 2}
    return {
        "dataset": "digits", "title": "digits", "board": "pynq-z2", "space": "cnn-small", "sampler": "tpe",
        "lut": lut, "fps": 1000.0, "mode": mode, "seed": seed, "guess": 0.1, "seconds": 30.0, "epochs": 590,
        "epochs_total": 600, "samples": 1078, "candidates": 14 + seed, "passed_over": 0,
        "hypervolume": 0.0 if test is None else test / 2, "winner": winner, **more,
    }  # fmt: skip


TESTS: dict[float, dict[str, list[float | None]]] = {
    3000: {"joint": [0.90, 0.92, 0.91], "separate": [None, None, None], "random": [0.91, 0.93, 0.90]},
    9000: {"joint": [0.90, 0.91, 0.92], "separate": [0.95, 0.96, 0.97], "random": [0.7, 0.99, 0.8]},
}
RESULTS = [
    result(lut, mode, seed, test, passed_over=4 if test is None else 0)
    for lut, modes in TESTS.items()
    for mode, tests in modes.items()
    for seed, test in enumerate(tests)
]


def test_the_verdict_is_the_interval_of_a_paired_t_test() -> None:
    found = verdict("separate", [0.02, 0.04, 0.03])
    assert found.difference == pytest.approx(0.03)
    # Standard deviation 0.01, t of 2 degrees of freedom 4.303.
    assert found.high - found.difference == pytest.approx(4.303 * 0.01 / math.sqrt(3))
    assert found.says == "wins"
    assert verdict("separate", [-0.02, -0.04, -0.03]).says == "loses"
    assert verdict("separate", [0.02, -0.01, 0.03]).says == "ties"
    assert verdict("separate", [0.01, 0.0]).high == pytest.approx(0.005 + 12.706 * 0.005)
    many = verdict("x", [0.01 * (-1) ** n for n in range(40)])
    assert many.high == pytest.approx(1.96 * 0.01 * math.sqrt(40 / 39) / math.sqrt(40))
    with pytest.raises(InputError, match="1 seed is too few"):
        verdict("separate", [0.02])


def test_joint_wins_ties_and_loses_where_the_numbers_say_so() -> None:
    (summary,) = summarize(RESULTS)
    assert summary.seeds == (0, 1, 2)
    assert [row.lut for row in summary.rows] == [3000, 9000]
    says = [{v.other: v.says for v in row.verdicts} for row in summary.rows]
    assert says == [{"separate": "wins", "random": "ties"}, {"separate": "loses", "random": "ties"}]
    assert summary.rows[0].cells["separate"].found == 0
    assert summary.rows[0].cells["separate"].tests == (0.1, 0.1, 0.1), "finding nothing is no better than guessing"
    assert sentences(summary) == [
        "digits: joint wins at 3,000 LUT, loses at 9,000 LUT, beside separate.",
        "digits: joint ties at 3,000 and 9,000 LUT, beside a joint search that draws at random.",
        "digits: separate finds nothing that fits in 3 of 3 searches at 3,000 LUT.",
    ]


def test_seeds_are_paired_even_if_one_mode_has_fewer() -> None:
    kept = [r for r in RESULTS if not (r["mode"] == "random" and r["seed"] == 0)]
    (summary,) = summarize(kept)
    (found,) = (v for v in summary.rows[0].verdicts if v.other == "random")
    assert found.difference == pytest.approx(((0.92 - 0.93) + (0.91 - 0.90)) / 2)


def test_nothing_and_a_comparison_without_joint_are_refused() -> None:
    with pytest.raises(InputError, match="nothing to compare"):
        summarize([])
    with pytest.raises(InputError, match="mode joint is missing"):
        summarize([r for r in RESULTS if r["mode"] != "joint"])


def test_the_page_has_command_time_data_every_number_and_a_picture(tmp_path: Path) -> None:
    path = write_page(RESULTS, "flow compare --seeds 3", tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "`flow compare --seeds 3`: 18 searches, 9 minutes with one training process, 270 candidates." in text
    assert "joint wins at 3,000 LUT, loses at 9,000 LUT, beside separate." in text
    assert "600 epochs x 1,078 samples, of which 590 to 590" in text
    rows = [line for line in text.splitlines() if re.match(r"\| [39],000", line)]
    assert len(rows) == 6
    assert "| 3,000 | separate | 0.1000 ± 0.0000 | 0 of 3 | - |" in text
    assert "joint loses" in next(r for r in rows if r.startswith("| 9,000 | separate"))
    assert "fit with no formats: 4 at 3,000 LUT (seed 0); 4 at 3,000 LUT (seed 1); 4 at 3,000 LUT (seed 2)." in text
    picture = tmp_path / "images" / "compare-digits.svg"
    assert f"images/{picture.name}" in text
    drawn = ElementTree.fromstring(picture.read_text(encoding="utf-8"))  # noqa: S314  (our own text)
    dots = [e for e in drawn.iter() if e.tag.endswith("circle")]
    assert len(dots) == len(RESULTS)


def test_a_mode_that_was_left_out_at_one_limit_leaves_a_gap() -> None:
    kept = [r for r in RESULTS if r["mode"] != "random" or r["lut"] == 3000]
    (summary,) = summarize(kept)
    chart = chart_of(summary)
    (random,) = (s for s in chart.series if s.name == "random")
    assert [p is None for p in random.points] == [False, True]
    assert "| 9,000 | random" not in page_text([summary], kept, "flow compare")
    assert spread([0.5]) == "0.5000 ± 0.0000"
