"""A block diagram of a design as SVG: its modules from input to output, the streams between them and how busy each is.

Drawn from the ``Design`` and its ``Schedule`` alone: what it shows is what was built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from flow.rtl.design import Design, Node
from flow.rtl.schedule import Schedule

WIDTH, LEFT, BOX, BAR = 920, 28, 360, 200
TALL, SHORT, GAP, HEAD = 46, 24, 26, 56
"""Pixels: heights of a layer and of a converter, room for a stream's text between them, and the head line."""

_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c2733}.s{font-size:11px;fill:#52606d}.h{font-size:11px;fill:#7b8794}"
    ".n{font-weight:600}.l{fill:#eef4fb;stroke:#2f6fb0}.c{fill:#f7f7f7;stroke:#9aa5b1}.i{fill:#eaf6ec;stroke:#3c8d4d}"
    ".w{stroke:#52606d;fill:none}.b{fill:#2f6fb0}.m{fill:#d2691e}.t{fill:#e4e7eb}"
)

SMALL = ("narrow", "widen", "argmax")


@dataclass(frozen=True)
class _Box:
    top: int
    height: int

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


def block_diagram(design: Design, schedule: Schedule, luts: Mapping[str, float] | None = None) -> str:
    """The diagram as the text of an SVG file.

    ``luts``: synthesized LUTs by node, shown where given. Busy bars: cycles a module works of those between two
    inferences; the orange one sets the interval.
    """
    luts = luts or {}
    boxes, y = [], HEAD
    for node in design.nodes:
        height = SHORT if node.kind in SMALL else TALL
        boxes.append(_Box(y, height))
        y += height + GAP
    body: list[str] = []
    skips = [(source, to, port) for source, readers in enumerate(design.consumers) for to, port in readers]
    lanes = _lanes([(source, to) for source, to, _ in skips if to != source + 1])
    for source, to, port in skips:
        depth = schedule.fifos.get((design.nodes[to].name, port))
        text = _stream(design.nodes[source], depth)
        if to == source + 1:
            body += _straight(boxes[source], boxes[to], text)
        else:
            body += _around(boxes[source], boxes[to], LEFT + BOX + 14 + 14 * lanes[source, to], depth)
    bar = LEFT + BOX + 40 + 14 * (max(lanes.values(), default=-1) + 1) + 130
    for node, box in zip(design.nodes, boxes, strict=True):
        body += _box(node, box)
        body += _busy(node.name, box, bar, schedule, luts.get(node.name))
    last = boxes[-1]
    out = last.top + last.height
    body += _arrow(LEFT + BOX / 2, out, out + GAP)
    body.append(_text(LEFT + BOX / 2 + 8, out + 17, _stream(design.nodes[-1], None), "s"))
    head = (
        f"{len(design.network.layers)} layers, an inference every {schedule.interval:,} cycles, "
        f"latency {schedule.latency:,} cycles"
    )
    height = out + GAP + 14
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
                f'width="{WIDTH}" height="{height}">'
            ),
            f"<style>{_STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            _text(LEFT, 22, head, "n"),
            _text(bar, 42, "busy, of the interval", "h"),
            *([_text(bar + BAR + 70, 42, "synthesized LUTs", "h")] if luts else []),
            *body,
            "</svg>",
            "",
        ]
    )


def _stream(node: Node, depth: int | None) -> str:
    stream = node.stream
    beats = "beat" if stream.beats == 1 else "beats"
    fifo = "" if depth is None else f", FIFO of {depth:,}"
    return f"{stream.beats:,} {beats} of {stream.lanes} x {stream.format}{fifo}"


def _what(node: Node) -> str:
    """What a module does, in a line."""
    if node.kind == "input":
        return "input stream"
    if node.kind == "argmax":
        return "index of the largest output"
    if node.kind in SMALL:
        return f"1 beat to {node.ratio}" if node.kind == "narrow" else f"{node.ratio} beats to 1"
    layer = node.layer
    assert layer is not None
    kernel = f" {'x'.join(map(str, layer.kernel))}" if node.window is not None and layer.op != "dense" else ""
    if node.kind != "mac":
        lanes = node.stream.lanes
        return f"{layer.op}{kernel}, {lanes} channel{'s' if lanes > 1 else ''} a cycle"
    weight = "" if layer.weight is None else f", {layer.weight.values.size:,} weights of {layer.weight.format}"
    return f"{layer.op}{kernel}, {node.fold.outputs} x {node.fold.inputs} MACs a cycle{weight}"


def _box(node: Node, box: _Box) -> list[str]:
    small = node.kind in SMALL
    kind = "i" if node.kind == "input" else "c" if small else "l"
    indent = 60 if small else 0
    lines = [
        (
            f'<rect class="{kind}" x="{LEFT + indent}" y="{box.top}" width="{BOX - 2 * indent}" '
            f'height="{box.height}" rx="5"/>'
        )
    ]
    if small:
        return [*lines, _text(LEFT + indent + 10, box.top + 16, f"{node.name}: {_what(node)}", "s")]
    return [
        *lines,
        _text(LEFT + 10, box.top + 19, node.name, "n"),
        _text(LEFT + 10, box.top + 36, _what(node), "s"),
    ]


def _busy(name: str, box: _Box, x: float, schedule: Schedule, luts: float | None) -> list[str]:
    busy = schedule.busy.get(name, 0)
    share = min(busy / schedule.interval, 1.0)
    kind = "m" if name == schedule.bottleneck else "b"
    y = box.middle
    lines = [
        f'<rect class="t" x="{x}" y="{y - 5:g}" width="{BAR}" height="10" rx="2"/>',
        f'<rect class="{kind}" x="{x}" y="{y - 5:g}" width="{max(BAR * share, 1):.1f}" height="10" rx="2"/>',
        _text(x + BAR + 8, y + 4, f"{busy:,}", "s"),
    ]
    if luts is not None:
        lines.append(_text(x + BAR + 70, y + 4, f"{luts:,.0f}", "s"))
    return lines


def _lanes(edges: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """For each edge that passes boxes by, which of the lines beside them it takes: none twice at one height."""
    found: dict[tuple[int, int], int] = {}
    for source, to in sorted(edges, key=lambda e: (e[1] - e[0], e)):
        taken = {lane for (a, b), lane in found.items() if a < to and source < b}
        found[source, to] = next(n for n in range(len(edges) + 1) if n not in taken)
    return found


def _straight(source: _Box, to: _Box, text: str) -> list[str]:
    start = source.top + source.height
    return [*_arrow(LEFT + BOX / 2, start, to.top), _text(LEFT + BOX / 2 + 8, start + 17, text, "s")]


def _arrow(x: float, start: float, end: float) -> list[str]:
    return [
        f'<path class="w" d="M{x:g} {start:g}V{end - 5:g}"/>',
        f'<path d="M{x - 4:g} {end - 6:g}h8l-4 6z" fill="#52606d"/>',
    ]


def _around(source: _Box, to: _Box, x: float, depth: int | None) -> list[str]:
    right = LEFT + BOX
    start, end = source.middle + 6, to.middle - 6
    lines = [
        f'<path class="w" d="M{right} {start:g}H{x}V{end:g}H{right + 5}"/>',
        f'<path d="M{right + 6:g} {end - 4:g}v8l-6 -4z" fill="#52606d"/>',
    ]
    if depth is not None:
        lines.append(_text(x + 6, (start + end) / 2, f"FIFO of {depth:,}", "s"))
    return lines


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'
