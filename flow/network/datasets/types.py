"""What a data set is: its description, and its arrays on the grid of its input format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow.errors import InputError
from flow.network.fixed import FixedFormat

if TYPE_CHECKING:  # describing a named data set must not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    LabelArray = NDArray[np.int64]
    AnyArray = NDArray[Any]
else:
    FloatArray = LabelArray = AnyArray = Any

SPLIT_SEED = 0
"""Seed of every split made here. It is not the seed of a search: all searches see the same samples."""


@dataclass(frozen=True)
class DatasetInfo:
    """A data set without its arrays."""

    name: str  # what load_dataset takes: a name, or the path of an .npz file
    title: str  # for people, e.g. "MNIST"
    shape: tuple[int, ...]  # of one sample: (height, width, channels) or (features,)
    classes: int  # labels are 0 to classes - 1
    input_format: FixedFormat  # every value of x lies on its grid
    class_names: tuple[str, ...]  # one a class
    source: str  # where it comes from, and its licence where known
    split: str  # how many samples are for what, and how they were chosen
    preparation: str  # what turned the raw values into values of the input format


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set ready for training.

    x: float32 (samples, *info.shape), every value on the grid of info.input_format; y: int64 (samples,).
    ``x = round_to_format((raw - offset) * scale)``: offset and scale are float64 and broadcast over a sample,
    so that a host program can prepare new samples in the same way.
    fingerprint: sha256 of the input format and all arrays.
    """

    info: DatasetInfo
    x_train: FloatArray
    y_train: LabelArray
    x_val: FloatArray
    y_val: LabelArray
    x_test: FloatArray
    y_test: LabelArray
    offset: AnyArray
    scale: AnyArray
    fingerprint: str


def class_weights(y: LabelArray, classes: int) -> dict[int, float]:
    """Balanced weights: samples / (classes * samples of the class), so that every class weighs the same.

    y: integer labels (samples,) from 0 to classes - 1. Raises InputError if a class has no sample.
    """
    import numpy as np

    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or classes < 2:
        raise InputError("class weights need a vector of integer labels and at least 2 classes")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise InputError(f"class weights: labels go from {labels.min()} to {labels.max()}, not 0 to {classes - 1}")
    counts = np.bincount(labels.astype(np.int64), minlength=classes)
    if not counts.all():
        raise InputError(f"class weights: class {int(np.argmin(counts))} has no sample")
    return {c: len(labels) / (classes * int(count)) for c, count in enumerate(counts)}
