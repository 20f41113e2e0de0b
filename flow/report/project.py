"""A written HLS project for people: what it is for, and every layer with its formats and how it is built."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flow.report.text import table
from flow.report.winners import WIDTH, amount, shorten

if TYPE_CHECKING:
    from flow.hls.project import HlsProject
    from flow.network.quantized import QuantizedLayer

LABEL = 11
"""Columns of the names on the left."""


def project_text(project: HlsProject, board: str) -> str:
    """A project in a few lines and a table of its layers, at most 120 columns."""
    m = project.manifest
    clock = f"{m['clock_mhz']:g} MHz, {m['clock_uncertainty_percent']:g}% of the period left to routing"
    facts = [
        ("for", f"{board} ({m['part']}), {clock}"),
        ("built by", f"{m['backend']} HLS, {m['io_type']}, hls4ml {m['versions'].get('hls4ml', '?')}"),
        ("inputs", f"{_shape(m['input']['shape'])} of {m['input']['format']}"),
        ("test bench", f"{m.get('test_data') or str(m['test_images']) + ' inputs'}, with the expected outputs"),
        ("bits", _agreement(m["inexact"])),
    ]
    depths = m["fifo_depths"].values()
    if depths:
        least, most = min(depths), max(depths)
        deep = f"{most}" if least == most else f"{least} to {most}"
        facts.insert(4, ("FIFOs", f"{len(depths)}, {deep} entries deep, from the schedule"))
    facts += [("note", message) for message in m["messages"]]
    lines = [
        textwrap.fill(
            text, WIDTH, initial_indent=name.ljust(LABEL), subsequent_indent=" " * LABEL, break_on_hyphens=False
        )
        for name, text in facts
    ]
    return "\n".join([*lines, _layers(project)])


def _agreement(inexact: Sequence[str]) -> str:
    if not inexact:
        return "QKeras, the integers and the C++ agree on every one of them"
    return f"the integers and the C++ agree on every one of them; {'; '.join(inexact)}"


def _layers(project: HlsProject) -> str:
    rows = []
    for layer in project.network:
        built: dict[str, Any] = next((i for i in project.manifest["layers"] if i["name"] == layer.name), {})
        weights = "" if layer.weight is None else f"{amount(layer.weight.values.size)} {_weights(layer)}"
        rows.append(
            [
                shorten(layer.name, 24), layer.op, _shape(layer.out_shape), weights,
                "" if layer.accumulator is None else str(layer.accumulator), str(layer.output),
                str(built.get("reuse_factor", "")), str(built.get("strategy", "")),
            ]
        )  # fmt: skip
    head = ["layer", "op", "result", "weights", "accumulator", "of", "reuse", "strategy"]
    return table(head, rows, right=(6,))


def _weights(layer: QuantizedLayer) -> str:
    assert layer.weight is not None
    return str(layer.weight.format) if layer.weight.kind == "fixed" else layer.weight.kind


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(n) for n in shape)
