"""Readers of what the vendor tools report: one module a kind of report, and :func:`read_report` for any of them.

A report is read whole or refused with one line that names file and line; a number it does not have is None. All
amounts come out in the project's units: whole RAMB18, clock cycles, nanoseconds, watts.
"""

from __future__ import annotations

from flow.hls.reports.model import (
    ClockTiming,
    Cosim,
    HlsEstimate,
    IntelEstimate,
    Origin,
    Power,
    Report,
    Timing,
    Utilization,
)
from flow.hls.reports.read import read_report

__all__ = [
    "ClockTiming",
    "Cosim",
    "HlsEstimate",
    "IntelEstimate",
    "Origin",
    "Power",
    "Report",
    "Timing",
    "Utilization",
    "read_report",
]
