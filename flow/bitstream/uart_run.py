"""Images through a board with a UART: which design it runs is asked, what comes back is compared and timed."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.bitstream.host.accelerator import Accelerator, load
from flow.bitstream.host.uart import UartError, UartLink, open_port
from flow.errors import InputError, ToolError
from flow.network.quantized import IntArray

RAW = ("x_test", "x", "images")
LABELS = ("y_test", "y", "labels")
TIMEOUT_S = 1.0
"""Longest wait for one answer, beside the time it takes over the line; each request is sent up to eight times."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Input codes of shape (n, *shape), labels and the right outputs where they are known, and where they are from."""

    codes: IntArray
    labels: IntArray | None
    expected: IntArray | None
    source: str


@dataclass(frozen=True)
class Ran:
    """What came back. ``wrong``: results that differ from the network's, None if that could not be compared.

    ``repeated``: requests that had to be sent again. Accuracies are None without labels.
    """

    folder: str
    board: str
    images: int
    source: str
    wrong: int | None
    accuracy: float | None
    expected_accuracy: float | None
    images_per_s: float
    repeated: int

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"board     {self.board}, {self.folder}", f"images    {self.images:,}: {self.source}"]
        if self.wrong is not None:
            lines.append(f"results   {self.images - self.wrong:,} of {self.images:,} bit for bit as computed here")
        if self.accuracy is not None:
            beside = "" if self.expected_accuracy is None else f" (computed here: {self.expected_accuracy:.4f})"
            lines.append(f"accuracy  {self.accuracy:.4f}{beside}")
        again = f"; {self.repeated:,} requests had to be sent again" if self.repeated else ""
        lines.append(f"speed     {self.images_per_s:,.1f} images/s, data transfer included{again}")
        return "\n".join(lines)


def find_folders(folder: Path | None, roots: Sequence[Path]) -> list[Path]:
    """The folders of bitstreams for boards with a UART: the one given, else all below ``roots``, the newest first.

    Raises InputError if there is none.
    """
    if folder is not None:
        for path in (folder, folder / "board"):
            if (path / "design.json").is_file():
                if _design(path)["link"]["kind"] != "uart":
                    raise InputError(f"{path} is for a board without a UART: run its notebook on the board")
                return [path]
        raise InputError(f"{folder} is no folder of a bitstream: design.json is missing")
    found: dict[Path, Path] = {}
    for path in (path.parent for root in roots for path in root.glob("*/board/design.json")):
        with contextlib.suppress(InputError):  # a damaged one is no reason not to run another
            if _design(path)["link"]["kind"] == "uart":
                found.setdefault(path.resolve(), path)
    if not found:
        raise InputError("no bitstream for a board with a UART here: `flow bitstream` makes one, or give --folder")
    return sorted(found.values(), key=lambda path: -(path / "design.json").stat().st_mtime)


def _design(folder: Path) -> dict[str, Any]:
    path = folder / "design.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if {"kind"} <= data["link"].keys() and {"id", "board", "input", "output", "prepare"} <= data.keys():
            return dict(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not the description of a bitstream") from error
    raise InputError(f"{path}: not the description of a bitstream")


def connect(port: str, folders: Sequence[Path], timeout_s: float = TIMEOUT_S) -> Accelerator:
    """The board at ``port``, with the folder whose design it says it runs.

    Raises InputError if none of ``folders`` is of that design, ToolError if no board answers.
    """
    designs = {folder: _design(folder) for folder in folders}
    problem = ""
    for baud in dict.fromkeys(int(design["link"]["baud"]) for design in designs.values()):
        try:
            opened = open_port(port, baud)
        except UartError as error:
            raise ToolError(str(error)) from error
        try:
            info = UartLink(opened, baud, timeout_s).info()
            for folder, design in designs.items():
                if design["id"] == info.design:
                    return load(folder, port=opened, timeout_s=timeout_s)
        except UartError as error:
            problem = f"{port}: {error}"
        except RuntimeError as error:
            opened.close()
            raise InputError(str(error)) from error
        except OSError as error:
            opened.close()
            raise ToolError(f"{port}: {error}") from error
        else:
            opened.close()
            looked = folders[0] if len(folders) == 1 else f"none of the {len(folders)} folders found"
            raise InputError(
                f"the board runs design {info.design}, {looked} is {'another' if len(folders) == 1 else 'that one'}: "
                "load its bitstream, or give the right --folder"
            )
        opened.close()
    raise ToolError(problem)


def recorded(net: Accelerator) -> Samples:
    """The test vectors that came with the bitstream."""
    return _from_file(net, net.folder / "vectors.npz")


def from_file(net: Accelerator, path: Path) -> Samples:
    """Images of an .npz: ``inputs`` (codes), or ``x_test``, ``x`` or ``images`` as the data set has them; labels too.

    Raises InputError for anything else.
    """
    return _from_file(net, path)


def _from_file(net: Accelerator, path: Path) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Mapping[str, Any] = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"{path}: not an .npz of arrays: {error}") from error
    except Exception as error:  # zipfile and zlib have their own
        raise InputError(f"{path}: damaged: {error}") from error
    raw = next((name for name in RAW if name in arrays), None)
    labels = next((arrays[name] for name in LABELS if name in arrays), None)
    if "inputs" in arrays:
        codes, expected = arrays["inputs"], arrays.get("outputs")
    elif raw is not None:
        codes, expected = _encoded(net, arrays[raw], path), None
    else:
        raise InputError(f"{path}: no array {', '.join(RAW)} or inputs in it, but {', '.join(arrays) or 'nothing'}")
    shape = net.input.shape
    if codes.shape[1:] != tuple(shape) or codes.dtype.kind not in "iu" or not len(codes):
        raise InputError(f"{path}: images of shape {codes.shape[1:]} ({codes.dtype}), the network takes {tuple(shape)}")
    if codes.min() < net.input.low or codes.max() > net.input.high:
        raise InputError(f"{path}: input codes go from {net.input.low} to {net.input.high}, not beyond")
    if labels is not None and labels.shape != (len(codes),):
        raise InputError(f"{path}: labels of shape {labels.shape} for {len(codes):,} images")
    return Samples(codes.astype(np.int64), labels, expected, str(path.name))


