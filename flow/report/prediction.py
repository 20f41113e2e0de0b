"""``flow predict``: what a network takes on a board, whether that meets the spec, and if not what would make it fit."""

from __future__ import annotations

from typing import Any

from flow.board import Board
from flow.estimate.calibrated import CALIBRATED, CalibratedEstimator
from flow.estimate.predict import TOP, Prediction, after_synthesis, predict
from flow.estimate.structural import Estimator
from flow.implement.solver import attempt
from flow.report.remedies import Asked, other_boards, remedies
from flow.report.subject import Subject, candidate_subject
from flow.resources import Measurement, Resources
from flow.space.candidate import Candidate
from flow.spec import Spec

SCHEMA = 2
STAGE = "hls"
"""What is predicted, and held against the budget, is what HLS reports after csynth; ``synthesized`` is a stage on."""


def predict_candidate(
    candidate: Candidate, board: Board, spec: Spec, estimator: Estimator = CALIBRATED
) -> dict[str, Any]:
    """``predict_subject`` of a candidate, without other boards. Raises InvalidCandidate for one that is no network."""
    return predict_subject(candidate_subject(candidate), board, spec, estimator)


def predict_subject(
    subject: Subject, board: Board, spec: Spec, estimator: Estimator = CALIBRATED, asked: Asked | None = None
) -> dict[str, Any]:
    """The prediction as plain values for JSON.

    ``fits``; ``reason`` and ``sentence`` say why it doesn't; ``misses`` lists every limit that ``implementation``, the
    cheapest or else the nearest to the spec, is beyond; ``remedies`` what would make it fit, the nearest first.
    ``asked``: the limits the user named, with which all other boards are tried; None for no other boards.
    ``synthesized`` is what logic synthesis is expected to make of it, None where ``estimator`` is not calibrated.
    """
    network = subject.network
    found = attempt(network, spec, board.family, estimator)
    prediction = predict(network, found.implementation, board.part, board.family, estimator)
    total = prediction.total
    after = after_synthesis(total, estimator) if isinstance(estimator, CalibratedEstimator) else None
    boards = () if asked is None else other_boards(network, board, asked)
    cures = () if not found.reason else remedies(network, prediction, found.reason, board, spec, boards)
    return {
        "schema": SCHEMA,
        "digest": subject.digest,
        "subject": subject.to_dict(),
        "network": subject.title,
        "macs": network.macs,
        "parameters": network.parameters,
        "weight_bits": network.weight_bits,
        "board": board.name,
        "part": board.part,
        "spec": spec.to_dict(),
        "fits": not found.reason,
        "reason": found.reason,
        "sentence": found.sentence,
        "misses": misses(total, spec),
        "throughput_per_s": total.throughput_per_s,
        "latency_us": total.latency_us,
        "stage": STAGE,
        "calibrated": total.tool == CALIBRATED.name,
        "measurement": total.to_dict(),
        "synthesized": None if after is None else after.to_dict(),
        "bottleneck": bottleneck(prediction),
        "implementation": found.implementation.to_dict(),
        "layers": [layer.to_dict() for layer in prediction.layers],
        "remedies": [remedy.to_dict() for remedy in cures],
        "boards": None if asked is None else [b.to_dict() for b in boards],
        "smaller_boards": None if asked is None else [b.board for b in boards if b.fits and _is_smaller(b.lut, board)],
    }


def _is_smaller(lut: float | None, board: Board) -> bool:
    return lut is not None and board.capacity.lut is not None and lut < board.capacity.lut


def checked(total: Measurement, spec: Spec) -> Resources:
    """The amounts that are held against the budget: the upper ends, or the middles, as the spec says."""
    return total.high if spec.bound == "upper" else total.resources


def misses(total: Measurement, spec: Spec) -> list[dict[str, Any]]:
    """The limits that a measurement is beyond: what, the amount, the limit, and how many times the limit it is."""
    pairs: list[tuple[str, float | None, float | None]] = [
        ("interval_cycles", total.interval_cycles, spec.max_interval_cycles),
        ("latency_cycles", total.latency_cycles, spec.max_latency_cycles),
        *((n, value, limit) for (n, value), (_, limit) in zip(checked(total, spec), spec.budget, strict=True)),
    ]
    return [
        {"what": what, "amount": value, "limit": limit, "times": value / limit if limit else None}
        for what, value, limit in pairs
        if value is not None and limit is not None and value > limit
    ]


def bottleneck(prediction: Prediction) -> dict[str, Any]:
    """The layer that sets the throughput (of equal ones the one with the most LUTs), and the layer of most LUTs."""
    layers = [layer for layer in prediction.layers if layer.name != TOP]
    slowest = max(layers, key=lambda la: (la.interval_cycles, la.resources.lut or 0))
    largest = max(layers, key=lambda la: la.resources.lut or 0)
    total = sum(la.resources.lut or 0 for la in prediction.layers)
    return {
        "layer": slowest.name,
        "interval_cycles": slowest.interval_cycles,
        "most_lut": largest.name,
        "lut_share": (largest.resources.lut or 0) / total if total else None,
    }
