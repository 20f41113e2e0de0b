"""What is predicted: a candidate.json, a ``.keras`` file, or all of them in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.network import Layer, Network, build_network
from flow.report.winners import architecture
from flow.space.candidate import Candidate, load_candidate

MAX_FILES = 1000
"""Most files of a folder that are predicted."""
CANDIDATE = "candidate.json"


@dataclass(frozen=True)
class Subject:
    """A network and what it is called. ``title``: its layers in one line.

    For models: ``input_from`` says where the input's format comes from, ``floats`` names the layers without a
    quantizer, which have ``float_format``, and ``keras_version`` is what wrote the file. ``digest`` is a candidate's.
    """

    name: str
    kind: str
    network: Network
    title: str
    digest: str | None = None
    input_from: str = "the candidate"
    floats: tuple[str, ...] = ()
    float_format: FixedFormat | None = None
    keras_version: str | None = None

    @property
    def weights_known(self) -> bool:
        """Whether the prediction uses the weights themselves, not those that are usual for their format."""
        return any(layer.statistics is not None for layer in self.network)

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the network."""
        density = {la.name: round(la.statistics.density, 6) for la in self.network if la.statistics is not None}
        return {
            "name": self.name,
            "kind": self.kind,
            "input_format": str(self.network.input_format),
            "input_format_from": self.input_from,
            "float_layers": list(self.floats),
            "float_format": str(self.float_format) if self.floats else None,
            "keras_version": self.keras_version,
            "weights_known": self.weights_known,
            "nonzero_weights": density,
        }


def candidate_subject(candidate: Candidate, name: str | None = None) -> Subject:
    """A candidate. Raises InvalidCandidate if it is no network."""
    network = build_network(candidate)
    return Subject(name or candidate.digest, "candidate", network, architecture(candidate), candidate.digest)


def load_subject(
    path: Path, input_format: FixedFormat | None = None, float_format: FixedFormat | None = None
) -> Subject:
    """What a file holds. ``input_format`` and ``float_format`` are for ``.keras`` files.

    Without an ``input_format`` it is that of the candidate.json beside the model, where a search put both, or else
    ``flow.archive.read.DEFAULT_INPUT``. Raises InputError.
    """
    if path.suffix != ".keras":
        if path.suffix.lower() in (".h5", ".hdf5", ".pb", ".onnx", ".pt", ".pth", ".tflite"):
            raise InputError(f"{path}: only .keras files are read; save the model with model.save('NAME.keras')")
        if input_format is not None or float_format is not None:
            raise InputError(
                f"{path}: --input and --float-format are for .keras files, a candidate has its own formats"
            )
        return candidate_subject(load_candidate(path), shown(path))
    from flow.archive.read import DEFAULT_INPUT, DEFAULT_PRECISION, read_archive

    found, told = input_format, "as given"
    if found is None:
        beside = _candidate_beside(path)
        found, told = (beside.input_format, f"from {CANDIDATE}") if beside else (DEFAULT_INPUT, "assumed")
    archive = read_archive(path, found, float_format or DEFAULT_PRECISION)
    return Subject(
        shown(path), "keras", archive.network, layers_text(archive.network), None, told, archive.floats,
        archive.float_format, archive.keras_version,
    )  # fmt: skip


def shown(path: Path) -> str:
    """A path on one line: a line break in a name could pass for a command of a CI job's log."""
    return "".join(char if char.isprintable() else "?" for char in str(path))


def _candidate_beside(path: Path) -> Candidate | None:
    """The candidate that a search trained to this model; None if there is none, or a damaged one."""
    file = path.with_name(CANDIDATE)
    if path.name != "model.keras" or not file.is_file():
        return None
    try:
        return load_candidate(file)
    except InputError:
        return None


def subject_files(folder: Path) -> list[Path]:
    """The models and candidates in a folder and those below it, in order of their names.

    Of a model and the candidate beside it only the model, whose weights are known. Raises InputError if there are none,
    or too many.
    """
    found = sorted(_files(folder))
    models = {path.parent for path in found if path.name == "model.keras"}
    kept = [path for path in found if path.suffix == ".keras" or path.parent not in models]
    if not kept:
        raise InputError(f"{folder} has no .keras file and no {CANDIDATE} in it")
    if len(kept) > MAX_FILES:
        raise InputError(f"{folder} has {len(kept):,} models and candidates in it, at most {MAX_FILES:,} are predicted")
    return kept


def _files(folder: Path) -> Iterator[Path]:
    for pattern in ("*.keras", CANDIDATE):
        yield from (p for p in folder.rglob(pattern) if p.is_file() and not p.name.startswith("."))


def layers_text(network: Network) -> str:
    """A network in one line, such as ``conv3x3x8 w4 -> relu a3 -> pool2 -> flatten -> dense10 w6``."""
    return " -> ".join(_layer_text(layer) for layer in network)


def _layer_text(layer: Layer) -> str:
    if layer.weight is not None:
        kernel = f"{layer.kernel[0]}x{layer.kernel[1]}"
        names = {"conv2d": f"conv{kernel}x{layer.out_shape[-1]}", "depthwise": f"depthwise{kernel}"}
        words = [names.get(layer.op, f"dense{layer.out_shape[-1]}")]
        words += [f"stride{layer.stride[0]}"] if layer.stride != (1, 1) else []
        return " ".join([*words, f"w{layer.weight.width}" if layer.weight.kind == "fixed" else layer.weight.kind])
    if layer.op in ("activation", "table_activation"):
        return f"a{layer.output.width}"
    if layer.op in ("maxpool", "avgpool"):
        return f"{layer.op}{max(layer.kernel)}"
    return layer.op
