"""Predicted against reported, by resource and tool, with 90% intervals: docs/images/predictor-*.svg.

    python benchmarks/predictor_plots.py [FOLDER [OUT]]

Predictions are those of ``predictor_crossval.py``: coefficients and intervals of each row are fitted without its
project, or its shape. FOLDER holds the CSV files of public synthesis reports. The same data gives the same bytes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from predictor_crossval import DEFAULT, Bools, Floats, Intervals, intervals, one_layer, smape

from flow.estimate.calibrated import Module
from flow.estimate.calibrated_terms import REGIMES, regimes_of
from flow.estimate.calibration import cross_predict
from flow.estimate.calibration_data import Rows, read_rows
from flow.fileio import write_atomic

OUT = Path(__file__).resolve().parent.parent / "docs" / "images"
TITLES = {
    "lut": "LUT", "ff": "flip-flops", "bram18": "RAMB18", "dsp": "DSP slices", "cycles": "latency in cycles",
    "interval": "initiation interval in cycles",
}  # fmt: skip
KINDS = {"weights in memory": "#1f5fd0", "weights in logic": "#c2410c", "no weights": "#525b68"}
SIDE, LEFT, TOP, GAP, BOTTOM = 250, 62, 76, 26, 52
NOTHING = 0.4
"""Where 0 is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Group:
    """One panel: the rows of a tool."""

    title: str
    rows: Bools


def groups(rows: Rows) -> list[Group]:
    """The tools, oldest first; the runs of single layers apart, as they are many and alike."""
    single = one_layer(rows)
    year = np.array([int(v[:4]) for v in rows.version])
    return [
        Group("Vivado HLS 2020.1, one-layer runs", single),
        Group("Vivado HLS 2019 and 2020, projects", ~single & (year <= 2020)),
        Group("Vitis HLS 2021 and 2022, projects", ~single & (year > 2020)),
    ]


def kinds_of(rows: Rows) -> list[str]:
    """The colour of each row, as a name."""
    names = list(KINDS)
    regime = regimes_of(rows.features())
    return [names[0] if r == REGIMES.index("folded") else names[1] if r == REGIMES.index("constant") else names[2]
            for r in regime]  # fmt: skip


def figure(target: str, rows: Rows, module: Module, ends: Intervals) -> str:
    """One SVG: a panel for each tool."""
    reported, predicted = rows.target(target), getattr(module, target)
    known = np.isfinite(reported)
    largest = max(float(reported[known].max()), float(predicted[known].max()))
    top = math.ceil(math.log10(largest))
    least = math.log10(NOTHING / 2)

    def place(value: float) -> float:
        share = (math.log10(max(value, NOTHING)) - least) / (top - least)
        return SIDE * min(max(share, 0.0), 1.0)

    parts = groups(rows)
    width, height = LEFT + len(parts) * (SIDE + GAP), TOP + SIDE + BOTTOM
    font = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
    title = f"Reported {TITLES[target]} against predicted, in cross-validation; bars are 90% intervals"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{font}" font-size="12" fill="#39424e">',
        "<!-- generated, do not edit -->",
        f"<title>Predicted and reported {TITLES[target]}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="16" font-size="13.5" font-weight="600" fill="#1b2430">{title}</text>',
    ]
    x = LEFT
    for name, colour in KINDS.items():
        lines.append(f'<circle cx="{x + 5}" cy="34" r="4" fill="{colour}"/><text x="{x + 15}" y="38">{name}</text>')
        x += 150
    for number, group in enumerate(parts):
        left = LEFT + number * (SIDE + GAP)
        lines.append(f'<g transform="translate({left} {TOP})">')
        lines += panel(group, known, reported, predicted, ends, target, place, kinds_of(rows), top, first=number == 0)
        lines.append("</g>")
    middle = TOP + SIDE / 2
    lines.append(f'<text x="{(width + LEFT) / 2}" y="{TOP + SIDE + 42}" text-anchor="middle">predicted</text>')
    lines.append(f'<text transform="rotate(-90)" x="{-middle}" y="16" text-anchor="middle">reported by HLS</text>')
    return "\n".join([*lines, "</svg>", ""])


def panel(
    group: Group, known: Bools, reported: Floats, predicted: Floats, ends: Intervals, target: str,
    place: Callable[[float], float], kinds: list[str], top: int, first: bool,
) -> Iterator[str]:  # fmt: skip
    """The marks of one panel, its origin at the top left."""
    mine = np.flatnonzero(group.rows & known)
    error, inside = smape(reported[mine], predicted[mine]), 100 * float(ends.inside[target][mine].mean())
    yield f'<text x="0" y="-18" font-weight="600">{escape(group.title)}</text>'
    yield f'<text x="0" y="-5" font-size="11">{len(mine)} rows, SMAPE {error:.1f}%, {inside:.0f}% inside</text>'
    yield f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#9aa4b2"/>'
    for value, text in [(0.0, "0"), *((10.0**k, amount(k)) for k in range(top + 1))]:
        at = place(value)
        yield f'<path d="M{at:.1f} 0V{SIDE}M0 {SIDE - at:.1f}H{SIDE}" stroke="#eef0f3"/>'
        yield f'<text x="{at:.1f}" y="{SIDE + 16}" text-anchor="middle" font-size="11">{text}</text>'
        if first:
            yield f'<text x="-6" y="{SIDE - at + 4:.1f}" text-anchor="end" font-size="11">{text}</text>'
    yield f'<path d="M0 {SIDE}L{SIDE} 0" stroke="#9aa4b2" stroke-dasharray="4 3"/>'
    # Each place once: the one-layer runs would be 770 marks on few places.
    bars: dict[str, None] = {}
    dots: dict[str, None] = {}
    for i in mine:
        x, y = place(predicted[i]), SIDE - place(reported[i])
        low, high = SIDE - place(ends.low[target][i]), SIDE - place(ends.high[target][i])
        colour = KINDS[kinds[i]]
        bars[f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-opacity="0.18"/>'] = None
        dots[f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}" fill-opacity="0.6"/>'] = None
    yield from bars
    yield from dots


def amount(exponent: int) -> str:
    """10 to a power, short."""
    unit = min(exponent // 3, 2)
    return f"{10 ** (exponent - 3 * unit)}{['', 'k', 'M'][unit]}"


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else OUT
    everything = read_rows([folder / "wa_hls4ml_dense.csv", folder / "hls4ml_layers.csv"])
    rows = everything.select(~everything.failed & ~np.broadcast_to(everything.details.serial, (len(everything),)))
    module = cross_predict(rows)
    ends = intervals(rows, module)
    for target in TITLES:
        path = out / f"predictor-{'latency' if target == 'cycles' else target}.svg"
        write_atomic(path, figure(target, rows, module, ends))
        print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
