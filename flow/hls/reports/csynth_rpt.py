"""``TOP_csynth.rpt``, the estimate of Vivado HLS and Vitis HLS for people.

2018.3 writes periods as ``5.00`` under "Timing (ns)" and latency in clock cycles; later releases write ``5.00 ns``
and have the latency in cycles and in time. Alveo devices have "Available SLR" rows beside "Available".
"""

from __future__ import annotations

import re

from flow.hls.part import canonical_part
from flow.hls.reports.model import HlsEstimate, Origin
from flow.hls.reports.text import Row, Table, Text, decimal, ordered, period, read_table, whole
from flow.resources import Resources

BANNER = r"== (Vivado HLS|Vitis HLS) Report for '(.*)'"

_NS = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6}


def read_csynth_rpt(text: Text) -> HlsEstimate:
    """The estimate in a csynth text report. Raises InputError if it is damaged or incomplete."""
    banner = text.only(BANNER, "report banner")
    match = re.match(BANNER, text.lines[banner])
    assert match
    performance = text.only(r"== Performance Estimates", "section Performance Estimates")
    utilization = text.only(r"== Utilization Estimates", "section Utilization Estimates", performance)
    interface = text.only(r"== Interface", "section Interface", utilization)
    _interface_is_whole(text, interface)
    fields = hls_fields(text, banner, performance)
    origin = Origin(
        "csynth",
        str(text.path),
        match[1],
        fields["Version"],
        canonical_part(fields["Target device"]),
        match[2],
    )
    clock = _clock(text, performance, utilization)
    latency = _summary(text, r"\+ Latency", "Latency", performance, utilization)
    (row,) = _one_row(text, latency)
    summary = text.only(r"\* Summary:", "utilization summary", utilization, interface)
    used = read_table(text, text.after(summary), "utilization")
    return HlsEstimate(
        origin,
        _resources(used, "Total"),
        _resources(used, "Available"),
        *clock,
        _range(latency, row, "latency", ("Latency", "Latency (cycles)")),
        _range(latency, row, "interval", ("Interval",)),
        row.cells[latency.column("Pipeline Type")].strip(),
    )


def hls_fields(text: Text, start: int, end: int) -> dict[str, str]:
    """``* Key: value`` lines of an HLS report's header. Raises InputError if one we need is missing or odd."""
    fields: dict[str, str] = {}
    for key, pattern in (("Version", r"(20\d\d\.\d[\d.]*)"), ("Target device", r"([\w-]+)$")):
        line = text.only(rf"\s*\* {key}:", key, start, end)
        match = re.match(rf"\s*\* {key}:\s+{pattern}", text.lines[line].rstrip())
        if not match:
            raise text.error(f"{key} is not understood: {text.lines[line].strip()[:80]!r}", line)
        fields[key] = match[1]
    return fields


def _summary(text: Text, heading: str, what: str, start: int, end: int) -> Table:
    """The table that follows a heading and ``* Summary:`` at once, so that a details table is never taken for it."""
    line = text.only(heading, what, start, end)
    summary = text.after(line)
    if not re.match(r"\s*\* Summary:", text.lines[summary]):
        raise text.error(f"no summary below {what}", summary)
    return read_table(text, text.after(summary), what)


def _one_row(text: Text, table: Table) -> tuple[Row]:
    if len(table.rows) != 1:
        raise text.error(f"{len(table.rows)} rows where one is expected", table.line)
    return (table.rows[0],)


def _clock(text: Text, start: int, end: int) -> tuple[float | None, float | None, float | None]:
    """(target, estimated, uncertainty) in ns."""
    table = _summary(text, r"\+ Timing", "Timing", start, end)
    (row,) = _one_row(text, table)
    heading = text.find(r"\+ Timing(?: \((\w+)\))?", start, end)
    assert heading
    values = []
    for name in ("Target", "Estimated", "Uncertainty"):
        cell = row.cells[table.column(name)].strip()
        number, _, unit = cell.partition(" ")
        unit = unit.strip() or heading[1] or ""
        read = period if name == "Target" else decimal  # wires alone have an estimate of 0.000 ns
        value = read(text, number, f"{name} clock period", row.line)
        if value is not None and unit not in _NS:
            raise text.error(f"{name} clock period {cell!r} has no unit we know", row.line)
        values.append(None if value is None else value * _NS[unit])
    return values[0], values[1], values[2]


def _range(table: Table, row: Row, what: str, names: tuple[str, ...]) -> tuple[int | None, int | None]:
    """(least, most) of the columns ``NAME min`` and ``NAME max``."""
    values = []
    for bound in ("min", "max"):
        cell = row.cells[table.column(*(f"{name} {bound}" for name in names))]
        values.append(whole(table.text, cell, f"{what} {bound}", row.line))
    return ordered(table.text, values[0], values[1], what, row.line)


def _resources(table: Table, name: str) -> Resources:
    """The row ``name`` of the utilization summary. Raises InputError if it is not there."""
    row = table.row(name)
    if row is None:
        raise table.text.error(f"no row {name} in the utilization summary", table.line)
    found: dict[str, int | None] = {}
    columns = {
        "lut": table.column("LUT"),
        "ff": table.column("FF"),
        "bram18": table.column("BRAM_18K"),
        "uram": table.optional("URAM"),
        "dsp": table.column("DSP48E", "DSP"),
    }
    for resource, column in columns.items():
        found[resource] = None if column is None else whole(table.text, row.cells[column], resource, row.line)
    return Resources(**found)


def _interface_is_whole(text: Text, interface: int) -> None:
    """The ports are the last thing in the file: a report that ends before them was cut off."""
    summary = text.only(r"\* Summary:", "summary of the interface", interface)
    read_table(text, text.after(summary), "ports")
