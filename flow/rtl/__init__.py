"""Plain Verilog from a QuantizedNetwork: a streaming dataflow of one module a layer, simulated and synthesized.

`folding` says how many multiply-accumulates a layer does at once, `design` lays the layers out as nodes with streams
between them, `schedule` tells their cycles exactly and sizes every buffer, `plan` writes them as files, `simulate`
runs them in Verilator, `synth` counts their resources with Yosys. Nothing here needs a vendor's tool.
"""

from __future__ import annotations

from flow.rtl.folding import Fold, Folding, fold_for, serial_folding
from flow.rtl.plan import BuildPlan, build_plan, write_rtl
from flow.rtl.schedule import Schedule, schedule

__all__ = [
    "BuildPlan",
    "Fold",
    "Folding",
    "Schedule",
    "build_plan",
    "fold_for",
    "schedule",
    "serial_folding",
    "write_rtl",
]
