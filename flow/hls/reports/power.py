"""``report_power`` of Vivado: an estimate unless the activity comes from a simulation, as its confidence tells."""

from __future__ import annotations

import re

from flow.hls.reports.model import Power
from flow.hls.reports.text import Text, decimal, read_table, sections
from flow.hls.reports.vivado_header import vivado_origin


def read_power(text: Text) -> Power:
    """Total, dynamic and static power. Raises InputError if the report is damaged or incomplete."""
    origin, fields = vivado_origin(text, "power", ("Design State",))
    parts = sections(text)
    if "Summary" not in parts:
        raise text.error("no section Summary: the report is incomplete or of another kind")
    table = read_table(text, text.after(parts["Summary"][0] - 1), "Summary", head=False)

    def cell(name: str) -> tuple[str, int]:
        row = table.row(name)
        if row is None or len(row.cells) != 2:
            raise text.error(f"no {name} in the power summary", table.line)
        # A star leads to a footnote; a remark may follow: "41.2 (Junction temp exceeded!)".
        return re.sub(r"\s*\(.*\)$", "", row.cells[1].strip()).rstrip("*"), row.line

    def watts(name: str) -> float:
        value, line = cell(name)
        value = value.removeprefix("<")  # "<0.001" is as much as 0.001
        amount = decimal(text, value, name, line)
        if amount is None or amount < 0:
            raise text.error(f"{name} is {value!r}, not an amount of power", line)
        return amount

    temperature, line = cell("Junction Temperature (C)")
    confidence, confidence_line = cell("Confidence Level")
    if confidence not in ("Low", "Medium", "High"):
        raise text.error(f"Confidence Level is {confidence!r}, not Low, Medium or High", confidence_line)
    return Power(
        origin,
        fields["Design State"],
        watts("Total On-Chip Power (W)"),
        watts("Dynamic (W)"),
        watts("Device Static (W)"),
        decimal(text, temperature, "Junction Temperature (C)", line),
        confidence,
    )
