"""The network on the board: numpy arrays in, numpy arrays out.

::

    from flow_host import load
    net = load(".")                       # the folder with design.json and the bitstream
    labels = net.classify(net.prepare(x)) # x as the data set has it
    print(net.check())                    # the recorded test vectors, accuracy and images a second
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .codec import Side

BATCH = 1024


@dataclass(frozen=True)
class Check:
    """What the recorded test vectors gave. ``accuracy`` is None where they have no labels."""

    images: int
    wrong: int
    accuracy: float | None
    expected_accuracy: float | None
    images_per_s: float

    def __str__(self) -> str:
        lines = [
            f"{self.images - self.wrong} of {self.images} results are bit for bit what they must be",
            f"{self.images_per_s:.1f} images/s, data transfer included",
        ]
        if self.accuracy is not None and self.expected_accuracy is not None:
            lines.append(f"accuracy {self.accuracy:.4f} (expected {self.expected_accuracy:.4f})")
        return "\n".join(lines)


class Accelerator:
    """A network in hardware. ``link`` moves the bytes: it has ``run(data, out_bytes)``, ``reset()`` and ``close()``."""

    def __init__(self, folder: Path, design: dict[str, Any], link: Any) -> None:
        self.folder = folder
        self.design = design
        self.link = link
        self.input = Side.from_dict(design["input"])
        self.output = Side.from_dict(design["output"])

    def prepare(self, raw: Any) -> Any:
        """Raw samples as the data set has them, as the values the network was trained on: (raw - offset) * scale."""
        values = np.asarray(raw, dtype=np.float64)
        rule = self.design["prepare"]
        if rule is None:
            return values
        return (values - np.asarray(rule["offset"])) * np.asarray(rule["scale"])

    def run_codes(self, codes: Any, batch: int = BATCH) -> Any:
        """Output codes for input codes of shape (n, *shape), ``batch`` of them a transfer."""
        if batch < 1:
            raise ValueError("a batch has at least one image")
        data = self.input.pack(codes)
        parts = [self.link.run(data[i : i + batch], self.output.bytes) for i in range(0, len(data), batch)]
        return self.output.unpack(np.concatenate(parts) if parts else np.zeros((0, self.output.bytes), np.uint8))

    def predict(self, x: Any, batch: int = BATCH) -> Any:
        """The network's outputs for ``x`` of shape (n, *shape), float64. ``x`` is rounded as in training."""
        return self.output.decode(self.run_codes(self.input.encode(x), batch))

    def classify(self, x: Any, batch: int = BATCH) -> Any:
        """The class of each sample: that of the largest output; of a single output, whether it is above 0."""
        return _classes(self.predict(x, batch))

    def check(self, limit: int | None = None, batch: int = BATCH) -> Check:
        """Run the recorded test vectors (the first ``limit``) and compare every bit."""
        with np.load(str(self.folder / "vectors.npz"), allow_pickle=False) as vectors:
            inputs, expected = vectors["inputs"][:limit], vectors["outputs"][:limit]
            labels = vectors["labels"][:limit] if "labels" in vectors.files else None
        started = time.monotonic()
        found = self.run_codes(inputs, batch)
        seconds = max(time.monotonic() - started, 1e-9)
        flat, wanted = found.reshape(len(found), -1), expected.reshape(len(expected), -1)
        wrong = int((flat != wanted).any(axis=1).sum())
        accuracy = reference = None
        if labels is not None and len(labels):
            accuracy = float((_classes(found) == labels).mean())
            reference = float((_classes(expected) == labels).mean())
        return Check(len(found), wrong, accuracy, reference, len(found) / seconds)

    def throughput(self, images: int = 4096, batch: int = BATCH) -> float:
        """Images a second of ``images`` random ones, packing and transfer included."""
        random = np.random.RandomState(0)
        codes = random.randint(self.input.low, self.input.high + 1, size=(images, *self.input.shape))
        started = time.monotonic()
        self.run_codes(codes, batch)
        return images / max(time.monotonic() - started, 1e-9)

    def reset(self) -> None:
        """Start afresh after a timeout."""
        self.link.reset()

    def close(self) -> None:
        """Give back buffers or the port."""
        self.link.close()


def _classes(outputs: Any) -> Any:
    """The class of each row of outputs, values or codes: both give the same."""
    flat = np.asarray(outputs).reshape(len(outputs), -1)
    return (flat[:, 0] > 0).astype(np.int64) if flat.shape[1] == 1 else flat.argmax(axis=1)


class SerialLink:
    """Inferences one by one over a UART."""

    def __init__(self, link: Any, design: dict[str, Any]) -> None:
        self.link = link
        info = link.info()
        if info.design != design["id"]:
            raise RuntimeError(
                "the board runs design {}, this folder is design {}: load its bitstream".format(
                    info.design, design["id"]
                )
            )

    def run(self, data: Any, out_bytes: int) -> Any:
        """uint8 of shape (n, bytes in) to uint8 of shape (n, ``out_bytes``)."""
        results = [np.frombuffer(self.link.infer(row.tobytes(), out_bytes), np.uint8) for row in data]
        return np.stack(results) if results else np.zeros((0, out_bytes), np.uint8)

    def reset(self) -> None:
        """Nothing to do: every frame starts afresh."""

    def close(self) -> None:
        """Close the port."""
        self.link.port.close()


def load(folder: Any = ".", port: Any = None, timeout_s: float | None = None) -> Accelerator:
    """The accelerator of the folder: its bitstream is loaded (PYNQ, XRT), or its serial ``port`` opened.

    ``port``: a name as /dev/ttyUSB1, or an open port, for boards with a UART. Raises FileNotFoundError, RuntimeError
    and UartError with what is wrong.
    """
    where = Path(folder)
    design = json.loads((where / "design.json").read_text(encoding="utf-8"))
    kind = design["link"]["kind"]
    _check_bitstream(where, design["stem"])
    if kind == "uart":
        from .uart import UartError, UartLink, open_port

        if port is None:
            raise UartError("this board is reached through a serial port: give port='/dev/ttyUSB1' or the like")
        baud = design["link"]["baud"]
        opened = open_port(port, baud) if isinstance(port, str) else port
        link = UartLink(opened, baud, 1.0 if timeout_s is None else timeout_s)
        return Accelerator(where, design, SerialLink(link, design))
    wait = 10.0 if timeout_s is None else timeout_s
    if kind == "dma":
        from .dma import DmaLink

        return Accelerator(where, design, DmaLink(where, design["stem"], design["clock_mhz"], wait))
    from .xrt import XrtLink

    return Accelerator(where, design, XrtLink(where, design["stem"], wait))


def _check_bitstream(folder: Path, stem: str) -> None:
    """Whether the bitstream is the one that manifest.json speaks of, if it does."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return
    known = json.loads(manifest.read_text(encoding="utf-8")).get("files") or {}
    for name, digest in known.items():
        path = folder / name
        if name.startswith(stem) and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise RuntimeError(f"{path} is not the file that manifest.json speaks of: copy the folder again")
