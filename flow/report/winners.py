"""The table of winners as plain text, and how numbers and networks are written in every report.

A measurement's source stands above its table, and numbers of different sources never share one.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from flow.network.fixed import WeightFormat
from flow.report.run_view import RunView, Winner, parse_winner
from flow.report.text import table
from flow.resources import RESOURCE_NAMES, Measurement, Resources
from flow.space.candidate import Candidate, LayerChoice

WIDTH = 120
"""Columns of text that every table fits."""

ID_WIDTH = 6
"""Columns of a winner's name; those of a search are ``w1``, ``w2``, ..."""

UNKNOWN = "?"
LABELS = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "uram": "URAM", "dsp": "DSP"}


class HasCapacity(Protocol):
    """A board, as far as a table needs it."""

    @property
    def capacity(self) -> Resources:
        """All resources of the part."""


def winners_table(
    winners: RunView | Sequence[Winner | Mapping[str, Any]], board: HasCapacity | Resources | None
) -> str:
    """One table a source of measurements, then the networks; at most 120 columns. Unknown is ``?``, never 0.

    ``board`` gives the capacity that percentages are of; ``None`` leaves them unknown. Entries may be those of
    ``winners.json``; raises InputError if one of them is damaged.
    """
    entries = winners.winners if isinstance(winners, RunView) else winners
    rows = [w if isinstance(w, Winner) else parse_winner(w, f"winners[{i}]") for i, w in enumerate(entries)]
    if not rows:
        return "no winners"
    capacity = board if isinstance(board, Resources) or board is None else board.capacity
    blocks = []
    for title, pairs in by_source(rows):
        blocks.append(f"{title}\n{_one_table(pairs, capacity)}")
        if any(getattr(m.high, n) is not None for _, m in pairs for n in RESOURCE_NAMES if n != "lut"):
            blocks.append(f"low and high end of the other amounts\n{_intervals_table(pairs, capacity)}")
    return "\n\n".join([*blocks, "networks (w, a: bits of weights and activations)\n" + _networks(rows)])


def by_source(winners: Iterable[Winner]) -> list[tuple[str, list[tuple[Winner, Measurement]]]]:
    """Winners with their newest measurement of each source, tool and version, under a title that says which."""
    groups: dict[str, dict[str, tuple[Winner, Measurement]]] = {}
    for winner in winners:
        for measurement in winner.measurements:
            groups.setdefault(source_text(measurement), {})[winner.id] = (winner, measurement)
    return [(f"source: {title}", list(pairs.values())) for title, pairs in groups.items()]


def source_text(measurement: Measurement) -> str:
    """Where a measurement comes from, such as ``predicted (uncalibrated), flow 0.1.0, xc7z020clg400-1, 100 MHz``."""
    note = f" ({measurement.note})" if measurement.note else ""
    clock = f"{measurement.clock_mhz:g} MHz"
    return f"{measurement.source}{note}, {measurement.tool} {measurement.version}, {measurement.part}, {clock}"


def scarcest(resources: Resources, capacity: Resources | None) -> tuple[str, float] | None:
    """The resource with the largest share of ``capacity`` and that share; ``None`` if nothing is known."""
    shares = resources.utilisation(capacity) if capacity else {}
    return max(shares.items(), key=lambda item: item[1], default=None)


def amount(value: float | None, digits: int = 0) -> str:
    """A number with thousands separated, ``?`` if unknown."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def significant(value: float | None) -> str:
    """A number with three significant digits and no exponent, ``?`` if unknown."""
    if value is None:
        return UNKNOWN
    if value >= 99.95:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{Decimal(text):f}" if "e" in text else text


def percent(share: float | None) -> str:
    """A share as percent, ``?`` if unknown; of a budget of zero it is ``>999%``."""
    if share is None:
        return UNKNOWN
    if share > 9.99:
        return ">999%"
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def accuracy(value: float | None) -> str:
    """An accuracy with four digits, ``?`` if unknown."""
    return UNKNOWN if value is None else f"{value:.4f}"


def interval(measurement: Measurement, name: str = "lut") -> str:
    """An amount with its interval where it has one: ``1,234 [900-1,600]``, from 100,000 on in thousands."""
    low, high = getattr(measurement.low, name), getattr(measurement.high, name)
    text = amount(getattr(measurement.resources, name))
    return text if low is None and high is None else f"{text} [{_rounded(low)}-{_rounded(high)}]"


def _rounded(value: float | None) -> str:
    return amount(value) if value is None or value < 1e5 else f"{amount(value / 1000)}k"


def duration(seconds: float | None) -> str:
    """Time as ``m:ss`` or ``h:mm:ss``, ``?`` if unknown or without end."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def architecture(candidate: Candidate) -> str:
    """A network in one line, such as ``conv3x3x8 w4 a3 -> pool2 -> flatten -> dense32 ternary a3 -> dense10 w6``."""
    parts: list[str] = []
    flat = len(candidate.input_shape) == 1
    for layer in candidate.layers:
        if layer.kind == "dense" and not flat:
            parts.append(candidate.head)
            flat = True
        parts.append(_layer(layer))
        if layer.pool > 1:
            parts.append(f"pool{layer.pool}")
    if not flat:
        parts.append(candidate.head)
    parts.append(f"dense{candidate.classes} {_weight(candidate.output_weight)}")
    return " -> ".join(parts)


