"""The handshake and FIFO primitives lose nothing, repeat nothing, keep the order and never lock up: it is proved."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from flow.rtl.plan import library_text
from tests.rtl.formal import PROPERTIES, Z3, prove

pytestmark = pytest.mark.skipif(
    find_spec("pyosys") is None or not Z3.exists(), reason="needs pyosys and z3-solver: the development lock has both"
)

PROVED = {"base": "unsat", "step": "unsat"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("flow_slice", {"WIDTH": 3}),
        ("flow_fork", {"WIDTH": 2, "OUTPUTS": 2}),
        ("flow_fork", {"WIDTH": 2, "OUTPUTS": 3}),
        *[("flow_narrow", {"WIDTH": 2, "RATIO": ratio}) for ratio in (2, 3, 5)],
        *[("flow_widen", {"WIDTH": 2, "RATIO": ratio}) for ratio in (2, 3, 5)],
        *[("flow_fifo", {"WIDTH": 2, "DEPTH": depth}) for depth in (1, 2, 3, 4, 7)],
    ],
)
def test_a_primitive_is_proved_for_all_time(name: str, parameters: dict[str, int], tmp_path: Path) -> None:
    assert prove(name, parameters, tmp_path) == PROVED


@pytest.mark.parametrize(
    ("name", "parameters", "right", "wrong"),
    [
        ("flow_fifo", {"WIDTH": 2, "DEPTH": 3}, "level != FULL", "1'b1"),  # overruns
        ("flow_fifo", {"WIDTH": 2, "DEPTH": 3}, "(out_ready || !out_valid)", "out_ready"),  # never offers a first beat
        ("flow_fifo", {"WIDTH": 2, "DEPTH": 3}, "else if (out_ready) out_valid <= 1'b0;", ""),  # repeats the last one
        ("flow_fifo", {"WIDTH": 2, "DEPTH": 3}, "write_address == LAST ?", "1'b0 ?"),  # leaves the memory
        ("flow_slice", {"WIDTH": 3}, "if (!waiting) waiting_data", "waiting_data"),  # overwrites what waits
        ("flow_slice", {"WIDTH": 3}, "waiting || in_valid;", "in_valid;"),  # forgets what waits
        ("flow_fork", {"WIDTH": 2, "OUTPUTS": 2}, "& ~taken", ""),  # offers again
        ("flow_fork", {"WIDTH": 2, "OUTPUTS": 2}, "&(taken | out_ready)", "|(taken | out_ready)"),  # takes too early
        ("flow_narrow", {"WIDTH": 2, "RATIO": 3}, "(one && out_ready)", "one"),  # loses the last part
        ("flow_widen", {"WIDTH": 2, "RATIO": 3}, "!out_valid || out_ready", "1'b1"),  # loses a whole beat
    ],
)
def test_a_mistake_is_found(name: str, parameters: dict[str, int], right: str, wrong: str, tmp_path: Path) -> None:
    text = library_text(name)
    assert text.count(right) == 1
    assert "sat" in prove(name, parameters, tmp_path, text=text.replace(right, wrong)).values()


def test_every_file_of_properties_is_used() -> None:
    assert {path.stem for path in PROPERTIES.glob("*.v")} == {
        "flow_slice", "flow_fork", "flow_narrow", "flow_widen", "flow_fifo",
    }  # fmt: skip
