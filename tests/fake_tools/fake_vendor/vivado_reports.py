"""Reports of Vivado, in the shape the real ones have."""

from __future__ import annotations

from .hls_reports import Design
from .numbers import capacity
from .tables import vivado_table


def header(design: Design, command: str, state: str, extra: list[tuple[str, str]] | None = None) -> list[str]:
    """The lines every report begins with."""
    fields = [
        ("Tool Version", f"Vivado v.{design.version} (lin64) Build 2902540 Wed May 27 19:54:35 MDT 2020"),
        ("Date", "Tue Mar  3 10:20:01 2026"),
        ("Host", "server running 64-bit Linux"),
        ("Command", command),
        ("Design", design.top),
        ("Device", design.part),
        *([("Design State", state)] if state else []),
        *(extra or []),
    ]
    width = max(len(name) for name, _ in fields)
    lines = [f"| {name.ljust(width)} : {value}" for name, value in fields]
    rule = "-" * max(map(len, lines))
    return ["Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.", rule, *lines, rule, ""]


def section(title: str, body: list[str]) -> list[str]:
    """A numbered section."""
    return [title, "-" * len(title), "", *body, "", ""]


def _rows(rows: list[tuple[str, float, float | None]], prohibited: bool) -> list[str]:
    cells = []
    for name, used, available in rows:
        share = "" if available is None else f"{100 * used / available:.2f}" if available else "0.00"
        if share == "0.00" and used:
            share = "<0.01"
        fixed = ["", ""] if available is None else ["0", "0"]
        cells.append([name, f"{used:g}", *(fixed if prohibited else fixed[:1])])
        cells[-1] += ["" if available is None else f"{available:.10g}", share]
    head = ["Site Type", "Used", "Fixed", *(["Prohibited"] if prohibited else []), "Available", "Util%"]
    return vivado_table(head, cells)


