"""Predictions for people: one network in full, or many with a line each; at most 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from flow.report.remedies import as_option
from flow.report.text import table
from flow.report.winners import LABELS, WIDTH, amount, percent, shorten, significant, source_text
from flow.resources import RESOURCE_NAMES, Measurement, Resources

INDENT = 11
OPTIONS = {"LUT": "--lut", "FPS": "--fps", "LATENCY": "--latency", "CLOCK": "--clock"}
"""Options of ``flow predict`` by what a remedy changes."""
SHORTEST = 8
"""Characters of a layer's name that a narrow table leaves."""
SHOWN = 6
"""Most names in a list that are printed."""


def prediction_text(result: Mapping[str, Any], width: int = WIDTH) -> str:
    """A result of ``predict_subject`` in full, ``width`` columns wide where the numbers of its layers leave it that."""
    measurement = Measurement.from_dict(result["measurement"])
    budget = Resources.from_dict(result["spec"]["budget"])
    subject = result["subject"]
    verdict = "fits" if result["fits"] else "does not fit"
    what = subject["name"] if subject["kind"] == "keras" else f"candidate {result['digest']}"
    size = (
        f"{amount(result['macs'])} multiplications an inference, {amount(result['parameters'])} parameters, "
        f"{amount(result['weight_bits'])} bits of weights"
    )
    lines = [shorten(f"{what} on {result['board']}: {verdict}", width)]
    lines += _field("network", result["network"])
    lines += _field("size", size)
    lines += _field("source", source_text(measurement) + ": what HLS reports, before logic synthesis")
    lines += _synthesized(result)
    if subject["kind"] == "keras":
        lines += _model(subject)
    if not result["fits"]:
        lines += _field("why", result["sentence"])
    lines += _bottleneck(result)
    for remedy in result["remedies"]:
        lines += _field("would fit", as_option(remedy, OPTIONS))
    if not result["fits"] and not result["remedies"]:
        lines += _field("would fit", "no single limit, layer or board makes it fit: change several, or the network")
    lines += _boards(result)
    wrapped = [part for line in lines for part in _wrapped(line, width)]
    blocks = ["\n".join(wrapped), _resources(measurement, budget, result["spec"]["bound"])]
    return "\n\n".join([*blocks, _timing(result, measurement), _layers(result, width)])


def _field(label: str, text: str) -> list[str]:
    return [f"{label:{INDENT}}{text}"]


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent=" " * INDENT, break_on_hyphens=False, drop_whitespace=True)


def _model(subject: Mapping[str, Any]) -> list[str]:
    """What of a model is not in its file, and what is."""
    lines = _field("input", f"{subject['input_format']} ({subject['input_format_from']})")
    zero = [1 - share for share in subject["nonzero_weights"].values()]
    if zero:
        least, most = f"{min(zero):.0%}", f"{max(zero):.0%}"
        span = least if least == most else f"{least} to {most}"
        lines += _field(
            "weights", f"those in the file: {span} of a layer's are zero, which takes no hardware at reuse 1"
        )
    if subject["float_layers"]:
        names = _names(subject["float_layers"])
        lines += _field(
            "floats", f"not quantized, taken as {subject['float_format']} (hls4ml's default is fixed<16,6>): {names}"
        )
    return lines


def _synthesized(result: Mapping[str, Any]) -> list[str]:
    """What logic synthesis is expected to leave, in a line of its own: it is no column beside what HLS reports."""
    if result["synthesized"] is None:
        return []
    after = Measurement.from_dict(result["synthesized"])
    amounts = [
        f"{amount(value)} {LABELS[name]}" + ("" if low == high else f" ({amount(low)} to {amount(high)})")
        for (name, value), (_, low), (_, high) in zip(after.resources, after.low, after.high, strict=True)
        if name != "uram" or value
    ]
    text = ", ".join(amounts) + "; 90% intervals, from few public pairs of reports, and no part of the verdict"
    return _field("synthesis", f"expected to leave {text}")


def _bottleneck(result: Mapping[str, Any]) -> list[str]:
    slow = result["bottleneck"]
    share = "" if slow["lut_share"] is None else f"; most LUTs: {slow['most_lut']}, {percent(slow['lut_share'])}"
    cycles = slow["interval_cycles"]
    text = f"{slow['layer']}, {amount(cycles)} cycle{'s' if cycles != 1 else ''} an inference{share}"
    return _field("bottleneck", text)


def _boards(result: Mapping[str, Any]) -> list[str]:
    if result["boards"] is None:
        return []
    if result["fits"]:
        smaller = result["smaller_boards"]
        return _field("smaller", f"boards it fits on, too: {_names(smaller)}" if smaller else "no smaller board fits")
    fitting = [b["board"] for b in result["boards"] if b["fits"]]
    return _field("boards", f"it fits on {_names(fitting)}" if fitting else "it fits on none of the boards")


