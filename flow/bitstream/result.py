"""manifest.json: what was built, of what, with which tools, and what was checked. Written last."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow.bitstream.gate import check_timing
from flow.bitstream.plan import BOARD, BitstreamPlan
from flow.bitstream.project import Design
from flow.bitstream.subject import Subject
from flow.errors import InputError, ToolError
from flow.fileio import read_json, write_json
from flow.hls.reports import Power, Utilization, read_report
from flow.network.quantized import QuantizedNetwork
from flow.resources import Measurement
from flow.versions import versions

SCHEMA = 1
RESULT = "reports/result.json"
MANIFEST = f"{BOARD}/manifest.json"


def weights_digest(network: QuantizedNetwork) -> str:
    """SHA-256 over all constants of a network: what was trained, whatever surrounds it."""
    sha = hashlib.sha256()
    for layer in network:
        for name in ("weight", "bias", "table"):
            codes = getattr(layer, name)
            if codes is not None:
                sha.update(f"{layer.name}.{name} {codes.format} {codes.values.shape}\0".encode())
                sha.update(codes.values.astype("<i8").tobytes())
    return sha.hexdigest()


def is_built(plan: BitstreamPlan, folder: Path) -> bool:
    """Whether ``folder`` holds the complete result of this very plan: from here, or from where it was copied to."""
    path = folder / RESULT
    if not plan.is_written(folder) or not path.is_file() or not all((folder / p).is_file() for p in plan.products):
        return False
    return bool(read_json(path, "build result").get("plan") == plan.digest)


def write_manifest(
    plan: BitstreamPlan, design: Design, subject: Subject, folder: Path, emitted_because: str | None = None
) -> dict[str, Any]:
    """Write manifest.json of a project that is built, or only emitted; returns its content.

    A build is believed if its reports say so too. Raises NothingFeasible if they do not, ToolError if they are missing.
    """
    built = emitted_because is None
    measurements: list[dict[str, Any]] = []
    if subject.winner is not None:
        measurements += subject.winner.get("measurements", [])
    checks: dict[str, Any] = {
        "vectors": design.vectors_about,
        "inexact": [str(item) for item in subject.network.inexact],
    }
    result: Mapping[str, Any] = {}
    if built:
        result = _result(folder)
        if design.board.toolchain.name != "vitis":
            timing = check_timing(folder / "reports" / "timing.rpt", design.clock.mhz)
            checks["timing"] = {"met": True, "setup_slack_ns": timing.wns_ns, "hold_slack_ns": timing.whs_ns}
            measurements.append(_routed(design, folder).to_dict())
            checks |= _power(folder / "reports" / "power.rpt")
        else:  # link.sh hands over nothing below the clock asked for
            checks["timing"] = {"met": True, "kernel_clock_mhz": float(result["clock_mhz"])}
        checks["warnings"] = list(result.get("warnings", []))
    files = sorted(path for path in (folder / BOARD).glob(f"{plan.stem}.*") if path.is_file()) if built else []
    manifest = {
        **described(plan, design, subject, emitted_because),
        "board_part": result.get("board_part") or None,
        "measurements": measurements,
        "checks": checks,
        "tools": {"vivado": result.get("vivado"), "platform": result.get("platform")},
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "versions": versions(),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def described(
    plan: BitstreamPlan, design: Design, subject: Subject, emitted_because: str | None
) -> dict[str, Any]:  # fmt: skip
    """What every manifest says of a project before anything is built: board, network, clock, cycles, winner."""
    accelerator, winner = design.accelerator, subject.winner
    return {
        "schema": SCHEMA,
        "stem": plan.stem,
        "built": emitted_because is None,
        "not_built_because": emitted_because,
        "board": design.board.name,
        "part": design.board.part,
        "backend": accelerator.backend,
        "plan": plan.digest,
        "design": accelerator.id,
        "network": subject.network.digest,
        "weights": weights_digest(subject.network),
        "clock": {
            "requested_mhz": design.requested_mhz,
            "achieved_mhz": design.clock.mhz,
            "settings": dict(design.clock.settings),
        },
        "interval_cycles": accelerator.interval_cycles,
        "latency_cycles": accelerator.latency_cycles,
        "hardware": dict(accelerator.about),
        "dataset": None if subject.dataset is None else subject.dataset.info.name,
        "winner": None
        if winner is None
        else {k: winner.get(k) for k in ("id", "digest", "candidate", "implementation", "accuracy")},
    }


def _result(folder: Path) -> Mapping[str, Any]:
    data = read_json(folder / RESULT, "build result")
    if not isinstance(data, dict):
        raise ToolError(f"{folder / RESULT} is damaged: build again")
    return data


def _routed(design: Design, folder: Path) -> Measurement:
    """What Vivado's report says the whole design takes, shell and all."""
    path = folder / "reports" / "utilization.rpt"
    report = read_report(path)
    if not isinstance(report, Utilization):
        raise InputError(f"{path} is no utilization report")
    accelerator = design.accelerator
    measured = report.measurement(
        design.clock.mhz,
        latency_cycles=accelerator.latency_cycles,
        interval_cycles=accelerator.interval_cycles,
    )
    return replace(measured, note="; ".join(filter(None, (measured.note, "with the shell around the accelerator"))))


def _power(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    report = read_report(path)
    return {"power_w": {"total": report.total_w, "confidence": report.confidence}} if isinstance(report, Power) else {}
