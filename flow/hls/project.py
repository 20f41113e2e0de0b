"""Writing a complete hls4ml project: every precision set, valid reuse factors only, FIFOs sized, a test bench with
expected results, and what it was made of in ``project.json``.

A project's folder is called after the digest of everything that went into it: two designs never share one, and the
same design is not written twice. It appears under that name only when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import InputError, ToolError
from flow.fileio import data_dir, read_json, write_atomic, write_json
from flow.hls.bridge.check import CPP_WORDS, io_problems
from flow.hls.bridge.handlers import HLS4ML_LOCK
from flow.hls.bridge.kernels import HEADER
from flow.hls.convert import Conversion, clock_ns, convert
from flow.hls.samples import random_samples
from flow.hls.tools import Backend
from flow.implement.implementation import Implementation
from flow.network.quantized import WEIGHT_OPS, IntArray, QuantizedNetwork
from flow.network.quantized_io import load, save
from flow.network.quantized_keras import Unconvertible
from flow.network.quantized_reference import decode, forward
from flow.versions import versions

SCHEMA = 1
MANIFEST = "project.json"
NETWORK = "quantized.npz"
UNCERTAINTY: dict[Backend, float] = {"Vivado": 12.5, "Vitis": 27.0}
"""Clock uncertainty in percent where none is given: the tools' own defaults (UG902, UG1399)."""
TEST_IMAGES = 10
"""Random images in the test bench if no inputs are given."""