def _names(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _resources(measurement: Measurement, budget: Resources, bound: str) -> str:
    held = measurement.high if bound == "upper" else measurement.resources
    shares = held.utilisation(budget)
    rows = [
        ["predicted", *(amount(v) for _, v in measurement.resources)],
        ["low", *(amount(v) for _, v in measurement.low)],
        ["high", *(amount(v) for _, v in measurement.high)],
        ["budget", *(amount(v) for _, v in budget)],
        ["used, high" if bound == "upper" else "used", *(percent(shares.get(n)) for n in RESOURCE_NAMES)],
    ]
    title = "low and high: 90% interval; the " + ("high end" if bound == "upper" else "middle") + " has to fit"
    return f"{title}\n" + table(["", *(LABELS[n] for n in RESOURCE_NAMES)], rows, right=range(1, 6))


def _timing(result: Mapping[str, Any], measurement: Measurement) -> str:
    spec, clock = result["spec"], measurement.clock_mhz
    wanted = spec["max_latency_us"]
    most = "no limit" if wanted is None else f"at most {significant(wanted)} us"
    return (
        f"throughput {significant(result['throughput_per_s'])} inferences/s, required "
        f"{significant(spec['min_throughput_per_s'])} ({amount(measurement.interval_cycles)} cycles at {clock:g} MHz)\n"
        f"latency    {significant(result['latency_us'])} us, {most} ({amount(measurement.latency_cycles)} cycles)"
    )


def _layers(result: Mapping[str, Any], width: int, longest: int = 20) -> str:
    """The table of layers, their names cut to ``longest`` or to what ``width`` leaves them."""
    layers = result["layers"]
    shown = [n for n in RESOURCE_NAMES if n != "uram" or any(layer["uram"] for layer in layers)]
    head = ["layer", "reuse", "strategy", *(LABELS[n] for n in shown), "interval", "fill"]
    rows = [
        [
            shorten(layer["name"], longest),
            "" if layer["reuse_factor"] is None else str(layer["reuse_factor"]),
            layer["strategy"] or "",
            *(amount(layer[n]) for n in shown),
            amount(layer["interval_cycles"]),
            amount(layer["fill_cycles"]),
        ]
        for layer in layers
    ]
    io_type = result["implementation"]["io_type"]
    text = table(head, rows, right=(1, *range(3, len(head))))
    named = max(len(row[0]) for row in rows)
    excess = max(map(len, text.splitlines())) - width
    if excess > 0 and named > SHORTEST:
        return _layers(result, width, max(named - excess, SHORTEST))
    return f"layers, {io_type}; interval and fill in cycles\n{text}"


def summary_text(results: Sequence[Mapping[str, Any]]) -> str:
    """A line for each of several predictions on one board, then those with an ``error`` instead."""
    good = [r for r in results if "error" not in r]
    bad = [r for r in results if "error" in r]
    fit = sum(1 for r in good if r["fits"])
    title = f"{fit} of {len(results)} fit"
    unread = f", {len(bad)} cannot be read" if bad else ""
    blocks = []
    if not good:
        title += unread
    else:
        first = good[0]
        end = "high ends of 90% intervals" if first["spec"]["bound"] == "upper" else "middles of 90% intervals"
        title += f" on {first['board']}{unread}; amounts are {end}"
        source = textwrap.wrap(f"source: {source_text(Measurement.from_dict(first['measurement']))}", WIDTH)
        head = ["network", "", "LUT", "FF", "BRAM18", "DSP", "per s", "us", "why not"]
        blocks = ["\n".join(source), table(head, [_summary_row(r) for r in good], right=range(2, 8))]
    if bad:
        lines = [textwrap.wrap(f"{r['name']}: {r['error']}", WIDTH, subsequent_indent="  ") for r in bad]
        blocks.append("cannot be read:\n" + "\n".join(line for part in lines for line in part))
    return "\n\n".join([title, *blocks])


def _summary_row(result: Mapping[str, Any]) -> list[str]:
    measurement = Measurement.from_dict(result["measurement"])
    held = measurement.high if result["spec"]["bound"] == "upper" else measurement.resources
    amounts = [amount(getattr(held, n)) for n in ("lut", "ff", "bram18", "dsp")]
    times = [significant(result["throughput_per_s"]), significant(result["latency_us"])]
    verdict = "fits" if result["fits"] else "no"
    return [shorten(result["subject"]["name"], 40), verdict, *amounts, *times, result["reason"]]
