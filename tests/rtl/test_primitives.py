"""The library's stream modules lose nothing, double nothing and keep the order, however both sides stall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flow.rtl.plan import library_text
from flow.rtl.simulate import Stalls, run_beats
from flow.rtl.verilator import Source, Verilator
from flow.runner import ToolFailure

BITS = 12
STALLS = [Stalls(), Stalls(50, 0, 1), Stalls(0, 50, 2), Stalls(60, 60, 3), Stalls(5, 80, 4)]


def source(module: str, in_parts: int = 1, out_parts: int = 1, **parameters: int) -> Source:
    files = {f"{module}.v": library_text(module)}
    return Source(files, module, BITS * in_parts, BITS * out_parts, {"WIDTH": BITS, **parameters})


def parts(values: np.ndarray, count: int) -> np.ndarray:
    """``values``, ``count`` a beat, as 32-bit words."""
    rows = values.reshape(-1, count)
    words = np.zeros((len(rows), -(-count * BITS // 32)), dtype=np.uint32)
    for row, out in zip(rows, words, strict=True):
        number = sum(int(value) << (BITS * k) for k, value in enumerate(row))
        for k in range(len(out)):
            out[k] = (number >> (32 * k)) & 0xFFFFFFFF
    return words.reshape(-1)


@pytest.mark.parametrize(
    ("module", "in_parts", "out_parts", "parameters"),
    [
        ("flow_slice", 1, 1, {}),
        ("flow_fifo", 1, 1, {"DEPTH": 1}),
        ("flow_fifo", 1, 1, {"DEPTH": 5}),
        ("flow_fifo", 1, 1, {"DEPTH": 16}),
        ("flow_narrow", 3, 1, {"RATIO": 3}),
        ("flow_narrow", 2, 1, {"RATIO": 2}),
        ("flow_widen", 1, 3, {"RATIO": 3}),
        ("flow_widen", 1, 4, {"RATIO": 4}),
    ],
)
def test_every_beat_comes_out_once_and_in_order(
    module: str, in_parts: int, out_parts: int, parameters: dict[str, int], verilator: Verilator, cache: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 1 << BITS, size=600)
    made = source(module, in_parts, out_parts, **parameters)
    for stalls in STALLS:
        words, times, _ = run_beats(made, parts(values, in_parts), len(values) // out_parts, cache, stalls, verilator)
        assert (words == parts(values, out_parts)).all()
        if stalls == STALLS[0] and parameters.get("DEPTH") != 1:  # at full throughput on its narrow side
            assert times[-1] <= len(values) + 4


def test_a_stuck_design_is_an_error_and_not_a_wait(verilator: Verilator, cache: Path) -> None:
    values = np.arange(10)
    with pytest.raises(ToolFailure, match="10 of 11 beats came in"):
        run_beats(source("flow_slice"), parts(values, 1), 11, cache, Stalls(), verilator, most_cycles=200)
