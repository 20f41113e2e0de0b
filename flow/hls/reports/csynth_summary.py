"""``csynth.rpt`` of Vitis HLS: one table of all modules and loops. It has no clock period and one latency only.

A dash under a resource is taken as unknown, not as none: the table prints one for both. The XML beside it knows.
"""

from __future__ import annotations

import re

from flow.hls.part import canonical_part
from flow.hls.reports.csynth_rpt import hls_fields
from flow.hls.reports.model import HlsEstimate, Origin
from flow.hls.reports.text import Text, ordered, read_table, whole
from flow.resources import Resources

BANNER = r"== Synthesis Summary Report of '(.*)'"

_COLUMNS = {"lut": "LUT", "ff": "FF", "bram18": "BRAM", "uram": "URAM", "dsp": "DSP"}


def read_csynth_summary(text: Text) -> HlsEstimate:
    """The row of the top module. Raises InputError if the report is damaged, incomplete or has another top."""
    banner = text.only(BANNER, "report banner")
    match = re.match(BANNER, text.lines[banner])
    assert match
    top = match[1]
    estimates = text.only(r"\+ Performance & Resource Estimates:", "section Performance & Resource Estimates")
    fields = hls_fields(text, banner, estimates)
    # What follows the table differs by release (2021.1 ends with bursts, 2022.2 with pragmas); ports always do.
    text.only(r"== HW Interfaces", "section HW Interfaces", estimates)
    legend = text.only(r"\s+PS: '\+' for module", "legend of the table of modules", estimates)
    table = read_table(text, text.after(legend), "modules")
    if not table.rows:
        raise text.error("no module in the table of modules", table.line)
    row = table.rows[0]
    name = row.cells[table.column("Modules & Loops")]
    if not re.fullmatch(r"\+ " + re.escape(top) + r"\*?\s*", name):
        raise text.error(f"the first module is {name.strip()!r}, not the top {top!r}", row.line)

    def cycles(column: str) -> tuple[int | None, int | None]:
        least, _, most = row.cells[table.column(column)].partition("~")
        bounds = [whole(text, cell, column, row.line) for cell in (least, most or least)]
        return ordered(text, bounds[0], bounds[1], column, row.line)

    used = {}
    for resource, column in _COLUMNS.items():
        cell = row.cells[table.column(column)].strip()
        match = re.fullmatch(r"(\S+)(?: \(~?\d+%\))?", cell)
        used[resource] = whole(text, match[1] if match else cell, column, row.line)
    return HlsEstimate(
        Origin(
            "csynth summary",
            str(text.path),
            "Vitis HLS",
            fields["Version"],
            canonical_part(fields["Target device"]),
            top,
        ),
        Resources(**used),
        Resources(),
        None,
        None,
        None,
        cycles("Latency (cycles)"),
        cycles("Interval"),
        row.cells[table.column("Pipelined")].strip(),
    )
