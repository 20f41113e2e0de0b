"""``TOP_cosim.rpt``: whether the RTL agreed with the C in simulation, and how many cycles it took."""

from __future__ import annotations

import re

from flow.hls.reports.model import Cosim, Origin
from flow.hls.reports.text import Row, Table, Text, ordered, read_table, whole


def read_cosim(text: Text) -> Cosim:
    """The language that was simulated. Raises InputError if none or several were, or if the report is damaged."""
    line = text.only(r"Simulation tool\s*:", "simulation tool")
    table = read_table(text, text.after(line), "co-simulation")
    status = table.column("RTL Status", "Status")
    # The column RTL stands in the middle line of a head whose other columns span it.
    names = [row for row in table.rows if row.cells[status].strip() not in ("NA", "")]
    if len(names) != 1:
        raise text.error(f"{len(names)} languages were simulated, expected one", table.line)
    row = names[0]
    verdict = row.cells[status].strip()
    if verdict not in ("Pass", "Fail"):
        raise text.error(f"status is {verdict[:40]!r}, not Pass or Fail", row.line)
    tool = re.match(r"Simulation tool\s*:\s*(\w+)", text.lines[line])
    return Cosim(
        Origin("cosim", str(text.path), tool[1] if tool else "", "", "", ""),
        row.cells[table.column("RTL")].strip(),
        verdict == "Pass",
        _range(table, row, "Latency(Clock Cycles)"),
        _range(table, row, "Interval(Clock Cycles)"),
    )


def _range(table: Table, row: Row, name: str) -> tuple[int | None, int | None]:
    values = [
        whole(table.text, row.cells[table.column(f"{name} {bound}")], f"{name} {bound}", row.line)
        for bound in ("min", "max")
    ]
    return ordered(table.text, values[0], values[1], name, row.line)
