"""Reports of the HLS tools, in the shape the real ones have."""

from __future__ import annotations

from dataclasses import dataclass

from .numbers import Numbers, capacity
from .tables import hls_table

BUILD = {"2019.2": "2698951 on Thu Oct 24 19:15:34 MDT 2019", "2020.1": "2897737 on Wed May 27 20:21:37 MDT 2020"}


@dataclass(frozen=True)
class Design:
    """What was synthesized. ``vitis`` tells the format; ``period`` and ``uncertainty`` are in ns."""

    top: str
    part: str
    version: str
    vitis: bool
    period: float
    uncertainty: float
    numbers: Numbers

    @property
    def estimated(self) -> float:
        """The clock period the tool believes in, in ns."""
        return self.period * self.numbers.estimated_share

    @property
    def dsp(self) -> str:
        return "DSP" if self.vitis else "DSP48E"

    def used(self) -> list[tuple[str, int]]:
        n = self.numbers
        return [("BRAM_18K", n.bram18), (self.dsp, n.dsp), ("FF", n.ff), ("LUT", n.lut), ("URAM", n.uram)]

    def available(self) -> list[tuple[str, int]]:
        amounts = capacity(self.part)
        names = {"BRAM_18K": "bram18", self.dsp: "dsp", "FF": "ff", "LUT": "lut", "URAM": "uram"}
        return [(name, int(amounts[names[name]])) for name, _ in self.used()]


def cycles(value: int | None, unknown: str) -> str:
    return unknown if value is None else str(value)


def csynth_xml(design: Design) -> str:
    """``csynth.xml``."""
    n = design.numbers
    latency = [cycles(v, "undef") for v in (n.latency_min, n.latency_max, n.latency_max)]
    lines = ["<profile>", "", "<ReportVersion>", f"<Version>{design.version}</Version>", "</ReportVersion>", ""]
    lines += ["<UserAssignments>", "<unit>ns</unit>", "<ProductFamily>zynq</ProductFamily>"]
    lines += [f"<Part>{design.part}</Part>", f"<TopModelName>{design.top}</TopModelName>"]
    lines += [f"<TargetClockPeriod>{design.period:.2f}</TargetClockPeriod>"]
    lines += [f"<ClockUncertainty>{design.uncertainty:.2f}</ClockUncertainty>"]
    lines += ["<FlowTarget>vivado</FlowTarget>"] if design.vitis else []
    lines += ["</UserAssignments>", "", "<PerformanceEstimates>", "<PipelineType>dataflow</PipelineType>"]
    lines += ["<SummaryOfTimingAnalysis>", "<unit>ns</unit>"]
    lines += [f"<EstimatedClockPeriod>{design.estimated:.3f}</EstimatedClockPeriod>", "</SummaryOfTimingAnalysis>"]
    lines += ["<SummaryOfOverallLatency>", "<unit>clock cycles</unit>"]
    for name, value in zip(("Best", "Average", "Worst"), latency, strict=True):
        lines.append(f"<{name}-caseLatency>{value}</{name}-caseLatency>")
    for name, bound in (("min", n.interval_min), ("max", n.interval_max)):
        lines.append(f"<Interval-{name}>{cycles(bound, 'undef')}</Interval-{name}>")
    lines += ["</SummaryOfOverallLatency>", "</PerformanceEstimates>", "", "<AreaEstimates>"]
    for tag, amounts in (("Resources", design.used()), ("AvailableResources", design.available())):
        lines += [f"<{tag}>", *(f"<{name}>{amount}</{name}>" for name, amount in amounts), f"</{tag}>"]
    lines += ["</AreaEstimates>", "", "<InterfaceSummary>"]
    for port in ("ap_clk", "ap_rst"):
        lines += ["<RtlPorts>", f"<name>{port}</name>", f"<Object>{design.top}</Object>", "<Type>return value</Type>"]
        lines += ["<Scope></Scope>", "<IOProtocol>ap_ctrl_hs</IOProtocol>", "<IOConfig></IOConfig>"]
        lines += ["<Dir>in</Dir>", "<Bits>1</Bits>", "<Attribute>control</Attribute>", "</RtlPorts>"]
    return "\n".join([*lines, "</InterfaceSummary>", "", "</profile>", ""])