def _layer(layer: LayerChoice) -> str:
    kernel = f"{layer.kernel[0]}x{layer.kernel[1]}"
    names = {"conv2d": f"conv{kernel}x{layer.units}", "depthwise": f"depthwise{kernel}"}
    words = [names.get(layer.kind, f"dense{layer.units}")]
    if layer.stride != (1, 1):
        down, right = layer.stride
        words.append(f"stride{down}" if down == right else f"stride{down}x{right}")
    words += [_weight(layer.weight), f"a{layer.activation.width}"]
    if layer.residual:
        words.append("+skip")
    if layer.concat:
        words.append(f"+concat({','.join(str(i + 1) for i in layer.concat)})")
    return " ".join(words)


def _weight(weight: WeightFormat) -> str:
    return f"w{weight.width}" if weight.kind == "fixed" else weight.kind


def _shown(pairs: Sequence[tuple[Winner, Measurement]], capacity: Resources | None) -> list[str]:
    """The resources that get a column beside LUT."""
    return [n for n in RESOURCE_NAMES if n not in ("lut", "uram") or (n == "uram" and _has_uram(pairs, capacity))]


def _intervals_table(pairs: Sequence[tuple[Winner, Measurement]], capacity: Resources | None) -> str:
    """Amounts with their intervals, for all resources but LUT, whose interval stands in the main table."""
    shown = _shown(pairs, capacity)
    rows = [[shorten(w.id, ID_WIDTH), *(interval(m, n) for n in shown)] for w, m in pairs]
    return table(["id", *(f"{LABELS[n]} [low-high]" for n in shown)], rows, right=range(1, len(shown) + 1))


def _one_table(pairs: Sequence[tuple[Winner, Measurement]], capacity: Resources | None) -> str:
    shown = _shown(pairs, capacity)
    head = [
        "id",
        "val acc",
        "test acc",
        "LUT [low-high]",
        *(LABELS[n] for n in shown),
        "inf/s",
        "latency us",
        "of board",
    ]
    rows = []
    for winner, measurement in pairs:
        predicted = measurement.source == "predicted"
        throughput = measurement.throughput_per_s or (winner.throughput_per_s if predicted else None)
        latency = measurement.latency_us or (winner.latency_us if predicted else None)
        worst = scarcest(measurement.resources, capacity)
        rows.append(
            [
                shorten(winner.id, ID_WIDTH),
                accuracy(winner.validation),
                accuracy(winner.test),
                interval(measurement),
                *(amount(getattr(measurement.resources, n)) for n in shown),
                significant(throughput),
                significant(latency),
                UNKNOWN if worst is None else f"{percent(worst[1])} {LABELS[worst[0]]}",
            ]
        )
    return table(head, rows, right=range(1, len(head)))


def _has_uram(pairs: Sequence[tuple[Winner, Measurement]], capacity: Resources | None) -> bool:
    """Whether UltraRAM is worth a column: the board has some, or a design uses some."""
    return bool(capacity and capacity.uram) or any(m.resources.uram for _, m in pairs)


def shorten(text: str, width: int) -> str:
    """``text`` cut to ``width`` characters, with a mark where it was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _networks(winners: Sequence[Winner]) -> str:
    pad = max(len(shorten(w.id, ID_WIDTH)) for w in winners) + 2
    return "\n".join(
        textwrap.fill(
            architecture(w.candidate),
            WIDTH,
            initial_indent=shorten(w.id, ID_WIDTH).ljust(pad),
            subsequent_indent=" " * pad,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for w in winners
    )
