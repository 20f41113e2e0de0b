"""A user's own reports: what HLS measured of the candidates of a run, what they were and how they were built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import InputError
from flow.estimate.calibrated import CalibratedEstimator, Coefficients
from flow.estimate.calibration_data import is_ultrascale
from flow.estimate.predict import predict
from flow.estimate.structural import Floats
from flow.fileio import read_json
from flow.implement.implementation import Implementation
from flow.network.network import Network, build_network
from flow.resources import Measurement
from flow.space.candidate import Candidate


@dataclass(frozen=True)
class OwnReport:
    """One design that HLS reported on: ``measured`` has source ``hls``; ``where`` is the file it is from."""

    where: str
    network: Network
    implementation: Implementation
    measured: Measurement


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run of ``flow search``."""
    return (path / "run.yaml").is_file()


def read_run(path: Path) -> list[OwnReport]:
    """What HLS reported on the candidates of a run, in order of their digests; none if nothing was synthesized.

    Raises InputError naming a damaged file.
    """
    found: list[OwnReport] = []
    for file in sorted((path / "candidates").glob("*/evaluation.json")):
        data = read_json(file, "evaluation")
        if not isinstance(data, dict):
            raise InputError(f"{file}: damaged evaluation: no mapping of fields")
        found += _reports(data, str(file))
    return found


def _reports(data: dict[str, Any], where: str) -> list[OwnReport]:
    listed = data.get("measurements") or []
    if not isinstance(listed, list):
        raise InputError(f"{where}: measurements must be a list")
    measured = [Measurement.from_dict(m, f"{where}: measurement {i}") for i, m in enumerate(listed, 1)]
    measured = [m for m in measured if m.source == "hls"]
    if not measured:
        return []
    network = build_network(Candidate.from_dict(data.get("candidate") or {}, f"{where}: candidate"))
    implementation = Implementation.from_dict(data.get("implementation"), f"{where}: implementation")
    return [OwnReport(where, network, implementation, m) for m in measured]


def predict_reports(base: Coefficients, reports: list[OwnReport], target: str) -> tuple[Floats, Floats]:
    """Reported and predicted amounts of ``target``, a resource; NaN where HLS reported none.

    The prediction is the one a search makes: of the network, its weights unknown.
    """
    estimator = CalibratedEstimator(base)
    reported, predicted = np.full(len(reports), np.nan), np.full(len(reports), np.nan)
    for i, report in enumerate(reports):
        part = report.measured.part
        family = "virtex-ultrascale+" if is_ultrascale(part) else "zynq7000"  # all that the model asks of a family
        try:
            total = predict(report.network, report.implementation, part, family, estimator).total
        except InputError as error:
            raise InputError(f"{report.where}: {error}") from error
        amount = getattr(report.measured.resources, target)
        reported[i] = np.nan if amount is None else amount
        predicted[i] = getattr(total.resources, target)
    return reported, predicted
