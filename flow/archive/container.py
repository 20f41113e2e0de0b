"""The archive itself: a zip file with ``config.json``, ``metadata.json`` and ``model.weights.h5``, all untrusted."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError

MAX_CONFIG = 1 << 24
"""Most bytes of a JSON file accepted; ResNet-152 has half a megabyte."""
MAX_WEIGHTS = 1 << 28
"""Most bytes of the file of weights accepted: ``MAX_NUMBERS`` with Adam's two moments."""
MAX_NUMBERS = 1 << 24
"""Most weights read, far more than fits an FPGA; a file may state any number of them without having any."""
MAX_CHUNK = 1 << 24
"""Most bytes of a piece that weights are packed in; h5py makes pieces of at most a megabyte."""
MAX_CONTENTS = 1 << 20
"""Most bytes of the archive's list of files, of which Keras writes three."""
MAX_RANK = 8
_TRUNCATED = "it is damaged or was not written to its end"


@dataclass(frozen=True)
class Container:
    """What an archive holds: the configuration of the model, the version of Keras it names, the bytes of weights."""

    path: Path
    config: dict[str, Any]
    keras_version: str
    weights: bytes


def open_container(path: Path) -> Container:
    """Read a ``.keras`` file. Raises InputError, in one line, for one that is missing, damaged, too large or another
    kind of file."""
    if path.suffix != ".keras":
        raise InputError(f"{path}: only .keras files are read; save the model with model.save('NAME.keras')")
    try:
        with path.open("rb") as file, zipfile.ZipFile(cast(BinaryIO, _Contents(file, path))) as archive:
            names = set(archive.namelist())
            missing = {"config.json", "metadata.json", "model.weights.h5"} - names
            if missing:
                raise InputError(f"{path}: not a Keras model: no {sorted(missing)[0]} in it")
            metadata = _json(archive, "metadata.json", path)
            config = _json(archive, "config.json", path)
            weights = _member(archive, "model.weights.h5", MAX_WEIGHTS, path)
    except OSError as error:
        raise InputError(f"cannot read model {path}: {error.strerror or _TRUNCATED}") from error
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        what = "not a zip archive" if "not a zip" in str(error) else _TRUNCATED
        raise InputError(f"{path}: not a Keras model: {what}") from error
    except (NotImplementedError, RuntimeError, ValueError) as error:  # encrypted, unknown compression, bad names
        raise InputError(f"{path}: not a Keras model: {error}") from error
    version = str(metadata.get("keras_version", "?"))[:40]
    if not version.startswith("3."):
        raise InputError(f"{path}: written by Keras {version}: load it with Keras 3 and save it again")
    return Container(path, config, version, weights)


class _Contents:
    """A file of which zipfile reads the list of what is in it, which it does in one go, only if it is short."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.seek, self.tell, self.close = file.seek, file.tell, file.close
        self.seekable = file.seekable
        self._file, self._path = file, path

    def read(self, size: int = -1) -> bytes:
        """As the file does. Raises InputError for more than any archive of Keras makes necessary."""
        if size > MAX_CONTENTS:
            raise InputError(
                f"{self._path}: not a Keras model: its list of files is larger than {MAX_CONTENTS:,} bytes"
            )
        return self._file.read(size)


def _member(archive: zipfile.ZipFile, name: str, most: int, path: Path) -> bytes:
    """The bytes of one file of the archive; what it says of its size is not believed."""
    too_large = InputError(f"{path}: its {name} is larger than {most:,} bytes")
    if archive.getinfo(name).file_size > most:
        raise too_large
    with archive.open(name) as file:
        data = bytearray()
        while part := file.read(MAX_CONTENTS):
            data += part
            if len(data) > most:
                raise too_large
    return bytes(data)


def _json(archive: zipfile.ZipFile, name: str, path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} in it")

    try:
        value = json.loads(_member(archive, name, MAX_CONFIG, path), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{path}: its {name} is not valid JSON: {reason}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: its {name} is not valid: expected a mapping, found {type(value).__name__}")
    return value


class Weights:
    """The variables in ``model.weights.h5``. Links to other files, virtual data sets and external storage are refused,
    and in all at most ``MAX_NUMBERS`` of them are read. Use it as a context manager.
    """

    def __init__(self, container: Container) -> None:
        self.path, self.left = container.path, MAX_NUMBERS
        self._data = container.weights

    def __enter__(self) -> Weights:
        import h5py

        try:
            self._file: Any = h5py.File(io.BytesIO(self._data), "r")
        except Exception as error:  # h5py raises whatever the library's parser runs into
            raise InputError(f"{self.path}: its model.weights.h5 cannot be read: {_TRUNCATED}") from error
        return self

    def __exit__(self, *what: object) -> None:
        self._file.close()

    def read(self, group: str, layer: str, shapes: list[tuple[int, ...]]) -> list[NDArray[np.float32]]:
        """The first variables of a group such as ``layers/dense``; ``layer`` is whose they are.

        Raises InputError if there are fewer, or if they have other shapes than the configuration says.
        """
        found: list[NDArray[np.float32]] = []
        for number, shape in enumerate(shapes):
            try:
                found.append(self._array(f"{group}/vars/{number}", layer, shape))
            except InputError:
                raise
            except Exception as error:  # h5py raises whatever the library's parser runs into
                raise InputError(f"{self.path}: the weights of layer {layer} cannot be read: {_TRUNCATED}") from error
        return found

    def _array(self, name: str, layer: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        import h5py

        item: Any = self._file
        for part in name.split("/"):
            if not isinstance(item, h5py.Group) or item.get(part, getlink=True) is None:
                raise InputError(f"{self.path}: the weights of layer {layer} are missing")
            if not isinstance(item.get(part, getlink=True), h5py.HardLink):
                raise InputError(f"{self.path}: the weights of layer {layer} are a link, which is not followed")
            item = item[part]
        if not isinstance(item, h5py.Dataset) or len(item.shape) > MAX_RANK:
            raise InputError(f"{self.path}: the weights of layer {layer} are not arrays")
        if item.is_virtual or item.external:
            raise InputError(f"{self.path}: the weights of layer {layer} are in another file, which is not read")
        if item.shape != shape:
            raise InputError(f"{self.path}: layer {layer} has weights of shape {item.shape}, its configuration {shape}")
        if item.dtype.kind not in "fiu" or item.dtype.itemsize > 8:
            raise InputError(f"{self.path}: layer {layer} has weights of type {item.dtype}, which is not supported")
        self.left -= int(item.size)
        if self.left < 0:
            raise InputError(f"{self.path}: it has more than {MAX_NUMBERS:,} weights")
        if math.prod(item.chunks or ()) * item.dtype.itemsize > MAX_CHUNK:
            raise InputError(f"{self.path}: the weights of layer {layer} are packed in pieces of {item.chunks}")
        with np.errstate(over="ignore"):  # what is infinite then is refused by whoever reads it
            return np.asarray(item[()], dtype=np.float32)
