"""The cache folder of data sets, and what fills it when the machine is online."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import tarfile
import urllib.error
import urllib.request
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError, MissingDependency, ToolError
from flow.fileio import write_atomic

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
"""As in keras.datasets.mnist (keras 3)."""

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
"""The binary version: the Python one is a pickle. Checksum as in TensorFlow Datasets and MLDatasets.jl."""

JETS_ID = 42468
"""OpenML's number of hls4ml_lhc_jets_hlf."""

JETS_CLASSES = ("g", "q", "t", "w", "z")
"""In the order of sklearn's LabelEncoder, which hls4ml's tutorial uses."""

_TIMEOUT_S = 30  # without any byte
_MAX_BYTES = 400_000_000

Arrays = dict[str, NDArray[Any]]


def cache_folder(cache_dir: Path | str | None = None) -> Path:
    """``cache_dir``, else $FLOW_DATA, else ~/.cache/fpga-nas-flow. Raises InputError if there is no home."""
    chosen = cache_dir or os.environ.get("FLOW_DATA") or "~/.cache/fpga-nas-flow"
    try:
        return Path(chosen).expanduser()
    except RuntimeError as error:
        raise InputError("no folder to keep data sets in: set FLOW_DATA to one") from error


def cached_file(name: str, contents: str, folder: Path) -> Path:
    """The file of a named data set in ``folder``, downloaded first if it is not there.

    contents: the arrays it must hold, for the message. Raises ToolError if it can't be downloaded or written.
    """
    path = folder / f"{name}.npz"
    if path.exists():
        return path
    try:
        arrays = _DOWNLOADS[name]()
    except (OSError, http.client.HTTPException, ValueError, tarfile.TarError, EOFError, zlib.error) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ToolError(
            f"data set {name} is not at {path} and could not be downloaded ({str(reason).splitlines()[0]}): "
            f"put a file there with {contents}, or set FLOW_DATA to the folder that has it"
        ) from error
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stubs: the keyword allow_pickle
    write_atomic(path, buffer.getvalue())
    return path


def _fetch(url: str, sha256: str) -> bytes:
    """The bytes at ``url``. Raises OSError (URLError too), or ValueError if they are others than expected."""
    digest, data = hashlib.sha256(), bytearray()
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310  # the addresses above
        while chunk := response.read(1 << 20):
            digest.update(chunk)
            data += chunk
            if len(data) > _MAX_BYTES:
                raise ValueError(f"{url} is larger than expected")
    if digest.hexdigest() != sha256:
        raise ValueError(f"{url} has another checksum than expected")
    return bytes(data)


def _mnist() -> Arrays:
    with np.load(io.BytesIO(_fetch(MNIST_URL, MNIST_SHA256)), allow_pickle=False) as archive:
        arrays: Arrays = {key: archive[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    return {**arrays, "source": np.array(MNIST_URL)}


def _cifar10() -> Arrays:
    return {**unpack_cifar10(_fetch(CIFAR10_URL, CIFAR10_SHA256)), "source": np.array(CIFAR10_URL)}


def unpack_cifar10(archive: bytes) -> Arrays:
    """Arrays of the binary version: each record is 1 byte label, then 3 x 32 x 32 bytes, channels first.

    Raises ValueError if a batch is missing or of the wrong size. Format: https://www.cs.toronto.edu/~kriz/cifar.html
    """
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    batches = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            file = tar.extractfile(member) if name in names and member.isfile() else None
            if file is not None:
                batches[name] = np.frombuffer(file.read(), np.uint8)
    if list(names) != sorted(batches) or any(len(b) == 0 or len(b) % 3073 for b in batches.values()):
        raise ValueError("the CIFAR-10 archive does not hold the six batches it should")
    arrays = {}
    for part, chosen in (("train", names[:5]), ("test", names[5:])):
        records = np.concatenate([batches[name] for name in chosen]).reshape(-1, 3073)
        arrays[f"y_{part}"] = records[:, 0].copy()
        arrays[f"x_{part}"] = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return arrays


def _jets() -> Arrays:
    try:
        from sklearn.datasets import fetch_openml
    except ImportError as error:
        raise MissingDependency("scikit-learn", "search") from error
    # liac-arff: needs no pandas; checks the checksum OpenML gives
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one line a retry; the error that remains is ours to tell
        found = fetch_openml(data_id=JETS_ID, as_frame=False, parser="liac-arff", cache=False, n_retries=2)
    names, labels = np.unique(np.asarray(found.target, dtype=str), return_inverse=True)
    if tuple(names) != JETS_CLASSES:
        raise ValueError(f"OpenML data set {JETS_ID} has the classes {', '.join(names)}")
    return {
        "x_train": np.asarray(found.data, dtype=np.float32),
        "y_train": labels.reshape(-1).astype(np.uint8),
        "class_names": np.array(JETS_CLASSES),
        "source": np.array(f"OpenML {JETS_ID}, hls4ml_lhc_jets_hlf"),
    }


_DOWNLOADS: dict[str, Callable[[], Arrays]] = {"mnist": _mnist, "cifar10": _cifar10, "jets": _jets}
