"""``flow check``: a model against a budget, as one line for a log and as Markdown for a pull request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flow.board import Board
from flow.errors import InputError, ToolError
from flow.fileio import write_atomic
from flow.report.prediction import predict_subject
from flow.report.remedies import Asked, as_option
from flow.report.subject import Subject
from flow.report.winners import LABELS, amount, percent, significant, source_text
from flow.resources import Measurement, Resources
from flow.spec import Spec

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names the file that GitHub Actions shows on a job's page; its text is Markdown, and steps append to it."""


OPTIONS = {"LUT": "--max-lut", "FPS": "--min-fps", "LATENCY": "--max-latency", "DSP": "--max-dsp",
           "BRAM18": "--max-bram", "CLOCK": "--clock"}  # fmt: skip
"""Options of ``flow check`` by what a remedy changes."""


@dataclass(frozen=True)
class Budget:
    """What a model must keep: None for the board's own budget, or for no limit on latency."""

    lut: float | None = None
    fps: float | None = None
    latency_us: float | None = None
    dsp: float | None = None
    bram18: float | None = None
    clock_mhz: float | None = None
    bound: str = "upper"

    def spec(self, board: Board) -> Spec:
        """As a spec on ``board``. Raises InputError for what is no number, or more than the board has."""
        spec = Asked(self.lut, self.fps, self.latency_us, self.clock_mhz, self.bound).spec(board)
        for name, value in (("dsp", self.dsp), ("bram18", self.bram18)):
            if value is None:
                continue
            most = getattr(board.available, name)
            if not 0 <= value < float("inf"):
                raise InputError(f"the {LABELS[name]} budget must be a number of at least 0, not {value:g}")
            if most is not None and value > most:
                raise InputError(
                    f"a budget of {value:,.10g} {LABELS[name]} is more than board {board.name} has: {most:,.10g}"
                )
            spec = replace(spec, budget=replace(spec.budget, **{name: value}))
        return spec


def check_subject(subject: Subject, board: Board, budget: Budget) -> dict[str, Any]:
    """The prediction (see ``predict_subject``) with ``line``, why it passes or not in one line."""
    result = predict_subject(subject, board, budget.spec(board))
    return {**result, "line": verdict_line(result)}


def verdict_line(result: Mapping[str, Any]) -> str:
    """Why a model passes or not, in one line."""
    name, board, spec = result["subject"]["name"], result["board"], result["spec"]
    if not result["fits"]:
        cures = result["remedies"]
        nearest = f"; it would fit with {as_option(cures[0], OPTIONS)}" if cures else ""
        return f"{name} does not fit {board}: {result['sentence']}{nearest}"
    parts = [f"{amount(r['held'])} of {amount(r['limit'])} {r['label']}" for r in _rows(result) if r["held"]]
    parts.append(
        f"{significant(result['throughput_per_s'])} of {significant(spec['min_throughput_per_s'])} inferences/s"
    )
    if spec["max_latency_us"] is not None:
        parts.append(f"{significant(result['latency_us'])} of {significant(spec['max_latency_us'])} us")
    end = "upper end" if spec["bound"] == "upper" else "middle"
    return f"{name} fits {board}: {', '.join(parts)} (predicted, {end} of the 90% interval)"


