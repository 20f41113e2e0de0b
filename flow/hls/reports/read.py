"""Which kind of report a file is, from its content: names and endings say little (csynth.rpt is three kinds)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from flow.hls.reports import csynth_rpt, csynth_summary
from flow.hls.reports.cosim import read_cosim
from flow.hls.reports.csynth_rpt import read_csynth_rpt
from flow.hls.reports.csynth_summary import read_csynth_summary
from flow.hls.reports.csynth_xml import read_csynth_xml
from flow.hls.reports.hls4ml_json import read_hls4ml_json
from flow.hls.reports.model import Report
from flow.hls.reports.power import read_power
from flow.hls.reports.text import Text, read_bytes, text_of
from flow.hls.reports.timing import read_timing
from flow.hls.reports.utilization import read_utilization

_KINDS: tuple[tuple[str, Callable[[Text], Report]], ...] = (
    (csynth_rpt.BANNER, read_csynth_rpt),
    (csynth_summary.BANNER, read_csynth_summary),
    (r"Utilization Design Information$", read_utilization),
    (r"Timing Summary Report$", read_timing),
    (r"Power Report$", read_power),
    (r"Simulation tool\s*:", read_cosim),
)
"""The line that only one kind of text report has, and what reads that kind."""

_HEAD_LINES = 40
"""Kinds are told from the first lines: no header is longer."""


def read_report(path: Path) -> Report:
    """The report in the file ``path``, whatever its kind.

    Reads csynth.xml and csynth.rpt of Vivado HLS and Vitis HLS, Vitis' synthesis summary, Vivado's utilization,
    timing summary and power reports, co-simulation reports, and hls4ml's report dictionary as JSON. Raises
    InputError, one line with the file and where possible the line in it, for a file that can't be read, is
    damaged, incomplete or none of these. What a report does not say is None.
    """
    data = read_bytes(path)
    text = text_of(path, data)
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"<":
        return read_csynth_xml(text, data)
    if start in (b"{", b"["):
        return read_hls4ml_json(text)
    for line in text.lines[:_HEAD_LINES]:
        for pattern, read in _KINDS:
            if re.match(pattern, line.rstrip()):
                return read(text)
    raise text.error("not a report of Vivado, Vivado HLS, Vitis HLS or hls4ml, or one whose beginning is missing")
