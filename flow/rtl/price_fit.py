"""Prices fitted to synthesized samples, and how far they are from networks that were held out."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.rtl.features import Facts
from flow.rtl.price import PRICED, Floats, Prices, group_of, terms_of

FLOOR = 8.0
"""LUTs or flip-flops below which an error counts as one of these: parts of a few do not decide anything."""
FOLDS = 5
STEPS = 400
LEAST = 3
"""Samples a group needs to be priced."""


@dataclass(frozen=True)
class Sample:
    """A synthesized part of a network (its number) and what it takes."""

    network: int
    facts: Facts
    used: dict[str, float]
    tool: str
    version: str


def read_samples(path: Path) -> list[Sample]:
    """The samples of a file. Raises InputError if it is damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            Sample(int(row["network"]), Facts.from_dict(row),
                   {name: float(row[name]) for name in ("lut", "ff", "bram18", "dsp")}, row["tool"], row["version"])
            for row in rows
        ]  # fmt: skip
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged samples: {error!r}") from error


def non_negative(terms: Floats, values: Floats) -> Floats:
    """Coefficients of least squares, none below zero; by coordinate descent. ``terms``: (samples, terms)."""
    scale = np.sqrt((terms**2).sum(axis=0))
    used = np.flatnonzero(scale > 0)
    scaled = terms[:, used] / scale[used]
    gram = scaled.T @ scaled + 1e-6 * np.eye(len(used))
    target, found = scaled.T @ values, np.zeros(len(used))
    for _ in range(STEPS):
        for i in range(len(used)):
            found[i] = max(found[i] + (target[i] - gram[i] @ found) / gram[i, i], 0.0)
    out = np.zeros(terms.shape[1])
    out[used] = found / scale[used]
    return out


def coefficients(samples: Sequence[Sample]) -> dict[str, dict[str, tuple[float, ...]]]:
    """By resource and group, fitted to relative errors."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[group_of(sample.facts)].append(sample)
    found: dict[str, dict[str, tuple[float, ...]]] = {name: {} for name in PRICED}
    for group, members in sorted(groups.items()):
        if len(members) < LEAST:
            continue
        terms = np.array([terms_of(sample.facts) for sample in members])
        for name in PRICED:
            values = np.array([sample.used[name] for sample in members])
            weight = 1 / (values + FLOOR)
            fitted = non_negative(terms * weight[:, None], values * weight)
            found[name][group] = tuple(float(f"{c:.6g}") for c in fitted)
    return found


@dataclass(frozen=True)
class HeldOut:
    """Predicted and measured amounts of a resource: of parts, and of networks, all of which were held out.

    Parts of kinds that the others had too few of are left out; so are networks with one.
    """

    groups: NDArray[np.str_]
    parts: Floats
    networks: Floats


def held_out(samples: Sequence[Sample], name: str) -> HeldOut:
    """Cross-validation with whole networks held out; ``name`` is the resource."""
    places = np.array([sample.network % FOLDS for sample in samples])
    groups: list[str] = []
    parts: list[tuple[float, float]] = []
    totals: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for place in range(FOLDS):
        fitted = coefficients([s for s, at in zip(samples, places, strict=True) if at != place])[name]
        for sample in (s for s, at in zip(samples, places, strict=True) if at == place):
            group = group_of(sample.facts)
            known = fitted.get(group)
            predicted = float("nan") if known is None else float(terms_of(sample.facts) @ np.array(known))
            totals[sample.network][0] += predicted
            totals[sample.network][1] += sample.used[name]
            if known is not None:
                groups.append(group)
                parts.append((predicted, sample.used[name]))
    whole = np.array([t for t in totals.values() if np.isfinite(t[0])]).reshape(-1, 2)
    return HeldOut(np.array(groups, dtype=np.str_), np.array(parts).reshape(-1, 2), whole)


def fit(samples: Sequence[Sample], family: str) -> Prices:
    """Prices of all samples, their spread that of networks held out. Raises InputError for too few."""
    if len(samples) < 10 * FOLDS:
        raise InputError(f"{len(samples)} samples are too few to fit prices to: make more with rtl_samples.py")
    spread = {}
    for name in PRICED:
        totals = held_out(samples, name).networks
        ratio = totals[:, 1] / np.maximum(totals[:, 0], 1.0)
        low, high = np.quantile(ratio[totals[:, 1] > FLOOR], (0.05, 0.95))
        spread[name] = (min(round(float(low), 4), 1.0), max(round(float(high), 4), 1.0))
    counts = dict(sorted(Counter(group_of(sample.facts) for sample in samples).items()))
    return Prices(family, counts, coefficients(samples), spread, samples[0].tool, samples[0].version)
