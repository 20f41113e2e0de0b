"""What tools measured beside what was predicted, each under its own name, and what was found to agree."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flow.report.text import table
from flow.report.winners import LABELS, UNKNOWN, WIDTH, amount, percent, significant, source_text
from flow.resources import RESOURCE_NAMES, Measurement, Resources

if TYPE_CHECKING:
    from flow.hls.agree import Comparison


def measured_text(predicted: Measurement | None, measured: Sequence[Measurement], budget: Resources | None) -> str:
    """One table: a row a source, its ratio to the prediction, and the budget with what is used of it by the
    measurement nearest to the hardware. The sources stand above it."""
    known = [*([predicted] if predicted is not None else []), *measured]
    sources = [textwrap.fill(source_text(m), WIDTH, subsequent_indent="  ", break_on_hyphens=False) for m in known]
    shown = [n for n in RESOURCE_NAMES if n != "uram" or any(m.resources.uram for m in known)]
    rows = []
    if predicted is not None:
        rows.append(_row("predicted", predicted, shown))
    for m in measured:
        rows.append(_row(m.source, m, shown))
        if predicted is not None:
            rows.append(_ratios(m, predicted, shown))
    if budget is not None and measured:
        shares = measured[-1].resources.utilisation(budget)
        rows.append(["budget", *(amount(getattr(budget, n)) for n in shown), "", "", "", ""])
        rows.append([f"{measured[-1].source} / budget", *(percent(shares.get(n)) for n in shown), "", "", "", ""])
    head = ["", *(LABELS[n] for n in shown), "interval cycles", "latency cycles", "MHz", "inf/s"]
    return "\n".join([*sources, table(head, rows, right=range(1, len(head)))])


def _row(label: str, m: Measurement, shown: Sequence[str]) -> list[str]:
    amounts = [amount(getattr(m.resources, n)) for n in shown]
    timing = [
        amount(m.interval_cycles),
        amount(m.latency_cycles),
        f"{m.clock_mhz:.5g}",
        significant(m.throughput_per_s),
    ]
    return [label, *amounts, *timing]


def _ratios(m: Measurement, predicted: Measurement, shown: Sequence[str]) -> list[str]:
    pairs = [(getattr(m.resources, n), getattr(predicted.resources, n)) for n in shown]
    pairs += [(m.interval_cycles, predicted.interval_cycles), (m.latency_cycles, predicted.latency_cycles)]
    pairs += [(m.clock_mhz, predicted.clock_mhz), (m.throughput_per_s, predicted.throughput_per_s)]
    return [f"{m.source} / predicted", *(ratio(a, b) for a, b in pairs)]


def ratio(value: float | None, reference: float | None) -> str:
    """A ratio with two digits after the point, ``?`` if a side is unknown; nothing of nothing has none."""
    if value is None or reference is None:
        return UNKNOWN
    if reference == 0:
        return "-" if value == 0 else "inf"
    return f"{value / reference:.2f}"


def steps_text(seconds: Mapping[str, float], reused: Sequence[str]) -> str:
    """The steps of a synthesis with their times: ``csynth 12.3 s, logic 4.0 s (done before)``."""
    return ", ".join(
        f"{name} {value:.1f} s{' (done before)' if name in reused else ''}" for name, value in seconds.items()
    )


def comparisons_text(comparisons: Sequence[Comparison]) -> str:
    """What agrees with the integers, one line each, and where it does not."""
    names = [c.name for c in comparisons]
    pad = max(map(len, names)) + 2
    lines = []
    for c in comparisons:
        lines.append(f"{c.name.ljust(pad)}{c.outputs:,} outputs in {c.seconds:.2f} s: {_found(c)}")
        if not c.agrees:
            lines.append(f"{' ' * pad}first: {c.first}")
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent=" " * pad, break_on_hyphens=False, drop_whitespace=True)
        for line in lines
    )


def _found(c: Comparison) -> str:
    note = f": {c.note}" if c.note else ""
    if c.different == 0:
        return f"all as the integers{f' ({c.note})' if c.note else ''}"
    allowed = {None: ", no bound is known", 0.0: ""}.get(c.allowed, f", at most {c.allowed:.3g} is allowed")
    same = (
        "" if c.same_largest is None else f"; the largest output is the same in {c.same_largest} of {c.samples} samples"
    )
    return f"{c.different:,} differ from the integers, by at most {c.largest:.3g}{allowed}{note}{same}"