def utilization(design: Design, state: str, prohibited: bool = False) -> str:
    """``report_utilization``: 7-series tables, or UltraScale+ ones if the part is none of 7-series."""
    n, a = design.numbers, capacity(design.part)
    ultra = "7z" not in design.part and "7a" not in design.part and "7k" not in design.part
    star = "*" if state == "Synthesized" else ""
    kind = "CLB" if ultra else "Slice"
    logic: list[tuple[str, float, float | None]] = [
        (f"{kind} LUTs{star}", n.lut, a["lut"]),
        ("  LUT as Logic", n.lut - 20, a["lut"]),
        ("  LUT as Memory", 20, a["lut"] // 3),
        ("    LUT as Shift Register", 20, None),
        (f"{kind} Registers", n.ff, a["ff"]),
        ("  Register as Flip Flop", n.ff, a["ff"]),
        ("F7 Muxes", 3, a["lut"] // 2),
    ]
    memory: list[tuple[str, float, float | None]] = [
        ("Block RAM Tile", n.bram18 / 2, a["bram18"] / 2),
        ("  RAMB36/FIFO*", 0, a["bram18"] / 2),
        ("  RAMB18", n.bram18, a["bram18"]),
        *([("URAM", n.uram, a["uram"])] if ultra else []),
    ]
    types = [["0", "_", "-", "-"], [str(n.ff), "Yes", "Reset", "-"]]
    bodies = {
        "CLB Logic" if ultra else "Slice Logic": _rows(logic, prohibited),
        "1.1": vivado_table(["Total", "Clock Enable", "Synchronous", "Asynchronous"], types),
        **({f"{kind} Logic Distribution": _rows(logic[4:6], prohibited)} if state != "Synthesized" else {}),
        "BLOCKRAM" if ultra else "Memory": _rows(memory, prohibited),
        "ARITHMETIC" if ultra else "DSP": _rows([("DSPs", n.dsp, a["dsp"])], prohibited),
        "Primitives": vivado_table(
            ["Ref Name", "Used", "Functional Category"],
            [["FDRE", str(n.ff), "Flop & Latch"], ["LUT6", str(n.lut), "LUT"]],
        ),
        "Black Boxes": vivado_table(["Ref Name", "Used"], []),
        "Instantiated Netlists": vivado_table(["Ref Name", "Used"], []),
    }
    titles, number = [], 0
    for name in bodies:
        number += name != "1.1"
        titles.append("1.1 Summary of Registers by Type" if name == "1.1" else f"{number}. {name}")
    lines = header(design, "report_utilization -file utilization.rpt", state)
    lines += ["Utilization Design Information", "", "Table of Contents", "-----------------", *titles, ""]
    for title, body in zip(titles, bodies.values(), strict=True):
        lines += section(title, body)
    return "\n".join(lines)


def hierarchical(design: Design, state: str) -> str:
    """``report_utilization -hierarchical``."""
    n = design.numbers
    wide, narrow = divmod(n.bram18, 2)
    counts = [n.lut, n.lut - 20, 0, 20, n.ff, wide, narrow, n.uram, n.dsp]
    head = ["Instance", "Module", "Total LUTs", "Logic LUTs", "LUTRAMs", "SRLs", "FFs", "RAMB36", "RAMB18"]
    head += ["URAM", "DSP Blocks"]
    rows = [
        [design.top, "(top)", *map(str, counts)],
        [f"  ({design.top})", "(top)", *["2"] * 9],
        ["  dense_U0", "dense", *(str(max(count - 2, 0)) for count in counts)],
    ]
    lines = header(design, "report_utilization -hierarchical -file utilization_hierarchical.rpt", state)
    lines += ["Utilization Design Information", "", "Table of Contents", "-----------------"]
    lines += ["1. Utilization by Hierarchy", "", *section("1. Utilization by Hierarchy", vivado_table(head, rows))]
    return "\n".join(lines)


_SLACKS = [
    *("WNS(ns)", "TNS(ns)", "TNS Failing Endpoints", "TNS Total Endpoints"),
    *("WHS(ns)", "THS(ns)", "THS Failing Endpoints", "THS Total Endpoints"),
    *("WPWS(ns)", "TPWS(ns)", "TPWS Failing Endpoints", "TPWS Total Endpoints"),
]


def _heading(title: str) -> list[str]:
    rule = "-" * 96
    return [rule, f"| {title}", "| " + "-" * len(title), rule, ""]


def timing(design: Design, wns: float | None, clock: str = "ap_clk") -> str:
    """``report_timing_summary``: one clock; without a worst slack nothing was constrained."""
    constrained = wns is not None
    slack = wns or 0.0
    failing = 7 if slack < 0 else 0
    setup = [f"{slack:.3f}", f"{slack * failing:.3f}", str(failing), "2371"]
    values = [*setup, "0.097", "0.000", "0", "2371", "1.370", "0.000", "0", "920"]
    if not constrained:
        values = ["inf", "0.000", "0", "169", "inf", "0.000", "0", "169", "NA", "NA", "NA", "NA"]
    names = [name.rjust(11) if "(ns)" in name else name for name in _SLACKS]
    dashes = [("-" * len(name.strip())).rjust(len(name)) for name in names]
    cells = [value.rjust(len(name)) for value, name in zip(values, names, strict=True)]
    lines = header(design, "report_timing_summary -file timing.rpt", "", [("Speed File", "-1  PRODUCTION 1.12")])
    lines += ["Timing Summary Report", "", *_heading("Timer Settings"), "  Enable Multi Corner Analysis : Yes", ""]
    lines += [*_heading("Design Timing Summary"), "  ".join(names) + "  ", "  ".join(dashes) + "  "]
    lines += ["  ".join(cells) + "  ", "", ""]
    if not constrained:
        lines += ["There are no user specified timing constraints.", "", "", *_heading("Clock Summary"), ""]
        lines += [*_heading("Intra Clock Table"), "", *_heading("Inter Clock Table"), ""]
        return "\n".join(lines)
    verdict = "Timing constraints are not met." if failing else "All user specified timing constraints are met."
    lines += [verdict, "", "", *_heading("Clock Summary")]
    width = max(len(clock), 5)
    half = design.period / 2
    lines += ["Clock".ljust(width) + "  Waveform(ns)         Period(ns)      Frequency(MHz)"]
    lines += ["-----".ljust(width) + "  ------------         ----------      --------------"]
    lines += [f"{clock.ljust(width)}  {{0.000 {half:.3f}}}        {design.period:<15.3f} {1000 / design.period:.3f}"]
    lines += ["", "", *_heading("Intra Clock Table")]
    lines += ["Clock".ljust(width + 8) + "  ".join(names) + "  ", "-----".ljust(width + 8) + "  ".join(dashes) + "  "]
    lines += [clock.ljust(width + 8) + "  ".join(cells) + "  ", "", "", *_heading("Inter Clock Table")]
    lines += ["From Clock    To Clock          WNS(ns)", "----------    --------          -------", "", ""]
    return "\n".join([*lines, *_heading("Timing Details")])


def power(design: Design, total: float = 1.795, dynamic: float = 1.576) -> str:
    """``report_power``."""
    rows = [
        ("Total On-Chip Power (W)", f"{total:.3f}"),
        ("Design Power Budget (W)", "Unspecified*"),
        ("Power Budget Margin (W)", "NA"),
        ("Dynamic (W)", f"{dynamic:.3f}"),
        ("Device Static (W)", f"{total - dynamic:.3f}"),
        ("Effective TJA (C/W)", "11.5"),
        ("Max Ambient (C)", "64.4"),
        ("Junction Temperature (C)", "45.6"),
        ("Confidence Level", "Medium"),
        ("Setting File", "---"),
        ("Simulation Activity File", "---"),
        ("Design Nets Matched", "NA"),
    ]
    rule = "+" + "-" * 26 + "+" + "-" * 14 + "+"
    table = [rule, *(f"| {name:<24} | {value:<12} |" for name, value in rows), rule]
    parts = vivado_table(["On-Chip", "Power (W)"], [["Clocks", "0.014"], ["DSPs", "<0.001"]])
    titles = ["1. Summary", "1.1 On-Chip Components", "2. Settings"]
    extra = [("Grade", "commercial"), ("Process", "typical"), ("Characterization", "Production")]
    lines = header(design, "report_power -file power.rpt", "routed", extra)
    lines += ["Power Report", "", "Table of Contents", "-----------------", *titles, ""]
    for title, body in zip(titles, (table, parts, vivado_table(["Output Load (pF)", "5"], [])), strict=True):
        lines += section(title, body)
    return "\n".join(lines)