def csynth_rpt(design: Design) -> str:
    """``TOP_csynth.rpt``."""
    n = design.numbers
    tool = "Vitis HLS" if design.vitis else "Vivado HLS"
    build = BUILD.get(design.version, "3670227 on Oct 13 2022")
    rule = "=" * 64
    lines = [
        "",
        "",
        rule,
        f"== {tool} Report for '{design.top}'",
        rule,
        "* Date:           Tue Mar  3 10:11:12 2026",
        "",
    ]
    lines += [f"* Version:        {design.version} (Build {build})", f"* Project:        {design.top}_prj"]
    lines += ["* Solution:       solution1" + (" (Vivado IP Flow Target)" if design.vitis else "")]
    lines += ["* Product family: zynq", f"* Target device:  {design.part}", "", ""]
    lines += [rule, "== Performance Estimates", rule, "+ Timing: ", "    * Summary: "]
    periods = [f"{design.period:.2f} ns", f"{design.estimated:.3f} ns", f"{design.uncertainty:.2f} ns"]
    head = ["Clock", "Target", "Estimated", "Uncertainty"]
    lines += hls_table(head, [[["ap_clk", *periods]]], "    ")
    lines += ["", "+ Latency: ", "    * Summary: ", *_latency(n, max(design.period, design.estimated)), ""]
    lines += ["    + Detail: ", "        * Instance: "]
    inner = [["dense_U0", "dense", "1", "1"]]
    lines += hls_table(["Instance", "Module", "min", "max"], [inner], "        ")
    lines += ["", "        * Loop: ", "        N/A", "", "", "", rule, "== Utilization Estimates", rule, "* Summary: "]
    names = [name for name, _ in design.used()]
    used = [str(amount) for _, amount in design.used()]
    parts = [[kind, *["-"] * len(used)] for kind in ("DSP", "Expression", "FIFO")]
    parts += [["Instance", *used], *([kind, *["-"] * len(used)] for kind in ("Memory", "Multiplexer", "Register"))]
    available = [str(amount) for _, amount in design.available()]
    shares = [
        "0" if not u else str(100 * u // a) if a and 100 * u // a else "~0"
        for (_, u), (_, a) in zip(design.used(), design.available(), strict=True)
    ]
    groups = [parts, [["Total", *used]], [["Available", *available]], [["Utilization (%)", *shares]]]
    lines += hls_table(["Name", *names], groups)
    lines += ["", "+ Detail: ", "    * Instance: "]
    lines += hls_table(["Instance", "Module", *names], [[["dense_U0", "dense", *used]]], "    ")
    lines += ["", "    * FIFO: ", "    N/A", "", "", "", rule, "== Interface", rule, "* Summary: "]
    ports = [[port, "in", "1", "ap_ctrl_hs", design.top, "return value"] for port in ("ap_clk", "ap_rst", "ap_start")]
    lines += hls_table(["RTL Ports", "Dir", "Bits", "Protocol", "Source Object", "C Type"], [ports])
    return "\n".join([*lines, "", ""])


def _latency(n: Numbers, period: float) -> list[str]:
    """The latency table: two head lines, of which the first spans columns."""
    cells = [cycles(value, "?") for value in (n.latency_min, n.latency_max)]
    times = ["?" if v is None else f"{v * period / 1000:.3f} us" for v in (n.latency_min, n.latency_max)]
    cells += [*times, *(cycles(value, "?") for value in (n.interval_min, n.interval_max)), "dataflow"]
    widths = [max(9, len(cell) + 1) for cell in cells]
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    spans = [widths[0] + widths[1] + 1, widths[2] + widths[3] + 1, widths[4] + widths[5] + 1, widths[6]]
    first = ("Latency (cycles)", "Latency (absolute)", "Interval", "Pipeline")
    second = ("min", "max", "min", "max", "min", "max", "Type")
    lines = [rule, "|" + "|".join(name.center(width) for name, width in zip(first, spans, strict=True)) + "|"]
    lines += ["|" + "|".join(name.center(width) for name, width in zip(second, widths, strict=True)) + "|", rule]
    lines += ["|" + "|".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) + "|", rule]
    return ["    " + line for line in lines]


