"""Data sets: digits, mnist, cifar10, jets, and .npz files with x_train, y_train[, x_test, y_test].

The format of the inputs belongs to the data set: every value that training sees lies on the grid of
``info.input_format``, so that the hardware reads exactly the numbers the network was trained on. Parts that a
file does not bring are split off its training samples, stratified, with a seed of their own.
Files are kept in $FLOW_DATA or ~/.cache/fpga-nas-flow. ``prepare.input_rule`` says how the values of a file
are scaled.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flow.errors import InputError, unknown_name
from flow.network.datasets.named import NAMED, load_named
from flow.network.datasets.types import SPLIT_SEED, Dataset, DatasetInfo, class_weights

if TYPE_CHECKING:
    from flow.network.datasets.arrays import RawData
    from flow.network.datasets.prepare import InputRule, Splits

__all__ = [
    "SPLIT_SEED", "Dataset", "DatasetInfo", "class_weights", "dataset_info", "list_datasets", "load_dataset",
]  # fmt: skip


def list_datasets() -> list[DatasetInfo]:
    """The data sets that have a name."""
    return list(NAMED.values())


def dataset_info(name_or_path: str | os.PathLike[str]) -> DatasetInfo:
    """The description of a data set, without loading a named one. An .npz file is read and checked.

    Raises InputError for an unknown name or a wrong file.
    """
    path = _file(name_or_path)
    if path is None:
        return NAMED[str(name_or_path)]
    from flow.network.datasets.arrays import read_npz
    from flow.network.datasets.prepare import input_rule, make_splits

    raw = read_npz(path)
    return _describe(str(name_or_path), path, raw, input_rule(raw), make_splits(raw))


def load_dataset(name_or_path: str | os.PathLike[str], cache_dir: Path | str | None = None) -> Dataset:
    """A data set ready for training; the same arrays every time.

    name_or_path: a name of :func:`list_datasets` or the path of an .npz file. cache_dir: for $FLOW_DATA.
    Raises InputError for an unknown name or a wrong file, ToolError if a file can't be found or downloaded.
    """
    path = _file(name_or_path)
    if path is None:
        return load_named(str(name_or_path), cache_dir)
    from flow.network.datasets.arrays import read_npz
    from flow.network.datasets.prepare import build, input_rule, make_splits

    raw = read_npz(path)
    rule, splits = input_rule(raw), make_splits(raw)
    return build(_describe(str(name_or_path), path, raw, rule, splits), raw, rule, splits)


def _file(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The path that is meant, or None for a known name. Raises InputError for anything else."""
    text = os.fspath(name_or_path)
    if text in NAMED:
        return None
    if not text.lower().endswith(".npz") and not any(s in text for s in ("/", os.sep)):
        raise unknown_name("data set", text, NAMED)
    if not text.lower().endswith(".npz"):
        raise InputError(f"{text}: a data set file is an .npz with x_train, y_train")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"cannot read data set {text}: no home folder") from error


def _describe(name: str, path: Path, raw: RawData, rule: InputRule, splits: Splits) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        title=raw.title or path.stem,
        shape=raw.shape,
        classes=raw.classes,
        input_format=rule.format,
        class_names=raw.class_names or tuple(str(c) for c in range(raw.classes)),
        source=raw.source or f"{path.name}, a file of the user",
        split=splits.text,
        preparation=rule.text,
    )
