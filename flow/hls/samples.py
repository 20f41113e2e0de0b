"""Samples that a project is tested with, as input codes: of a data set, of a user's file, or drawn at random."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import IntArray, QuantizedNetwork
from flow.network.quantized_reference import encode

if TYPE_CHECKING:
    from flow.network.datasets import Dataset

NAMES = ("x", "x_val", "x_test", "x_train")
"""Arrays of an .npz file that samples are taken from, the first that is there."""
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, SyntaxError,
    TypeError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Samples:
    """Input codes of shape (n, *input_shape), and what they are in words."""

    codes: IntArray
    text: str


def random_samples(network: QuantizedNetwork, count: int) -> Samples:
    """Codes drawn at random from the whole input format, the same for the same network; the first sample is all the
    least, the second all the largest code."""
    rng = np.random.default_rng(int(network.digest, 16))
    of = network.input_format
    codes = rng.integers(of.low, of.high, size=(count, *network.input_shape), endpoint=True)
    codes[:1], codes[1:2] = of.low, of.high
    return Samples(codes, f"{count} random inputs of {of}, no data")


def dataset_samples(dataset: Dataset, network: QuantizedNetwork, count: int) -> Samples:
    """The first samples of a data set's validation split. Raises InputError if they are not the network's inputs."""
    info = dataset.info
    if info.shape != network.input_shape or info.input_format != network.input_format:
        raise InputError(
            f"data set {info.name} has inputs {info.shape} of {info.input_format}, "
            f"the network {network.input_shape} of {network.input_format}"
        )
    x = dataset.x_val[:count]
    return Samples(encode(x, info.input_format), f"{len(x)} samples of {info.name}, validation split")


def file_samples(path: Path, network: QuantizedNetwork, count: int) -> Samples:
    """The first samples of an .npz file, whose values are what the model takes, rounded to the input format.

    What rounding and clipping change is said in ``text``. Raises InputError for a file without fitting numbers.
    """
    name, values = _array(path)
    if values.ndim < 2 or not len(values):
        raise InputError(f"{path}: {name} has shape {values.shape}, expected (samples, {_words(network.input_shape)})")
    if values.shape[1:] != network.input_shape and int(np.prod(values.shape[1:])) == int(np.prod(network.input_shape)):
        values = values.reshape(len(values), *network.input_shape)  # images without a channel, or flat ones
    if values.shape[1:] != network.input_shape:
        raise InputError(
            f"{path}: samples of {name} have shape {values.shape[1:]}, the model takes {network.input_shape}"
        )
    x = values[:count].astype(np.float64)
    if not np.isfinite(x).all():
        raise InputError(f"{path}: {name} holds NaN or infinity")
    return Samples(encode(x, network.input_format), f"{len(x)} samples of {path.name}, {_fit(x, network.input_format)}")


def _fit(x: NDArray[np.float64], to: FixedFormat) -> str:
    """What becomes of values in a format."""
    low, high = to.low * to.step, to.high * to.step
    outside = float(((x < low - to.step / 2) | (x > high + to.step / 2)).mean())
    off = float(np.abs(np.clip(np.rint(x / to.step), to.low, to.high) * to.step - np.clip(x, low, high)).max())
    rounded = "exact" if off == 0 else f"rounded by at most {off:.2g}"
    clipped = f", {outside:.1%} of the values clipped to {low:g} to {high:g}" if outside else ""
    return f"{rounded} as {to}{clipped}"


def _array(path: Path) -> tuple[str, NDArray[Any]]:
    """The array of samples in a file. Nothing in it is trusted; pickled arrays are refused."""
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path}: samples are read from an .npz: write one with numpy.savez(path, x=...)")
    try:
        with np.load(path, allow_pickle=False) as archive:
            name = next((n for n in NAMES if n in archive.files), None)
            if name is None and len(archive.files) == 1:
                name = archive.files[0]
            if name is None:
                found = ", ".join(sorted(archive.files)[:8]) or "nothing"
                raise InputError(f"{path}: no array of samples ({', '.join(NAMES)}) in it, found {found}")
            values = archive[name]
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read samples {path}: {error.strerror or 'not an .npz file'}") from error
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not an .npz file of numbers: {reason}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise InputError(f"{path}: {name} is no array of real numbers")
    return name, values


def _words(shape: tuple[int, ...]) -> str:
    return ", ".join(str(n) for n in shape)