def csynth_summary(design: Design) -> str:
    """``csynth.rpt`` of Vitis HLS."""
    n = design.numbers
    rule = "=" * 64
    lines = ["", "", rule, f"== Synthesis Summary Report of '{design.top}'", rule, "+ General Information: "]
    lines += ["    * Date:           Tue Mar  3 10:11:40 2026"]
    lines += [f"    * Version:        {design.version} (Build 3670227 on Oct 13 2022)"]
    lines += [f"    * Project:        {design.top}_prj", "    * Solution:       solution1 (Vivado IP Flow Target)"]
    lines += ["    * Product family: zynq", f"    * Target device:  {design.part}", "    ", ""]
    lines += ["+ Performance & Resource Estimates: ", "    "]
    lines += ["    PS: '+' for module; 'o' for loop; '*' for dataflow"]
    shares = dict(zip((name for name, _ in design.used()), (a for _, a in design.available()), strict=True))
    amounts = {
        name: "-" if not used else f"{used} ({100 * used // shares[name] or '~0'}%)" for name, used in design.used()
    }
    latency = cycles(n.latency_max, "-")
    time = "-" if n.latency_max is None else f"{n.latency_max * max(design.period, design.estimated):.3f}"
    top = [f"+ {design.top}*", "-", "0.01", latency, time, "-", cycles(n.interval_max, "-"), "-", "dataflow"]
    top += [amounts["BRAM_18K"], amounts[design.dsp], amounts["FF"], amounts["LUT"], amounts["URAM"]]
    inner = [" + dense", "-", "0.17", "1", "5.000", "-", "1", "-", "yes", "-", "-", "12 (~0%)", "34 (~0%)", "-"]
    first = ["Modules", "Issue", "", "Latency", "Latency", "Iteration", "", "Trip", "", "", "", "", "", ""]
    second = ["& Loops", "Type", "Slack", "(cycles)", "(ns)", "Latency", "Interval", "Count", "Pipelined"]
    second += ["BRAM", "DSP", "FF", "LUT", "URAM"]
    widths = [max(map(len, column)) + 1 for column in zip(first, second, top, inner, strict=True)]
    line = "+" + "+".join("-" * width for width in widths) + "+"
    block = [line]
    block += ["|" + "|".join(c.center(w) for c, w in zip(head, widths, strict=True)) + "|" for head in (first, second)]
    block.append(line)
    for row in (top, inner):
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        block.append("|" + "|".join(cells) + "|")
    lines += ["    " + text for text in (*block, line)]
    lines += ["", "", rule, "== HW Interfaces", rule, "* TOP LEVEL CONTROL", "+-----------+-------+--------+"]
    lines += ["| Interface | Type  | Ports  |", "+-----------+-------+--------+", "| ap_clk    | clock | ap_clk |"]
    return "\n".join([*lines, "+-----------+-------+--------+", "", ""])


def cosim_rpt(design: Design, passed: bool) -> str:
    """``TOP_cosim.rpt``."""
    n = design.numbers
    latency = [cycles(n.latency_min, "NA"), cycles(n.latency_max, "NA"), cycles(n.latency_max, "NA")]
    interval = [cycles(n.interval_min, "NA"), cycles(n.interval_max, "NA"), cycles(n.interval_max, "NA")]
    none = [["VHDL", "NA", *["NA"] * 6]]
    rows = [*none, ["Verilog", "Pass" if passed else "Fail", *latency, *interval]]
    coarse = "+----------+----------+" + "-" * 47 + "+" + "-" * 47 + "+"
    fine = "+----------+----------+" + "+".join(["-" * 15] * 6) + "+"
    lines = ["", "Report time       : Tue Mar  3 10:14:00 UTC 2026.", "Solution          : solution1."]
    lines += ["Simulation tool   : xsim.", "", coarse]
    lines += ["|          |          |" + "Latency(Clock Cycles)".center(47) + "|"]
    lines[-1] += "Interval(Clock Cycles)".center(47) + "|"
    lines += ["+   RTL    +  Status  +" + "-" * 47 + "+" + "-" * 47 + "+"]
    lines += ["|          |          |" + "|".join(name.center(15) for name in ("min", "avg", "max") * 2) + "|", fine]
    for row in rows:
        lines.append("|" + "|".join([*(c.rjust(10) for c in row[:2]), *(c.rjust(15) for c in row[2:])]) + "|")
    return "\n".join([*lines, fine, ""])
