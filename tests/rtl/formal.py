"""Proofs about library modules: Yosys turns a module with properties into SMT-LIB, Z3 proves them by induction.

The properties of a module lie in ``properties/`` and may speak of its registers: they are put in front of its
``endmodule``. Base case: no assertion fails in the first ``depth`` cycles after the start. Step: after ``depth`` cycles
without a failure, from any state whatsoever, none fails in the next (Sheeran, Singh and Stålmarck, "Checking safety
properties using induction and a SAT-solver", FMCAD 2000). Both together hold for all time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from flow.rtl.plan import library_text
from flow.rtl.yosys import find_yosys, run_script
from flow.runner import Job, Limits, run_tool

PROPERTIES = Path(__file__).parent / "properties"
LIMITS = Limits(timeout_s=300)
Z3 = Path(sys.executable).parent / "z3"
"""The solver that the wheel ``z3-solver`` installs beside Python."""


def with_properties(name: str, text: str | None = None) -> str:
    """The text of a library module (or ``text`` in its place) with its properties."""
    body, end, rest = (text or library_text(name)).rpartition("endmodule")
    properties = (PROPERTIES / f"{name}.v").read_text(encoding="utf-8")
    for file in PROPERTIES.glob("*.vh"):
        properties = properties.replace(f'`include "{file.name}"', file.read_text(encoding="utf-8"))
    return f"{body}\n{properties}\n{end}{rest}"


def prove(
    name: str, parameters: Mapping[str, int], folder: Path, depth: int = 2, text: str | None = None
) -> dict[str, str]:
    """Z3's verdict, "unsat" if proved and "sat" if there is a counterexample, on "base" and "step"."""
    (folder / f"{name}.v").write_text(with_properties(name, text), encoding="utf-8")
    chosen = " ".join(f"-chparam {key} {value}" for key, value in parameters.items())
    script = f"""
read_verilog -sv -formal {name}.v
hierarchy -check -top {name} {chosen}
rename -top top
proc
flatten
opt_clean
memory -nordff
memory_map
opt_clean
async2sync
dffunmap
chformal -lower
opt_clean
check
write_smt2 model.smt2
"""
    run_script(find_yosys(), folder, script, f"formal {name}", ["model.smt2"], LIMITS, lambda: None)
    model = (folder / "model.smt2").read_text(encoding="utf-8")
    if "assert" not in model:
        raise AssertionError(f"{name}: no property arrived in the model")
    verdicts = {}
    for what in ("base", "step"):
        (folder / f"{what}.smt2").write_text(model + _question(what, depth), encoding="utf-8")
        log = folder / f"{what}.log"
        job = Job(f"z3 {name} {what}", [str(Z3), f"{what}.smt2"], folder, log, [], LIMITS)
        verdicts[what] = run_tool(job, lambda log=log: log.read_text(encoding="utf-8").split()[-1]).value  # type: ignore[misc]
    return verdicts


def _question(what: str, depth: int) -> str:
    """Is there a run of ``depth`` cycles (and one more for the step) that keeps all assumptions and ends badly?"""
    cycles = depth + (what == "step")
    lines = [f"(declare-fun s{i} () |top_s|)" for i in range(cycles)]
    lines += [f"(assert (and (|top_u| s{i}) (|top_h| s{i})))" for i in range(cycles)]
    lines += [f"(assert (|top_t| s{i} s{i + 1}))" for i in range(cycles - 1)]
    if what == "base":
        lines.append("(assert (|top_i| s0))")
        lines.append("(assert (not (and " + " ".join(f"(|top_a| s{i})" for i in range(cycles)) + ")))")
    else:
        lines += [f"(assert (|top_a| s{i}))" for i in range(depth)]
        lines.append(f"(assert (not (|top_a| s{depth})))")
    return "\n".join([*lines, "(check-sat)", ""])
