"""The handshakes of a simulated design, cycle by cycle, and their waveform as SVG.

A probe module is bound to the top module for the simulation only: the design itself stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError, ToolError
from flow.network.quantized import IntArray
from flow.rtl.plan import TOP, BuildPlan, output_prefix
from flow.rtl.simulate import Stalls, run_beats, to_words
from flow.rtl.verilator import Source, Verilator

PROBE = "flow_probe.txt"
"""What the probe writes, in the folder in which the simulation runs."""

MOST_CYCLES = 2_000_000
"""Longest trace: a byte a stream and cycle is kept in memory."""

COLUMNS, LEFT, ROW, TOP_PX, HEIGHT = 700, 170, 26, 58, 16
"""Pixels: width of the waveform, room for names, distance of rows, first row and height of a row."""

_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c2733}.s{font-size:11px;fill:#52606d}.n{font-weight:600}"
    ".e{text-anchor:end}.t{fill:#eef1f4}.h{fill:#2f6fb0}.w{fill:#d2691e}.g{stroke:#c3cad1;fill:none}"
)


@dataclass(frozen=True, eq=False)
class Trace:
    """``valid`` and ``ready`` of shape (cycles, streams), from the first cycle without reset.

    ``streams``: the name of the node that sends each, "in" and "out" for the ends of the design. ``interval``: cycles
    between two inferences, by the schedule.
    """

    streams: tuple[str, ...]
    valid: NDArray[np.bool_]
    ready: NDArray[np.bool_]
    interval: int

    @property
    def moved(self) -> NDArray[np.bool_]:
        """In which cycles a beat was handed over."""
        return self.valid & self.ready


def trace(
    plan: BuildPlan, codes: IntArray, cache: Path, stalls: Stalls | None = None, tools: Verilator | None = None
) -> Trace:
    """Simulate input ``codes`` of shape (n, *input shape) and record all handshakes.

    ``cache``: see :func:`flow.rtl.simulate.simulate`. Raises what that does, and InputError for a run that would take
    more than ``MOST_CYCLES``.
    """
    design, found, count = plan.design, plan.schedule, len(codes)
    expected = count * found.interval + found.latency
    if expected > MOST_CYCLES:
        raise InputError(f"a trace of {expected:,} cycles is too long, at most {MOST_CYCLES:,}: trace fewer inferences")
    first, last = design.nodes[0].stream, design.nodes[-1].stream
    if codes.shape[1:] != design.network.input_shape or not count:
        raise InputError(f"expected codes of shape (n, {design.network.input_shape}), found {codes.shape}")
    names = ["in", *(node.name for node in design.nodes[1:-1]), "out"]
    wires = [output_prefix(design, index) for index in range(len(design.nodes))]
    source = Source({**plan.files, "flow_probe.v": probe_text(wires)}, TOP, first.bits, last.bits)
    kept = cache / f"{plan.digest}.probe.txt"
    run_beats(
        source, to_words(np.asarray(codes), first), count * last.beats, cache, stalls or Stalls(), tools,
        most_cycles=4 * (expected + 1000), keep={PROBE: kept},
    )  # fmt: skip
    try:
        rows = np.frombuffer(kept.read_bytes(), dtype=np.uint8)
    finally:
        kept.unlink(missing_ok=True)
    if rows.size % (len(wires) + 1):
        raise ToolError("the trace of the simulation is cut short")
    digits = rows.reshape(-1, len(wires) + 1)[:, :-1] - ord("0")
    return Trace(tuple(names), (digits & 1).astype(bool), (digits >> 1 & 1).astype(bool), found.interval)


def probe_text(wires: list[str]) -> str:
    """The probe and where it is bound: a line a cycle with a digit a stream, valid + 2 ready."""
    count = len(wires)
    bits = {kind: ", ".join(f"{wire}_{kind}" for wire in reversed(wires)) for kind in ("valid", "ready")}
    return f"""// Simulation only: writes the handshakes of all streams, a line a cycle.
