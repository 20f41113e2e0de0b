"""A Gaussian process over codes of a search space: a sum of two kernels, hyperparameters by marginal likelihood.

One kernel compares decisions (neighbouring options of an ordered decision are near), the other what the networks are
(``flow.search.features``). Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from flow.space.space import Codes, SearchSpace

Floats = NDArray[np.float64]

SHARES = (0.0, 0.3, 0.7)
"""Share of the variance that the kernel over decisions has."""
CODE_LENGTHS = (1.0, 3.0, 9.0)
"""Length scales in decisions changed from one end to the other."""
FEATURE_LENGTHS = (1.0, 2.0, 4.0)
"""Length scales in standard deviations of the features."""
NOISES = (0.01, 0.05, 0.2)
"""Variance of the noise, as a share of all; trainings from other starts differ."""
MOST = 200
"""Points a model is fitted to at most: the best half and the latest half of them."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Codes as columns of numbers: ``ordered`` between 0 and 1, ``named`` as option indices, ``features`` scaled."""

    ordered: Floats
    named: Codes
    features: Floats

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: NDArray[np.int64]) -> Inputs:
        return Inputs(self.ordered[rows], self.named[rows], self.features[rows])

    def joined(self, other: Inputs) -> Inputs:
        pairs = zip(
            (self.ordered, self.named, self.features), (other.ordered, other.named, other.features), strict=True
        )
        return Inputs(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, eq=False)
class Process:
    """A fitted process; ``predict`` gives means and standard deviations at other inputs."""

    points: Inputs
    values: Floats  # standardised
    centre: float
    scale: float
    share: float
    code_length: float
    feature_length: float
    noise: float

    @staticmethod
    def inputs(space: SearchSpace, groups: Sequence[Codes], features: Callable[[Codes], Floats]) -> list[Inputs]:
        """Groups of codes as inputs, their features scaled together."""
        free = np.flatnonzero(space.sizes > 1)
        ordered = [c for c in free if space.decisions[c].ordered]
        named = [c for c in free if not space.decisions[c].ordered]
        every = np.concatenate(groups)
        found = features(every)
        spread = found.std(axis=0)
        found = (found - found.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
        whole = Inputs(every[:, ordered] / (space.sizes[ordered] - 1.0), every[:, named], found)
        ends = np.cumsum([len(g) for g in groups])
        return [whole.take(np.arange(end - len(group), end)) for end, group in zip(ends, groups, strict=True)]

    def predict(self, at: Inputs) -> tuple[Floats, Floats]:
        """Mean and standard deviation (noise left out) at each input."""
        between = kernel(distances(at, self.points), self.share, self.code_length, self.feature_length)
        own = kernel(distances(self.points, self.points), self.share, self.code_length, self.feature_length)
        root = np.linalg.cholesky(own + self.noise * np.eye(len(own)))
        half = np.linalg.solve(root, between.T)
        mean = half.T @ np.linalg.solve(root, self.values)
        variance = np.maximum(1.0 - (half**2).sum(axis=0), 1e-9)
        return self.centre + self.scale * mean, self.scale * np.sqrt(variance)

    def with_points(self, points: Inputs, values: Floats) -> Process:
        """The process with more points, hyperparameters as they are."""
        more = np.concatenate([self.values, (values - self.centre) / self.scale])
        return Process(
            self.points.joined(points), more, self.centre, self.scale, self.share, self.code_length,
            self.feature_length, self.noise,
        )  # fmt: skip


def distances(a: Inputs, b: Inputs) -> tuple[Floats, Floats]:
    """Distances between all of ``a`` and all of ``b``: of decisions (absolute), of features (squared mean)."""
    decisions = np.abs(a.ordered[:, None, :] - b.ordered[None, :, :]).sum(axis=2)
    decisions += (a.named[:, None, :] != b.named[None, :, :]).sum(axis=2)
    square = (a.features**2).sum(axis=1)[:, None] + (b.features**2).sum(axis=1)[None, :] - 2 * a.features @ b.features.T
    return decisions, np.maximum(square, 0.0) / max(a.features.shape[1], 1)


def kernel(found: tuple[Floats, Floats], share: float, code_length: float, feature_length: float) -> Floats:
    """Covariances of variance 1."""
    decisions, features = found
    return share * np.exp(-decisions / code_length) + (1 - share) * np.exp(-features / (2 * feature_length**2))


def fit(points: Inputs, values: Floats) -> Process:
    """The process of most likelihood over a grid of hyperparameters, at most MOST points."""
    if len(values) > MOST:
        best = np.argsort(-values, kind="stable")[: MOST // 2]
        latest = np.arange(len(values) - MOST // 2, len(values))
        rows = np.union1d(best, latest)
        points, values = points.take(rows), values[rows]
    centre, scale = float(values.mean()), float(max(values.std(), 1e-6))
    y = (values - centre) / scale
    found = distances(points, points)
    eye = np.eye(len(y))
    grid = list(product(SHARES, CODE_LENGTHS, FEATURE_LENGTHS))
    best_choice, best_likelihood = (*grid[0], NOISES[0]), -np.inf
    for share, code_length, feature_length in grid:
        if share == 0.0 and code_length != CODE_LENGTHS[0]:
            continue  # the same kernel again
        covariance = kernel(found, share, code_length, feature_length)
        for noise in NOISES:
            root = np.linalg.cholesky(covariance + noise * eye)
            half = np.linalg.solve(root, y)
            likelihood = float(-0.5 * half @ half - np.log(np.diag(root)).sum())
            if likelihood > best_likelihood:
                best_choice, best_likelihood = (share, code_length, feature_length, noise), likelihood
    return Process(points, y, centre, scale, *best_choice)
