"""Saving and loading of QuantizedNetworks: one .npz file with the codes and a network.json, no pickle.

The same network always gives the same bytes. Loading trusts nothing: every field is checked, sizes are limited by
what the JSON declares, and the digest must fit.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.fileio import write_atomic
from flow.network.fixed import FixedFormat, format_from_json
from flow.network.quantized import (
    OPS,
    Codes,
    Inexact,
    QuantizedLayer,
    QuantizedNetwork,
    Rounding,
    Saturation,
    check_name,
)

SCHEMA = 1
MAX_CODES = 1 << 28
"""Most codes accepted in one array of a file."""
MAX_JSON = 1 << 26
"""Most bytes of network.json accepted."""
_CONSTANTS = ("weight", "bias", "table")
_TYPES = (np.int8, np.int16, np.int32, np.int64)


def arrays_of(network: QuantizedNetwork) -> dict[str, Codes]:
    """All constants by the name they have in a file, ``LAYER.weight`` and so on, in order."""
    found = {}
    for layer in network:
        for name in _CONSTANTS:
            codes: Codes | None = getattr(layer, name)
            if codes is not None:
                found[f"{layer.name}.{name}"] = codes
    return found


def to_dict(network: QuantizedNetwork) -> dict[str, Any]:
    """JSON form without the codes themselves; formats as text."""
    layers = []
    for layer in network:
        item: dict[str, Any] = {
            "name": layer.name, "op": layer.op, "inputs": list(layer.inputs), "in_shape": list(layer.in_shape),
            "out_shape": list(layer.out_shape), "output": str(layer.output), "source": layer.source,
            "rounding": layer.rounding, "saturation": layer.saturation, "kernel": list(layer.kernel),
            "stride": list(layer.stride), "padding": [list(p) for p in layer.padding],
            "accumulator": None if layer.accumulator is None else str(layer.accumulator),
            "low": layer.low, "high": layer.high, "shift": layer.shift,
        }  # fmt: skip
        for name in _CONSTANTS:
            codes: Codes | None = getattr(layer, name)
            item[name] = codes and {
                "format": str(codes.format), "kind": codes.kind, "shape": list(codes.values.shape)
            }  # fmt: skip
        layers.append(item)
    return {
        "schema": SCHEMA,
        "input_name": network.input_name,
        "input_shape": list(network.input_shape),
        "input_format": str(network.input_format),
        "layers": layers,
        "inexact": [{"layer": i.layer, "reason": i.reason, "bound": i.bound} for i in network.inexact],
    }


def canonical_json(network: QuantizedNetwork) -> str:
    """The one JSON text of this network without its codes: sorted keys, no spaces."""
    return json.dumps(to_dict(network), sort_keys=True, separators=(",", ":"), allow_nan=False)


def save(network: QuantizedNetwork, path: Path) -> None:
    """Write the network to ``path`` (.npz), atomically. Raises ToolError if that fails."""
    write_atomic(path, to_bytes(network))


def to_bytes(network: QuantizedNetwork) -> bytes:
    """The content of a file that :func:`load` reads."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        meta = {**to_dict(network), "digest": network.digest}
        _add(archive, "network.json", (json.dumps(meta, sort_keys=True, indent=1) + "\n").encode())
        for name, codes in arrays_of(network).items():
            member = io.BytesIO()
            np.lib.format.write_array(member, _narrow(codes.values), allow_pickle=False)
            _add(archive, f"{name}.npy", member.getvalue())
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A ZipInfo made here has a fixed date: the same network gives the same bytes.
    archive.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)


def _narrow(values: NDArray[np.int64]) -> NDArray[Any]:
    """The codes in the narrowest integer type that holds them, little-endian."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    kind = next(t for t in _TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return values.astype(np.dtype(kind).newbyteorder("<"))


def load(path: Path) -> QuantizedNetwork:
    """The network saved in ``path``. Raises InputError with the file and what is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, str(path))
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: not a quantized network: {error}") from error