def _rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By resource: predicted, low, high, what is held against the limit, and the limit."""
    measurement = Measurement.from_dict(result["measurement"])
    budget = Resources.from_dict(result["spec"]["budget"])
    held = measurement.high if result["spec"]["bound"] == "upper" else measurement.resources
    return [
        {
            "label": LABELS[name], "predicted": value, "low": getattr(measurement.low, name),
            "high": getattr(measurement.high, name), "held": getattr(held, name), "limit": getattr(budget, name),
        }
        for name, value in measurement.resources
    ]  # fmt: skip


def summary_markdown(result: Mapping[str, Any]) -> str:
    """The verdict, the limits, the layers and what would help, for a pull request."""
    measurement = Measurement.from_dict(result["measurement"])
    spec, subject = result["spec"], result["subject"]
    mark = "✅" if result["fits"] else "❌"
    verdict = "fits" if result["fits"] else "does not fit"
    lines = [f"### {mark} {escaped(subject['name'])} {verdict} {escaped(result['board'])}", ""]
    if not result["fits"]:
        lines += [f"{escaped(result['sentence'])}.", ""]
        lines += [f"- would fit with {escaped(as_option(cure, OPTIONS))}" for cure in result["remedies"]]
        lines += [""] if result["remedies"] else []
    lines += _limits_table(result, measurement, spec)
    lines += ["", f"Bottleneck: {escaped(result['bottleneck']['layer'])}. Source: {escaped(source_text(measurement))}."]
    lines += [_made_of(subject), "", *_layers_table(result), "", ""]  # HTML ends with an empty line
    return "\n".join(lines)


def _limits_table(result: Mapping[str, Any], measurement: Measurement, spec: Mapping[str, Any]) -> list[str]:
    end = "upper end" if spec["bound"] == "upper" else "middle"
    lines = [f"| | predicted | 90% interval | limit | used ({end}) | |", "|---|---:|---:|---:|---:|---|"]
    for row in _rows(result):
        if row["limit"] is None or (not row["limit"] and not row["held"]):
            continue
        fine = row["held"] is None or row["held"] <= row["limit"]
        share = None if row["held"] is None else (row["held"] / row["limit"] if row["limit"] else float("inf"))
        lines.append(
            f"| {row['label']} | {amount(row['predicted'])} | {amount(row['low'])} to {amount(row['high'])} | "
            f"{amount(row['limit'])} | {percent(share)} | {'ok' if fine else '**over**'} |"
        )
    enough = (measurement.throughput_per_s or 0) >= spec["min_throughput_per_s"]
    lines.append(
        f"| inferences/s | {significant(result['throughput_per_s'])} | | at least "
        f"{significant(spec['min_throughput_per_s'])} | | {'ok' if enough else '**too slow**'} |"
    )
    wanted = spec["max_latency_us"]
    fast = wanted is None or (measurement.latency_us or 0) <= wanted
    limit = "no limit" if wanted is None else f"at most {significant(wanted)}"
    lines.append(
        f"| latency, us | {significant(result['latency_us'])} | | {limit} | | {'ok' if fast else '**too slow**'} |"
    )
    return lines


def _made_of(subject: Mapping[str, Any]) -> str:
    if subject["kind"] != "keras":
        return ""
    text = f"Input {subject['input_format']} ({escaped(subject['input_format_from'])})."
    if subject["weights_known"]:
        text += " The zeros among the weights are counted."
    if subject["float_layers"]:
        names = ", ".join(subject["float_layers"][:6])
        text += f" Not quantized, taken as {subject['float_format']}: {escaped(names)}."
    return text


def _layers_table(result: Mapping[str, Any]) -> list[str]:
    lines = ["<details><summary>Layers</summary>", ""]
    lines += ["| layer | reuse | LUT | FF | BRAM18 | DSP | cycles |", "|---|---:|---:|---:|---:|---:|---:|"]
    for layer in result["layers"]:
        reuse = "" if layer["reuse_factor"] is None else str(layer["reuse_factor"])
        amounts = " | ".join(amount(layer[name]) for name in ("lut", "ff", "bram18", "dsp", "interval_cycles"))
        lines.append(f"| {escaped(layer['name'])} | {reuse} | {amounts} |")
    return [*lines, "", "</details>"]


def escaped(text: str) -> str:
    """Text of a user's file without meaning in Markdown or HTML, on one line."""
    out = []
    for char in " ".join(str(text).split()):
        if char in "\\`*_[]<>|#!~&":
            out.append(f"&#{ord(char)};")
        elif char.isprintable():
            out.append(char)
    return "".join(out)


def write_summary(markdown: str, path: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Write the summary to ``path``, or append it to the job's page if GitHub Actions names one.

    Returns where it is, None if nowhere. Raises ToolError.
    """
    if path is not None:
        write_atomic(path, markdown)
        return path
    named = environment.get(STEP_SUMMARY)
    if not named:
        return None
    try:
        with Path(named).open("a", encoding="utf-8") as file:
            file.write(markdown)
    except OSError as error:
        raise ToolError(f"cannot write {named} ({STEP_SUMMARY}): {error.strerror}") from error
    return Path(named)
