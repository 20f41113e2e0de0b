"""Reading and checking the arrays of an .npz file. Nothing in it is trusted; pickled arrays are refused."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat

MAX_INPUT_WIDTH = 24
"""Widest input format: float32 holds every code of 24 bits exactly (its significand, IEEE 754)."""

_PARTS = ("train", "val", "test")
_OPTIONAL = ("input_format", "title", "source", "class_names")
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, tokenize.TokenError, EOFError, OSError, NotImplementedError, RuntimeError,
    KeyError, ValueError, SyntaxError, TypeError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class RawData:
    """Checked arrays in the user's units. x: numbers (samples, *shape); y: (samples,), 0 to classes - 1."""

    where: str
    x: dict[str, NDArray[Any]]  # by "train", "val", "test"; the last two may be missing
    y: dict[str, NDArray[np.int64]]
    classes: int
    input_format: FixedFormat | None = None
    title: str | None = None
    source: str | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (height, width, channels) or (features,)."""
        return tuple(self.x["train"].shape[1:])


def read_npz(path: Path) -> RawData:
    """The checked contents of an .npz file. Raises InputError, one line that names the file and the array."""
    return check_arrays(_load(path), str(path))


def check_arrays(arrays: Mapping[str, NDArray[Any]], where: str) -> RawData:
    """Check x_train, y_train and, in pairs, x_val, y_val, x_test, y_test; and the optional descriptions.

    x is (samples, features), (samples, height, width) or (samples, height, width, channels); y holds the
    labels 0 to n - 1, as (samples,), (samples, 1) or one-hot (samples, n). Raises InputError.
    """
    for part in _PARTS:
        missing = [k for k in (f"x_{part}", f"y_{part}") if k not in arrays]
        if missing and (part == "train" or len(missing) == 1):
            found = ", ".join(sorted(arrays)[:8]) or "nothing"
            raise InputError(f"{where}: array {missing[0]} is missing (found: {found})")
    parts = [part for part in _PARTS if f"x_{part}" in arrays]
    x = {part: _samples(arrays[f"x_{part}"], where, f"x_{part}") for part in parts}
    y = {part: _labels(arrays[f"y_{part}"], where, f"y_{part}") for part in parts}
    shape = x["train"].shape[1:]
    for part in parts:
        if x[part].shape[1:] != shape:
            raise InputError(f"{where}: samples of x_{part} have shape {x[part].shape[1:]}, those of x_train {shape}")
        if len(x[part]) != len(y[part]):
            raise InputError(f"{where}: x_{part} has {len(x[part])} samples but y_{part} has {len(y[part])} labels")
    if x["train"].min() == x["train"].max():
        raise InputError(f"{where}: every value of x_train is {x['train'].flat[0]}: there is nothing to learn from")
    for part in parts[1:]:
        if np.array_equal(x["train"], x[part]):
            raise InputError(f"{where}: x_{part} is the same as x_train: keep them apart, or leave x_{part} out")
    classes = _classes(y, where)
    return RawData(
        where, x, y, classes,
        input_format=_format(arrays["input_format"], where) if "input_format" in arrays else None,
        title=_texts(arrays, "title", where, 1)[0] if "title" in arrays else None,
        source=_texts(arrays, "source", where, 1)[0] if "source" in arrays else None,
        class_names=_texts(arrays, "class_names", where, classes) if "class_names" in arrays else None,
    )  # fmt: skip


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read data set {path}: {reason}") from error
    if magic != b"PK\x03\x04":
        raise InputError(f"{path}: not an .npz file: write one with numpy.savez(path, x_train=..., y_train=...)")
    wanted = [f"{axis}_{part}" for part in _PARTS for axis in "xy"] + list(_OPTIONAL)
    key = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.empty(0) for name in archive.files if name not in wanted}
            for key in (name for name in archive.files if name in wanted):
                arrays[key] = archive[key]
    except MemoryError as error:
        raise InputError(f"{path}: array {key} does not fit in memory") from error
    except _DAMAGE as error:
        if "allow_pickle" in str(error):
            raise InputError(f"{path}: array {key} holds Python objects, which are refused: save numbers") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: damaged .npz file{f', array {key}' if key else ''}: {reason}") from error
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise InputError(f"{path}: damaged .npz file: {name} is not an array")
    return arrays


def _samples(x: NDArray[Any], where: str, key: str) -> NDArray[Any]:
    if x.dtype.kind not in "biuf":
        raise InputError(f"{where}: {key} has type {x.dtype}: expected real numbers")
    if not 2 <= x.ndim <= 4:
        raise InputError(
            f"{where}: {key} has rank {x.ndim}: expected (samples, features), (samples, height, width) "
            "or (samples, height, width, channels)"
        )
    if 0 in x.shape:
        raise InputError(f"{where}: {key} is empty, shape {x.shape}")
    if x.dtype.kind == "f":
        if not np.isfinite(x).all():
            raise InputError(f"{where}: {key} holds NaN or infinity: remove or replace those samples")
        if max(abs(float(x.min())), abs(float(x.max()))) > float(np.finfo(np.float32).max):
            raise InputError(f"{where}: {key} holds values beyond the range of 32-bit floats")
    return x[..., np.newaxis] if x.ndim == 3 else x


def _labels(y: NDArray[Any], where: str, key: str) -> NDArray[Any]:
    if y.dtype.kind not in "biuf":
        raise InputError(f"{where}: {key} has type {y.dtype}: labels are the integers 0 to n - 1")
    if y.size == 0 or y.ndim not in (1, 2):
        raise InputError(f"{where}: {key} has shape {y.shape}: expected (samples,) or one-hot (samples, classes)")
    if y.ndim == 2 and y.shape[1] > 1:
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1, dtype=np.float64) == 1).all()):
            raise InputError(f"{where}: {key} is not one-hot: every row needs exactly one 1 among zeros")
        y = np.argmax(y, axis=1)
    labels = y.reshape(-1)
    if y.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise InputError(f"{where}: {key} holds labels that are not integers: expected the classes 0 to n - 1")
    return labels


def _classes(y: dict[str, NDArray[Any]], where: str) -> int:
    """Number of classes; makes the labels in ``y`` int64. Every class must occur in the training labels."""
    found = np.unique(y["train"])
    if len(found) < 2:
        raise InputError(f"{where}: y_train has a single class, {found[0]}: at least 2 are needed")
    if not np.array_equal(found, np.arange(len(found))):
        some = ", ".join(str(v) for v in found[:6]) + (", ..." if len(found) > 6 else "")
        raise InputError(f"{where}: y_train has the labels {some}: renumber them 0 to {len(found) - 1}")
    for part, labels in y.items():
        strange = labels[(labels < 0) | (labels >= len(found))] if labels.dtype.kind != "b" else labels[:0]
        if len(strange):
            raise InputError(f"{where}: y_{part} has label {strange[0]}, y_train only 0 to {len(found) - 1}")
        y[part] = labels.astype(np.int64)
    return len(found)


def _format(value: NDArray[Any], where: str) -> FixedFormat:
    if value.shape != (3,) or value.dtype.kind not in "biuf" or not (np.isfinite(value).all()):
        raise InputError(f"{where}: input_format must be the 3 numbers [width, integer bits, signed]")
    width, integer, signed = (float(v) for v in value)
    if not (width.is_integer() and integer.is_integer() and signed in (0, 1)):
        raise InputError(
            f"{where}: input_format [{width:g}, {integer:g}, {signed:g}]: expected integers, signed 0 or 1"
        )
    if not 1 <= width <= MAX_INPUT_WIDTH or abs(integer) > 64:
        raise InputError(f"{where}: input_format: width {width:g} must be 1 to {MAX_INPUT_WIDTH} bits")
    return FixedFormat(int(width), int(integer), bool(signed))


def _texts(arrays: Mapping[str, NDArray[Any]], key: str, where: str, count: int) -> tuple[str, ...]:
    value = arrays[key]
    texts = tuple(str(v) for v in value.reshape(-1))
    if value.dtype.kind != "U" or len(texts) != count or not all(t.isprintable() and 0 < len(t) <= 200 for t in texts):
        raise InputError(f"{where}: {key} must hold {count} printable text(s) of 1 to 200 characters")
    return texts
