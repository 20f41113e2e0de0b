"""``report_timing_summary`` of Vivado. A design whose verdict and slacks disagree is an error, not a pass."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flow.hls.reports.model import ClockTiming, Timing
from flow.hls.reports.text import Text, decimal, whole
from flow.hls.reports.vivado_header import vivado_origin

VERDICTS: dict[str, bool | None] = {
    "All user specified timing constraints are met.": True,
    "Timing constraints are not met.": False,
    "There are no user specified timing constraints.": None,
}
"""The sentence below the summary; None means nothing was checked."""


@dataclass(frozen=True)
class _Columns:
    """Columns of a table without rules: their names, and where the dashes under each begin and end."""

    names: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]

    def cells(self, text: Text, line: int, skip: int = 0) -> dict[str, str]:
        """Column name -> cell, from character ``skip`` on. A number ends or starts below its column's dashes."""
        found: dict[str, str] = {}
        for match in re.compile(r"\{[^}]*\}|\S+").finditer(text.lines[line], skip):
            for name, (start, end) in zip(self.names, self.spans, strict=True):
                if start < match.end() <= end or (start <= match.start() < end):
                    if name in found:
                        raise text.error(f"two values under {name}", line)
                    found[name] = match[0]
                    break
            else:
                raise text.error(f"{match[0][:40]!r} is under no column", line)
        return found


def read_timing(text: Text) -> Timing:
    """The summary and each clock. Raises InputError if the report is damaged, incomplete or contradicts itself."""
    origin, _ = vivado_origin(text, "timing")
    summary = text.only(r"\| Design Timing Summary", "Design Timing Summary")
    clocks = text.only(r"\| Clock Summary", "Clock Summary", summary)
    intra = text.only(r"\| Intra Clock Table", "Intra Clock Table", clocks)
    inter = text.only(r"\| Inter Clock Table", "Inter Clock Table", intra)
    columns, line = _columns(text, r"\s+WNS\(ns\)", summary, clocks)
    row = columns.cells(text, line)
    met = _verdict(text, line, clocks)
    need = {"WNS(ns)", "TNS(ns)", "TNS Failing Endpoints", "WHS(ns)", "THS(ns)", "WPWS(ns)", "TPWS(ns)"}
    if missing := need - row.keys():
        raise text.error(f"no value under {', '.join(sorted(missing))}", line)
    values = {name: decimal(text, row[name], name, line) for name in need if name.endswith("(ns)")}
    slacks = [values[name] for name in ("WNS(ns)", "WHS(ns)", "WPWS(ns)")]
    failing = whole(text, row["TNS Failing Endpoints"], "TNS Failing Endpoints", line)
    violated = bool(failing) or any(slack is not None and slack < 0 for slack in slacks)
    if met is not None and met == violated:
        said = "met" if met else "not met"
        raise text.error(f"constraints said to be {said} with worst slacks {slacks} ns, {failing} failing", line)
    return Timing(
        origin,
        met,
        values["WNS(ns)"],
        values["TNS(ns)"],
        failing,
        values["WHS(ns)"],
        values["THS(ns)"],
        values["WPWS(ns)"],
        values["TPWS(ns)"],
        _clocks(text, clocks, intra, inter),
    )


def _columns(text: Text, head: str, start: int, end: int) -> tuple[_Columns, int]:
    """The columns of the table whose head line matches, and the index of its first row."""
    line = text.only(head, f"table headed {head.strip()}", start, end)
    dashes = text.lines[line + 1]
    if not re.fullmatch(r"[- ]*-[- ]*", dashes):
        raise text.error("no dashes under the head of the table", line + 1)
    spans = tuple(match.span() for match in re.finditer(r"-+", dashes))
    names = re.split(r"\s{2,}", text.lines[line].strip())
    # A head stands right above its dashes; one that does not has lost or gained characters.
    if len(names) != len(spans) or any(
        text.lines[line][a:b].strip() != n for n, (a, b) in zip(names, spans, strict=True)
    ):
        raise text.error("the head of the table does not fit the dashes below it", line)
    return _Columns(tuple(names), spans), line + 2


def _verdict(text: Text, start: int, end: int) -> bool | None:
    found = [text.lines[i].strip() for i in range(start, end) if text.lines[i].strip() in VERDICTS]
    if len(found) != 1:
        raise text.error("does not say whether its timing constraints are met" if not found else "two verdicts", start)
    return VERDICTS[found[0]]


def _clocks(text: Text, clocks: int, intra: int, inter: int) -> tuple[ClockTiming, ...]:
    """The clocks of the intra clock table, with their periods from the clock summary."""
    periods: dict[str, float | None] = {}
    if text.index(r"Clock\s+Waveform\(ns\)", clocks, intra) is not None:
        columns, line = _columns(text, r"Clock\s+Waveform\(ns\)", clocks, intra)
        while line < intra and text.lines[line].strip():
            row = _clock_row(text, columns, line)
            if row["Clock"] in periods:
                raise text.error(f"clock {row['Clock']!r} is there twice", line)
            periods[row["Clock"]] = decimal(text, row.get("Period(ns)", ""), "Period(ns)", line)
            line += 1
    if not periods and text.index(r"Clock\s+WNS\(ns\)", intra, inter) is None:
        return ()
    columns, line = _columns(text, r"Clock\s+WNS\(ns\)", intra, inter)
    found: dict[str, ClockTiming] = {}
    while line < inter and text.lines[line].strip():
        row = _clock_row(text, columns, line)
        name = row["Clock"]
        if name in found:
            raise text.error(f"clock {name!r} is there twice", line)
        wns, tns, whs, wpws = (
            decimal(text, row.get(column, ""), column, line) for column in ("WNS(ns)", "TNS(ns)", "WHS(ns)", "WPWS(ns)")
        )
        found[name] = ClockTiming(name, periods.get(name), wns, tns, whs, wpws)
        line += 1
    return tuple(found.values())


def _clock_row(text: Text, columns: _Columns, line: int) -> dict[str, str]:
    """The cells of a clock's row. Names of generated clocks are indented below the clock they come from."""
    match = re.match(r"\s*(\S+)", text.lines[line])
    assert match
    if match.end() > columns.spans[1][0]:
        raise text.error("no clock name in this row", line)
    return {**columns.cells(text, line, match.end()), "Clock": match[1]}