@dataclass(frozen=True)
class HlsTarget:
    """What a project is for: the tools that build it, the FPGA part, and the clock uncertainty in percent."""

    backend: Backend
    part: str
    uncertainty: float | None = None

    @property
    def uncertainty_percent(self) -> float:
        """The uncertainty asked for, else the default of the tools."""
        return UNCERTAINTY[self.backend] if self.uncertainty is None else self.uncertainty

    def check(self) -> None:
        """Raises InputError for a backend or an uncertainty there is no sense in."""
        if self.backend not in UNCERTAINTY:
            raise InputError(f"unknown HLS backend {self.backend!r}, known: {', '.join(UNCERTAINTY)}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.part):
            raise InputError(f"{self.part!r} is no name of an FPGA part")
        if not 0 <= self.uncertainty_percent < 100:
            raise InputError(f"the clock uncertainty is {self.uncertainty_percent:g}%, it must be from 0 to below 100%")


@dataclass(frozen=True, eq=False)
class HlsProject:
    """A written project. ``digest`` is that of its inputs, ``manifest`` what project.json says."""

    folder: Path
    name: str
    digest: str
    network: QuantizedNetwork
    manifest: dict[str, Any]


def project_name(text: str) -> str:
    """``text``, as of a file, as the name of a project and of its top function."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:40]
    if not re.match(r"[A-Za-z]", name) or name in CPP_WORDS:
        name = f"net_{name}"[:40].rstrip("_")
    return name


def check_target(target: HlsTarget, name: str) -> None:
    """Raises InputError for what must not reach Tcl or C++."""
    target.check()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name) or name in CPP_WORDS:
        raise InputError(f"project name {name!r} is not made of letters, digits and underscores only, or a word of C++")


def write_project(
    model: Any,
    network: QuantizedNetwork,
    implementation: Implementation,
    target: HlsTarget,
    root: Path,
    *,
    name: str = "network",
    test_inputs: IntArray | None = None,
    test_text: str = "",
    unrolled_images: bool = False,
) -> HlsProject:
    """The project of ``model``, whose integers are ``network``, below the folder ``root``.

    ``test_inputs`` are input codes of shape (n, *input_shape) for the test bench, random ones by default; ``test_text``
    says in the manifest what they are.
    ``unrolled_images`` allows io_parallel for images, which simulates but hardly ever synthesizes. Raises InputError
    for what can't be built so, ToolError if hls4ml or the disk fails.
    """
    check_target(target, name)
    problems = io_problems(network, implementation.io_type, unrolled_images=unrolled_images)
    if problems:
        raise Unconvertible(problems)
    if test_inputs is None:
        drawn = random_samples(network, TEST_IMAGES)
        test_inputs, test_text = drawn.codes, drawn.text
    inputs = np.asarray(test_inputs)
    expected = forward(network, inputs)
    digest = project_digest(network, implementation, target, name, inputs)
    folder = root / f"{name}-{digest}"
    if (folder / MANIFEST).is_file():
        return open_project(folder)
    temporary = None
    try:
        temporary = root / f".{name}-{digest}-{os.getpid()}-{secrets.token_hex(4)}"
        temporary.mkdir(parents=True)
        conversion = convert(
            model, network, implementation, target.backend, target.part, target.uncertainty_percent, temporary, name
        )
        _write(conversion.graph, temporary, digest)
        _write_test_bench(network, temporary, inputs, expected)
        save(network, temporary / NETWORK)
        manifest = _manifest(network, implementation, target, name, digest, conversion, temporary)
        manifest |= {"test_images": len(inputs), "test_data": test_text}
        write_json(temporary / MANIFEST, manifest)
        os.rename(temporary, folder)
    except OSError as error:
        if not (folder / MANIFEST).is_file():  # else somebody else has written the same project meanwhile
            raise ToolError(f"cannot write the project {folder}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return open_project(folder)


def find_project(
    root: Path, network: QuantizedNetwork, implementation: Implementation, target: HlsTarget, name: str,
    test_inputs: IntArray,
) -> HlsProject | None:  # fmt: skip
    """The project that :func:`write_project` would write for the same values, if it is there already."""
    folder = root / f"{name}-{project_digest(network, implementation, target, name, test_inputs)}"
    return open_project(folder) if (folder / MANIFEST).is_file() else None


def open_project(folder: Path) -> HlsProject:
    """The project in ``folder``. Raises InputError if it is none of ours, or damaged."""
    path = folder / MANIFEST
    manifest = read_json(path, "HLS project")
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise InputError(f"{path}: not the description of an HLS project of schema {SCHEMA}")
    name, digest = manifest.get("name"), manifest.get("digest")
    if not isinstance(name, str) or not isinstance(digest, str):
        raise InputError(f"{path}: name or digest is missing")
    network = load(folder / NETWORK)
    if network.digest != manifest.get("network"):
        raise InputError(f"{path}: {NETWORK} beside it is another network's")
    return HlsProject(folder, name, digest, network, manifest)


def project_digest(
    network: QuantizedNetwork, implementation: Implementation, target: HlsTarget, name: str, inputs: IntArray
) -> str:
    """The first 16 hex digits of SHA-256 over everything that decides what is written."""
    parts = {
        "schema": SCHEMA,
        "network": network.digest,
        "implementation": implementation.to_dict(),
        "backend": target.backend,
        "part": target.part,
        "uncertainty": target.uncertainty_percent,
        "name": name,
        "versions": _versions(),
    }
    sha = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    # The writer itself counts: a project from before a change of it is not the same.
    sources = Path(__file__).parent
    writers = [
        *sources.glob("bridge/*.py"),
        *(sources / f"{m}.py" for m in ("convert", "fifo", "fifo_graph", "project")),
    ]
    for path in (data_dir("templates") / "hls" / HEADER, *sorted(writers)):
        sha.update(path.read_bytes())
    sha.update(np.ascontiguousarray(inputs, dtype="<i8").tobytes())
    return sha.hexdigest()[:16]


def _versions() -> dict[str, str]:
    """Versions that what is written depends on."""
    return {k: v for k, v in versions().items() if k in ("fpga-nas-flow", "hls4ml", "keras", "qkeras-v3", "tensorflow")}


# What is written


def _write(graph: Any, folder: Path, digest: str) -> None:
    """hls4ml's files, without what depends on the moment or the machine: its stamp, the model file, its own paths."""
    from contextlib import redirect_stdout
    from io import StringIO

    config = graph.config.config
    config["Stamp"] = digest[:8]
    config.pop("KerasModel", None)
    try:
        with HLS4ML_LOCK, redirect_stdout(StringIO()):
            graph.config.backend.writer.write_hls(graph)
    except OSError:
        raise
    except Exception as error:  # hls4ml raises bare Exception
        raise ToolError(f"hls4ml cannot write the project: {type(error).__name__}: {error}") from error
    config["OutputDir"] = "."
    write_atomic(folder / "hls4ml_config.yml", _yaml(config))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and str(folder).encode() in path.read_bytes():
            raise ToolError(f"hls4ml wrote the name of a temporary folder into {path.relative_to(folder)}")


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    """Only what safe YAML knows."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return value.item() if isinstance(value, np.generic) else str(value)


def _write_test_bench(network: QuantizedNetwork, folder: Path, inputs: IntArray, expected: IntArray) -> None:
    data = folder / "tb_data"
    write_atomic(data / "tb_input_features.dat", _rows(decode(inputs, network.input_format)))
    write_atomic(data / "tb_output_predictions.dat", _rows(decode(expected, network.output_format)))


def _rows(values: Iterable[Any]) -> str:
    """One line an image; the shortest decimals that stand for exactly these values."""
    return "".join(" ".join(repr(float(v)) for v in np.ravel(row)) + "\n" for row in values)


def _manifest(
    network: QuantizedNetwork, implementation: Implementation, target: HlsTarget, name: str, digest: str,
    conversion: Conversion, temporary: Path,
) -> dict[str, Any]:  # fmt: skip
    layers = []
    for layer in network:
        item: dict[str, Any] = {"name": layer.name, "op": layer.op, "output": str(layer.output)}
        if layer.op in WEIGHT_OPS:
            chosen = implementation.layer(layer.name)
            item |= {"strategy": chosen.strategy, "reuse_factor": chosen.reuse, "weights": math.prod(_shape(layer))}
        layers.append(item)
    return {
        "schema": SCHEMA,
        "name": name,
        "digest": digest,
        "network": network.digest,
        "backend": target.backend,
        "part": target.part,
        "io_type": implementation.io_type,
        "clock_mhz": implementation.clock_mhz,
        "clock_ns": clock_ns(implementation),
        "clock_uncertainty_percent": target.uncertainty_percent,
        "input": {"shape": list(network.input_shape), "format": str(network.input_format)},
        "output": {"shape": list(network.output_shape), "format": str(network.output_format)},
        "layers": layers,
        "fifo_depths": dict(conversion.fifo_depths),
        "inexact": [str(item) for item in network.inexact],
        "messages": [message.replace(str(temporary), ".") for message in conversion.messages],
        "versions": versions(),
    }


def _shape(layer: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = layer.weight.values.shape
    return shape