def _read(archive: zipfile.ZipFile, where: str) -> QuantizedNetwork:
    if "network.json" not in archive.namelist():
        raise InputError(f"{where}: not a quantized network: no network.json in it")
    text = _member(archive, "network.json", MAX_JSON)
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: network.json is not valid JSON: {error}") from error
    top = _Record(meta, where)
    if top.take("schema", int) != SCHEMA:
        raise InputError(f"{where}: schema {meta['schema']!r} is not known, this version reads {SCHEMA}")
    layers = tuple(_layer(raw, f"{where}: layers[{i}]", archive) for i, raw in enumerate(top.take("layers", list)))
    inexact = []
    for raw in top.take("inexact", list):
        item = _Record(raw, f"{where}: inexact")
        bound = item.take("bound", (int, float, type(None)))
        inexact.append(Inexact(item.take("layer", str), item.take("reason", str), bound))
    network = QuantizedNetwork(
        top.take("input_name", str), top.integers("input_shape"),
        format_from_json(top.take("input_format", str), where), layers, tuple(inexact),
    )  # fmt: skip
    if network.digest != top.take("digest", str):
        raise InputError(f"{where}: damaged: its content has digest {network.digest}, not {meta['digest']}")
    return network


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if archive.getinfo(name).file_size > limit:
        raise InputError(f"{archive.filename}: {name} is larger than {limit} bytes")
    return archive.read(name)


def _layer(raw: Any, where: str, archive: zipfile.ZipFile) -> QuantizedLayer:
    item = _Record(raw, where)
    name = item.take("name", str)
    check_name(name)
    accumulator = item.take("accumulator", (str, type(None)))
    return QuantizedLayer(
        name=name,
        op=item.one_of("op", OPS),
        inputs=item.integers("inputs", least=-1),
        in_shape=item.integers("in_shape", least=1),
        out_shape=item.integers("out_shape", least=1),
        output=item.format("output"),
        source=item.take("source", str),
        rounding=item.one_of("rounding", get_args(Rounding)),
        saturation=item.one_of("saturation", get_args(Saturation)),
        accumulator=None if accumulator is None else format_from_json(accumulator, where),
        kernel=item.integers("kernel", least=1),
        stride=item.integers("stride", least=1),
        padding=tuple(item.pair(p) for p in item.take("padding", list)),
        low=item.take("low", (int, type(None))),
        high=item.take("high", (int, type(None))),
        shift=item.take("shift", (int, type(None))),
        **{constant: _constant(item, constant, f"{name}.{constant}", archive) for constant in _CONSTANTS},
    )


def _constant(item: _Record, field: str, name: str, archive: zipfile.ZipFile) -> Codes | None:
    raw = item.take(field, (dict, type(None)))
    if raw is None:
        return None
    entry = _Record(raw, f"{item.where}: {field}")
    shape = entry.integers("shape")
    if math.prod(shape) > MAX_CODES:
        raise InputError(f"{entry.where}: {math.prod(shape):,} codes are more than the {MAX_CODES:,} accepted")
    if f"{name}.npy" not in archive.namelist():
        raise InputError(f"{entry.where}: {name}.npy is missing")
    data = _member(archive, f"{name}.npy", 8 * math.prod(shape) + 4096)
    values = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if values.shape != shape or values.dtype.kind != "i":
        raise InputError(f"{entry.where}: expected integers of shape {shape}, found {values.dtype} {values.shape}")
    kind = entry.one_of("kind", ("fixed", "binary", "ternary"))
    return Codes(values.astype(np.int64), entry.format("format"), kind)


class _Record:
    """Takes typed fields out of a mapping. Raises InputError naming the place."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise InputError(f"{where}: expected a mapping of fields, found {type(data).__name__}")
        self.data, self.where = data, where

    def take(self, name: str, kind: type | tuple[type, ...]) -> Any:
        value = self.data.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool) or name not in self.data:
            raise InputError(f"{self.where}: field {name!r} is missing or not of the right type: {value!r}")
        return value

    def integers(self, name: str, least: int = 0) -> tuple[int, ...]:
        values = self.take(name, list)
        if not all(isinstance(v, int) and not isinstance(v, bool) and least <= v <= MAX_CODES for v in values):
            raise InputError(f"{self.where}: {name} must be whole numbers from {least}, not {values!r}")
        return tuple(values)

    def pair(self, raw: Any) -> tuple[int, int]:
        first, second = _Record({"padding": raw}, self.where).integers("padding")
        return first, second

    def one_of(self, name: str, known: tuple[Any, ...]) -> Any:
        value = self.take(name, str)
        if value not in known:
            raise InputError(f"{self.where}: {name} must be one of {', '.join(known)}, not {value!r}")
        return value

    def format(self, name: str) -> FixedFormat:
        return format_from_json(self.take(name, str), f"{self.where}: {name}")
