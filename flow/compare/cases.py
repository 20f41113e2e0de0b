"""What is compared: data sets, each with its limits from tight to loose, and the searches under each of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError, unknown_name
from flow.fileio import write_atomic
from flow.network.datasets import load_dataset
from flow.network.datasets.download import cache_folder
from flow.search.settings import SearchSettings

MODES = {"joint": "joint", "separate": "separate", "nested": "nested", "random": "joint"}
"""What is compared, by the mode of its searches: ``random`` is a joint search that draws uniformly."""


@dataclass(frozen=True)
class Study:
    """One data set: its space, limits ``(lut, fps)``, epochs on both rungs and of all trainings of a search together.

    ``samples``: training, validation and test samples that are taken of the data set, None for all.
    """

    dataset: str
    space: str
    limits: tuple[tuple[float, float], ...]
    epochs: tuple[int, int]
    epochs_total: int
    samples: tuple[int, int, int] | None = None
    modes: tuple[str, ...] = tuple(MODES)

    @property
    def title(self) -> str:
        """The data set, for people."""
        if self.samples is None:
            return self.dataset
        return f"{self.dataset}, reduced to {self.samples[0]:,} training samples"


STUDIES = {
    study.dataset: study
    for study in (
        Study("digits", "cnn-small", ((3_500, 1000), (6_000, 1000), (12_000, 1000), (32_000, 1000)), (10, 40), 600),
        Study("mnist", "cnn-small", ((5_000, 1000), (12_000, 1000), (30_000, 1000)), (3, 10), 120, (3000, 1000, 5000),
              ("joint", "separate", "random")),
        Study("cifar10", "cnn-small", ((6_000, 1000), (14_000, 1000), (32_000, 1000)), (4, 12), 144,
              (3000, 1000, 5000), ("joint", "separate", "random")),
    )
}  # fmt: skip
"""Chosen so that all of it, three seeds each, takes about an hour (see docs/compare.md)."""


@dataclass(frozen=True)
class Case:
    """One search. ``data``: what the search takes as its data set, the name or the reduced file."""

    study: Study
    data: str
    board: str
    sampler: str
    lut: float
    fps: float
    mode: str
    seed: int

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.study.dataset}-{self.lut:.0f}-{self.fps:.0f}-{self.mode}-{self.seed}"

    def settings(self) -> SearchSettings:
        """The settings of the search; only the training budget ends it, never the clock on the wall."""
        short, full = self.study.epochs
        return SearchSettings(
            board=self.board,
            dataset=self.data,
            space=self.study.space,
            lut=self.lut,
            fps=self.fps,
            trials=100_000,
            time_s=1e9,
            seed=self.seed,
            sampler="random" if self.mode == "random" else self.sampler,
            mode=MODES[self.mode],
            jobs=1,
            epochs_short=short,
            epochs_full=full,
            epochs_total=self.study.epochs_total,
            estimator_only=True,
        )


def cases_of(
    study: Study, data: str, board: str, sampler: str, seeds: Sequence[int], modes: Sequence[str] | None = None
) -> list[Case]:
    """The searches of a study: one seed after the other, so that what is there early has all limits and modes."""
    return [
        Case(study, data, board, sampler, lut, fps, mode, seed)
        for seed in seeds
        for lut, fps in study.limits
        for mode in study.modes
        if modes is None or mode in modes
    ]


def study_of(dataset: str) -> Study:
    """A study by the name of its data set. Raises InputError."""
    if dataset not in STUDIES:
        raise unknown_name("data set to compare on", dataset, STUDIES)
    return STUDIES[dataset]


def is_there(dataset: str) -> bool:
    """Whether a data set needs no download: the digits, or a file in the data folder."""
    return dataset == "digits" or (cache_folder() / f"{dataset}.npz").is_file()


def prepared(study: Study, folder: Path) -> str:
    """What a search takes as the data set of a study: its name, or a file of fewer samples written to ``folder``.

    The samples are the first of each class, in equal shares: always the same. Raises InputError and ToolError.
    """
    if study.samples is None:
        return study.dataset
    path = folder / f"{study.dataset}-{'-'.join(map(str, study.samples))}.npz"
    if not path.is_file():
        data = load_dataset(study.dataset)
        form = data.info.input_format
        arrays: dict[str, NDArray[Any]] = {
            "input_format": np.array([form.width, form.integer, int(form.signed)]),
            "title": np.array(study.title),
            "source": np.array(data.info.source),
        }
        for part, count in zip(("train", "val", "test"), study.samples, strict=True):
            x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
            rows = first_of_each(y, count // data.info.classes)
            arrays[f"x_{part}"], arrays[f"y_{part}"] = x[rows], y[rows]
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stubs: the keyword allow_pickle
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())
    return str(path)


def first_of_each(y: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of the first ``count`` samples of every class, ascending. Raises InputError if one has fewer."""
    rows = [np.flatnonzero(y == label)[:count] for label in range(int(y.max()) + 1)]
    if count < 1 or any(len(r) < count for r in rows):
        raise InputError(f"the data set has fewer than {count} samples of a class")
    return np.sort(np.concatenate(rows))
