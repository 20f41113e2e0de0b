"""``report_utilization`` of Vivado: the flat tables of 7-series and UltraScale+, and the hierarchical one.

Block RAM is counted in tiles of 36 Kib, halves included: a tile is two of our RAMB18. "CLB Registers" stands in two
tables of an UltraScale+ report, and inner rows repeat outer names, so rows are taken from their own section only.
"""

from __future__ import annotations

import re

from flow.hls.reports.model import Utilization
from flow.hls.reports.text import Row, Table, Text, read_table, sections, whole
from flow.hls.reports.vivado_header import vivado_origin
from flow.resources import Resources

_LOGIC = ("Slice Logic", "CLB Logic")
_MEMORY = ("Memory", "BLOCKRAM")
_DSP = ("DSP", "ARITHMETIC")
_HIERARCHY = "Utilization by Hierarchy"


def read_utilization(text: Text) -> Utilization:
    """What the design uses. Raises InputError if the report is damaged, incomplete or of an unknown family."""
    origin, fields = vivado_origin(text, "utilization", ("Design State",))
    parts = sections(text)
    if _HIERARCHY in parts:
        used, available = _hierarchy(text, parts[_HIERARCHY], origin.top), Resources()
    else:
        used, available = _flat(text, parts)
    return Utilization(origin, fields["Design State"], used, available)


def _flat(text: Text, parts: dict[str, tuple[int, int]]) -> tuple[Resources, Resources]:
    """(used, available) from the tables by kind of site."""
    logic = _table(text, parts, _LOGIC)
    if logic is None:
        raise text.error(f"no section {' or '.join(_LOGIC)}: this device family is not known")
    memory, dsp = _table(text, parts, _MEMORY), _table(text, parts, _DSP)
    found = {
        "lut": _amounts(logic, 1, True, "Slice LUTs", "CLB LUTs"),
        "ff": _amounts(logic, 1, True, "Slice Registers", "CLB Registers"),
        "bram18": _amounts(memory, 2, False, "Block RAM Tile"),
        "uram": _amounts(memory, 1, False, "URAM"),
        "dsp": _amounts(dsp, 1, False, "DSPs"),
    }
    return Resources(**{k: v[0] for k, v in found.items()}), Resources(**{k: v[1] for k, v in found.items()})


def _table(text: Text, parts: dict[str, tuple[int, int]], titles: tuple[str, ...]) -> Table | None:
    """The table right below the section's heading; None if the report has no such section."""
    for title in titles:
        if title in parts:
            table = read_table(text, text.after(parts[title][0] - 1), title)
            if not table.rows:
                raise text.error(f"the table of {title} is empty", table.line)
            return table
    return None


def _amounts(table: Table | None, unit: int, needed: bool, *names: str) -> tuple[float | None, float | None]:
    """(used, available) of a row times ``unit``; None if the row is not there and not ``needed``."""
    row = table.row(*names) if table else None
    if table is None or row is None:
        if needed and table:
            raise table.text.error(f"no row {' or '.join(names)} in this table", table.line)
        return None, None
    used = _tiles(table.text, row.cells[table.column("Used")], unit, names[0], row.line)
    if used is None:
        raise table.text.error(f"no amount in row {names[0]}", row.line)
    return used, _tiles(table.text, row.cells[table.column("Available")], unit, names[0], row.line)


def _tiles(text: Text, cell: str, unit: int, what: str, line: int) -> float | None:
    """An amount in our unit. Only tiles come in halves: ``68.5`` tiles are 137 RAMB18."""
    match = re.fullmatch(r"([0-9]{1,12})\.([05])", cell.strip())
    if match and unit == 2:
        return int(match[1]) * 2 + (match[2] == "5")
    amount = whole(text, cell, what, line)
    return None if amount is None else amount * unit


def _hierarchy(text: Text, part: tuple[int, int], top: str) -> Resources:
    """The row of the top instance, which holds everything below it."""
    table = read_table(text, text.after(part[0] - 1), _HIERARCHY)
    row = table.rows[0] if table.rows else None
    name = row.cells[table.column("Instance")] if row else ""
    # Inner instances are indented further, and the top's own logic is called "(top)": neither is the whole.
    if row is None or not re.fullmatch(r" \S.*", name) or name.strip() != top:
        raise text.error(
            f"the first instance is {name.strip()!r}, not the design {top!r}", row.line if row else table.line
        )

    def amount(*names: str) -> int | None:
        column = table.optional(*names)
        if column is None:
            return None
        return whole(text, re.sub(r"\(.*\)\s*$", "", row.cells[column]), names[0], row.line)

    wide, narrow = amount("RAMB36"), amount("RAMB18")
    return Resources(
        lut=_need(table, row, amount("Total LUTs"), "Total LUTs"),
        ff=_need(table, row, amount("FFs"), "FFs"),
        bram18=None if wide is None or narrow is None else 2 * wide + narrow,
        uram=amount("URAM"),
        dsp=amount("DSP Blocks", "DSP48 Blocks"),
    )


def _need(table: Table, row: Row, value: int | None, what: str) -> int:
    if value is None:
        raise table.text.error(f"no {what} of the top instance", row.line)
    return value
