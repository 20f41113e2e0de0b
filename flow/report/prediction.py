"""``flow predict``: what a candidate takes on a board, whether that meets the spec, and if not by how much."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from flow.board import Board
from flow.estimate.predict import predict
from flow.estimate.structural import STRUCTURAL, Estimator
from flow.implement.solver import attempt
from flow.network.network import build_network
from flow.report.text import table
from flow.report.winners import LABELS, WIDTH, amount, architecture, percent, shorten, significant, source_text
from flow.resources import RESOURCE_NAMES, Measurement, Resources
from flow.space.candidate import Candidate
from flow.spec import Spec

SCHEMA = 1


def predict_candidate(
    candidate: Candidate, board: Board, spec: Spec, estimator: Estimator = STRUCTURAL
) -> dict[str, Any]:
    """The prediction as plain values for JSON.

    ``fits``; ``reason`` and ``sentence`` say why it doesn't; ``misses`` lists every limit that ``implementation``, the
    cheapest or else the nearest to the spec, is beyond. Raises InvalidCandidate for a network that can't be built.
    """
    network = build_network(candidate)
    found = attempt(network, spec, board.family, estimator)
    prediction = predict(network, found.implementation, board.part, board.family, estimator)
    total = prediction.total
    return {
        "schema": SCHEMA,
        "digest": candidate.digest,
        "network": architecture(candidate),
        "macs": network.macs,
        "parameters": network.parameters,
        "weight_bits": network.weight_bits,
        "board": board.name,
        "part": board.part,
        "spec": spec.to_dict(),
        "fits": not found.reason,
        "reason": found.reason,
        "sentence": found.sentence,
        "misses": _misses(total, spec),
        "throughput_per_s": total.throughput_per_s,
        "latency_us": total.latency_us,
        "measurement": total.to_dict(),
        "implementation": found.implementation.to_dict(),
        "layers": [layer.to_dict() for layer in prediction.layers],
    }


def _misses(total: Measurement, spec: Spec) -> list[dict[str, Any]]:
    """The limits that a measurement is beyond: what, the amount, the limit, and how many times the limit it is."""
    pairs: list[tuple[str, float | None, float | None]] = [
        ("interval_cycles", total.interval_cycles, spec.max_interval_cycles),
        ("latency_cycles", total.latency_cycles, spec.max_latency_cycles),
        *((n, value, budget) for (n, value), (_, budget) in zip(total.resources, spec.budget, strict=True)),
    ]
    return [
        {"what": what, "amount": value, "limit": limit, "times": value / limit if limit else None}
        for what, value, limit in pairs
        if value is not None and limit is not None and value > limit
    ]


def prediction_text(result: Mapping[str, Any]) -> str:
    """A result of ``predict_candidate`` for people, at most 120 columns."""
    measurement = Measurement.from_dict(result["measurement"])
    spec = result["spec"]
    budget = Resources.from_dict(spec["budget"])
    verdict = "fits" if result["fits"] else "does not fit"
    size = (
        f"size       {amount(result['macs'])} multiplications an inference, {amount(result['parameters'])} parameters, "
        f"{amount(result['weight_bits'])} bits of weights"
    )
    lines = [
        f"candidate {result['digest']} on {result['board']}: {verdict}",
        *textwrap.wrap(f"network    {result['network']}", WIDTH, subsequent_indent=" " * 11, break_on_hyphens=False),
        size,
        f"source     {source_text(measurement)}",
    ]
    if not result["fits"]:
        lines += textwrap.wrap(f"why        {result['sentence']}", WIDTH, subsequent_indent=" " * 11)
    blocks = ["\n".join(shorten(line, WIDTH) for line in lines), _resources(measurement, budget)]
    blocks += [_timing(result, measurement), _layers(result)]
    return "\n\n".join(blocks)


def _resources(measurement: Measurement, budget: Resources) -> str:
    shares = measurement.resources.utilisation(budget)
    rows = [
        ["predicted", *(amount(v) for _, v in measurement.resources)],
        ["low", *(amount(v) for _, v in measurement.low)],
        ["high", *(amount(v) for _, v in measurement.high)],
        ["budget", *(amount(v) for _, v in budget)],
        ["used", *(percent(shares.get(n)) for n in RESOURCE_NAMES)],
    ]
    return table(["", *(LABELS[n] for n in RESOURCE_NAMES)], rows, right=range(1, 6))


def _timing(result: Mapping[str, Any], measurement: Measurement) -> str:
    spec, clock = result["spec"], measurement.clock_mhz
    wanted = spec["max_latency_us"]
    most = "no limit" if wanted is None else f"at most {significant(wanted)} us"
    return (
        f"throughput {significant(result['throughput_per_s'])} inferences/s, required "
        f"{significant(spec['min_throughput_per_s'])} ({amount(measurement.interval_cycles)} cycles at {clock:g} MHz)\n"
        f"latency    {significant(result['latency_us'])} us, {most} ({amount(measurement.latency_cycles)} cycles)"
    )


def _layers(result: Mapping[str, Any]) -> str:
    layers = result["layers"]
    shown = [n for n in RESOURCE_NAMES if n != "uram" or any(layer["uram"] for layer in layers)]
    head = ["layer", "reuse", "strategy", *(LABELS[n] for n in shown), "interval", "fill"]
    rows = [
        [
            shorten(layer["name"], 20),
            "" if layer["reuse_factor"] is None else str(layer["reuse_factor"]),
            layer["strategy"] or "",
            *(amount(layer[n]) for n in shown),
            amount(layer["interval_cycles"]),
            amount(layer["fill_cycles"]),
        ]
        for layer in layers
    ]
    io_type = result["implementation"]["io_type"]
    return f"layers, {io_type}; interval and fill in cycles\n" + table(head, rows, right=(1, *range(3, len(head))))