def _encoded(net: Accelerator, raw: Any, where: Path) -> Any:
    if raw.dtype.kind not in "iuf":
        raise InputError(f"{where}: images must be numbers, not {raw.dtype}")
    shape = tuple(net.input.shape)
    if raw.shape[1:] != shape and raw.shape[1:] == shape[:-1] and shape[-1] == 1:
        raw = raw[..., None]  # grey images are often without their one channel
    if raw.shape[1:] != shape:
        raise InputError(f"{where}: images of shape {raw.shape[1:]}, the network takes {shape}")
    try:
        return net.input.encode(net.prepare(raw))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def from_dataset(net: Accelerator, name: str) -> Samples:
    """The test split of a data set. Raises InputError if its samples are not the network's."""
    from flow.network.datasets import load_dataset
    from flow.network.quantized_reference import encode

    dataset = load_dataset(name)
    info, wanted = dataset.info, net.design["input"]
    if list(info.shape) != list(wanted["shape"]) or str(info.input_format) != wanted["format"]:
        raise InputError(
            f"data set {info.name} has inputs {info.shape} of {info.input_format}, the network "
            f"{tuple(wanted['shape'])} of {wanted['format']}"
        )
    return Samples(encode(dataset.x_test, info.input_format), dataset.y_test, None, f"test split of {info.name}")


def run(net: Accelerator, samples: Samples, limit: int | None = None) -> Ran:
    """Send the first ``limit`` samples through the board. Raises ToolError if it stops answering."""
    codes = samples.codes[:limit]
    labels = None if samples.labels is None else samples.labels[:limit]
    expected = _expected(net, codes) if samples.expected is None else samples.expected[:limit]
    started = time.monotonic()
    try:
        found = net.run_codes(codes)
    except (UartError, OSError) as error:
        raise ToolError(f"the board stopped answering: {error}") from error
    except ValueError as error:
        raise InputError(f"{samples.source}: {error}") from error
    seconds = max(time.monotonic() - started, 1e-9)
    wrong = None
    if expected is not None:
        wrong = int((found != expected).reshape(len(found), -1).any(axis=1).sum())
    return Ran(
        str(net.folder), str(net.design["board"]), len(codes), samples.source, wrong, _accuracy(found, labels),
        None if expected is None else _accuracy(expected, labels), len(codes) / seconds, net.link.link.repeated,
    )  # fmt: skip


def _expected(net: Accelerator, codes: IntArray) -> IntArray | None:
    """What the network computes, if it lies in the bitstream's folder and is the one it was made of."""
    path = net.folder / "network.npz"
    if not path.is_file():
        return None
    from flow.network.quantized_io import load as load_network
    from flow.network.quantized_reference import forward

    network = load_network(path)
    if network.digest != net.design["network"]:
        raise InputError(f"{path} is not the network of this bitstream: copy the folder again")
    return forward(network, codes)


def _accuracy(outputs: IntArray, labels: IntArray | None) -> float | None:
    if labels is None:
        return None
    flat = outputs.reshape(len(outputs), -1)
    classes = (flat[:, 0] > 0).astype(np.int64) if flat.shape[1] == 1 else flat.argmax(axis=1)
    return float((classes == labels).mean())