module flow_probe (
    input wire clk,
    input wire rst,
    input wire [{count - 1}:0] valid,
    input wire [{count - 1}:0] ready
);
    integer file, i;
    initial file = $fopen("{PROBE}", "w");
    always @(posedge clk)
        if (!rst) begin
            for (i = 0; i < {count}; i = i + 1) $fwrite(file, "%0d", {{ready[i], valid[i]}});
            $fwrite(file, "\\n");
        end
    final $fclose(file);
endmodule

bind {TOP} flow_probe u_flow_probe (
    .clk(clk),
    .rst(rst),
    .valid({{{bits["valid"]}}}),
    .ready({{{bits["ready"]}}})
);
"""


def waveform(found: Trace, start: int = 0, stop: int | None = None) -> str:
    """The cycles from ``start`` to ``stop`` of a trace as the text of an SVG file, a row a stream.

    Blue: a beat is handed over; orange: one waits. Where a pixel stands for several cycles its bar is as high as the
    share of them. Raises InputError for an empty range.
    """
    stop = len(found.valid) if stop is None else min(stop, len(found.valid))
    if not 0 <= start < stop:
        raise InputError(f"no cycles from {start:,} to {stop:,}: the trace has {len(found.valid):,}")
    cycles, columns = stop - start, min(COLUMNS, stop - start)
    edges = start + np.arange(columns + 1) * cycles // columns
    moved = np.add.reduceat(found.moved[start:stop], edges[:-1] - start, axis=0) / np.diff(edges)[:, None]
    waits = found.valid & ~found.ready
    waiting = np.add.reduceat(waits[start:stop], edges[:-1] - start, axis=0) / np.diff(edges)[:, None]
    height = TOP_PX + ROW * len(found.streams) + 34
    scale = COLUMNS / columns
    body: list[str] = []
    for row, name in enumerate(found.streams):
        y = TOP_PX + row * ROW
        count = int(found.moved[start:stop, row].sum())
        body.append(_text(LEFT - 10, y + 12, name, "n e"))
        body.append(f'<rect class="t" x="{LEFT}" y="{y}" width="{COLUMNS}" height="{HEIGHT}"/>')
        body += _bars(waiting[:, row] + moved[:, row], y, scale, "w")
        body += _bars(moved[:, row], y, scale, "h")
        body.append(_text(LEFT + COLUMNS + 8, y + 12, f"{count:,}", "s"))
    body += _axis(start, stop, height - 30)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + COLUMNS + 80} {height}">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{LEFT + COLUMNS + 80}" height="{height}" fill="#fff"/>',
            _text(LEFT, 20, f"{cycles:,} clock cycles; an inference every {found.interval:,}", "n"),
            f'<rect class="h" x="{LEFT}" y="32" width="10" height="10"/>',
            _text(LEFT + 15, 41, "a beat is handed over", "s"),
            f'<rect class="w" x="{LEFT + 150}" y="32" width="10" height="10"/>',
            _text(LEFT + 165, 41, "a beat waits", "s"),
            _text(LEFT + COLUMNS + 8, 41, "beats", "s"),
            *body,
            "</svg>",
            "",
        ]
    )


def _bars(shares: NDArray[np.float64], y: int, scale: float, kind: str) -> list[str]:
    """One rectangle for each run of equal columns."""
    found = []
    levels = np.ceil(np.clip(shares, 0, 1) * HEIGHT).astype(int)
    cuts = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]
    for a, b in pairwise(cuts):
        if level := int(levels[a]):
            x, width = LEFT + a * scale, (b - a) * scale
            found.append(
                f'<rect class="{kind}" x="{x:.5g}" y="{y + HEIGHT - level}" width="{width:.5g}" height="{level}"/>'
            )
    return found


def _axis(start: int, stop: int, y: int) -> list[str]:
    """Tick marks at round cycle numbers."""
    rough = (stop - start) / 6
    power = 10 ** int(np.floor(np.log10(max(rough, 1))))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    found = []
    for cycle in range(-(-start // step) * step, stop + 1, step):
        x = LEFT + (cycle - start) * COLUMNS / (stop - start)
        found.append(f'<path class="g" d="M{x:.5g} {TOP_PX - 6}V{y}"/>')
        found.append(f'<text class="s" text-anchor="middle" x="{x:.5g}" y="{y + 16}">{cycle:,}</text>')
    return found


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'
