"""What a comparison says: means with their spread, and where one mode is better than another, by a rule stated once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow.errors import InputError

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093)  # fmt: skip
"""Two-sided 95% quantiles of Student's t for 1, 2, ... degrees of freedom; 1.96 beyond."""

RULE = (
    "A mode is better at a limit if the 95% interval of the mean difference in test accuracy, paired by seed, is all "
    "on its side (Student's t); else it is a tie, which says no more than that these seeds do not tell the two apart. "
    "A search that finds nothing counts as guessing."
)

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """The searches of one mode under one limit, by seed. ``tests``: accuracies, guessing where nothing was found."""

    mode: str
    tests: tuple[float, ...]
    found: int
    luts: tuple[float, ...]
    areas: tuple[float, ...]
    passed_over: tuple[int, ...]
    candidates: tuple[int, ...]
    epochs: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """``joint`` beside another mode: the mean difference of test accuracies, its 95% interval, and what that says."""

    other: str
    difference: float
    low: float
    high: float

    @property
    def says(self) -> str:
        """wins, loses or ties."""
        return "wins" if self.low > 0 else "loses" if self.high < 0 else "ties"


@dataclass(frozen=True)
class Row:
    """All modes under one limit of one data set."""

    lut: float
    fps: float
    cells: Mapping[str, Cell]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Summary:
    """One data set: ``rows`` from tight to loose."""

    dataset: str
    title: str
    first: Result
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]


def summarize(results: Sequence[Result]) -> list[Summary]:
    """Results by data set, in the order they come. Raises InputError for none, and where ``joint`` is missing."""
    if not results:
        raise InputError("there is nothing to compare yet")
    summaries = []
    for dataset in dict.fromkeys(r["dataset"] for r in results):
        own = [r for r in results if r["dataset"] == dataset]
        limits = sorted({(float(r["lut"]), float(r["fps"])) for r in own})
        modes = list(dict.fromkeys(r["mode"] for r in own))
        if "joint" not in modes:
            raise InputError(f"{dataset}: the mode joint is missing, with which the others are compared")
        seeds = tuple(sorted({int(r["seed"]) for r in own}))
        summaries.append(
            Summary(dataset, own[0]["title"], own[0], seeds, tuple(_row(own, *at, modes) for at in limits))
        )
    return summaries


def _row(results: Sequence[Result], lut: float, fps: float, modes: Sequence[str]) -> Row:
    cells = {}
    by_seed: dict[str, dict[int, float]] = {}
    for mode in modes:
        chosen = [r for r in results if r["mode"] == mode and float(r["lut"]) == lut and float(r["fps"]) == fps]
        chosen = sorted(chosen, key=lambda r: int(r["seed"]))
        if not chosen:
            continue
        winners = [r["winner"] for r in chosen]
        tests = tuple(float(w["test"]) if w else float(r["guess"]) for r, w in zip(chosen, winners, strict=True))
        by_seed[mode] = {int(r["seed"]): t for r, t in zip(chosen, tests, strict=True)}
        cells[mode] = Cell(
            mode=mode,
            tests=tests,
            found=sum(w is not None for w in winners),
            luts=tuple(float(w["lut"]) for w in winners if w),
            areas=tuple(float(r["hypervolume"]) for r in chosen),
            passed_over=tuple(int(r["passed_over"]) for r in chosen),
            candidates=tuple(int(r["candidates"]) for r in chosen),
            epochs=tuple(int(r["epochs"]) for r in chosen),
        )
    verdicts = []
    for mode in modes:
        common = sorted(by_seed.get("joint", {}).keys() & by_seed.get(mode, {}).keys())
        if mode != "joint" and len(common) > 1:
            verdicts.append(verdict(mode, [by_seed["joint"][s] - by_seed[mode][s] for s in common]))
    return Row(lut, fps, cells, tuple(verdicts))


def verdict(other: str, differences: Sequence[float]) -> Verdict:
    """The verdict of paired differences (joint less other). Raises InputError for fewer than two."""
    count = len(differences)
    if count < 2:
        raise InputError(f"{count} seed is too few to compare: at least 2")
    mean = sum(differences) / count
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / (count - 1))
    t = T_95[count - 2] if count - 2 < len(T_95) else 1.96
    half = t * deviation / math.sqrt(count)
    return Verdict(other, mean, mean - half, mean + half)


def sentences(summary: Summary) -> list[str]:
    """Where joint wins, ties and loses, beside each other mode; and which modes found nothing where."""
    others = list(dict.fromkeys(v.other for row in summary.rows for v in row.verdicts))
    found = []
    for other in others:
        by_word: dict[str, list[str]] = {}
        for row in summary.rows:
            for v in row.verdicts:
                if v.other == other:
                    by_word.setdefault(v.says, []).append(f"{row.lut:,.0f}")
        parts = [f"{word} at {_listed(by_word[word])} LUT" for word in ("wins", "ties", "loses") if word in by_word]
        beside = "a joint search that draws at random" if other == "random" else other
        found.append(f"{summary.title}: joint {', '.join(parts)}, beside {beside}.")
    for mode in dict.fromkeys(m for row in summary.rows for m in row.cells):
        cells = [(row.lut, row.cells[mode]) for row in summary.rows if mode in row.cells]
        lost = [f"{len(c.tests) - c.found} of {len(c.tests)} searches at {lut:,.0f} LUT"
                for lut, c in cells if c.found < len(c.tests)]  # fmt: skip
        if lost:
            found.append(f"{summary.title}: {mode} finds nothing that fits in {_listed(lost)}.")
    return found


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
