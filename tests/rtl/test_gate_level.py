"""What is counted is the network: the synthesized netlist, simulated gate by gate, gives the reference's outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.network.quantized_reference import forward
from flow.rtl.cache import Cache
from flow.rtl.folding import Fold, Folding
from flow.rtl.link import flat_design
from flow.rtl.netlist import netlist_json
from flow.rtl.plan import TOP, build_plan
from flow.rtl.simulate import Stalls, simulate
from flow.rtl.synth import synthesize
from flow.rtl.technology import Family
from flow.rtl.verilator import Verilator
from flow.rtl.yosys import Yosys, run_script
from flow.runner import Limits
from tests.rtl.builder import conv_network

CELLS = {"xc7": "+/xilinx/cells_sim.v", "ecp5": "+/ecp5/cells_sim.v", "ice40": "+/ice40/cells_sim.v"}
WAIVED = """WIDTH UNUSED UNDRIVEN UNOPTFLAT DECLFILENAME MULTITOP COMBDLY BLKSEQ LATCH PINCONNECTEMPTY GENUNNAMED
VARHIDDEN PROCASSINIT"""
"""What Verilator has to say about netlists."""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["xc7", "ecp5", "ice40"])
def test_the_netlist_computes_what_the_network_does(
    family: Family, yosys: Yosys, verilator: Verilator, cache: Path
) -> None:
    network = conv_network()
    plan = build_plan(network, Folding({"conv": Fold(2, 2)}, 2))
    found = synthesize(plan, "x", 25.0, cache, family=family, yosys=yosys, netlists=True)
    script = (
        f"read_verilog -defer -overwrite {CELLS[family]}\nread_json design.json\nhierarchy -top {TOP}\n"
        "proc\nflatten\nopt_clean\nwrite_verilog -noattr gates.v\n"
    )
    with Cache(cache).work("gates") as folder:
        (folder / "design.json").write_text(netlist_json(flat_design(found).netlist, TOP))
        gates = run_script(yosys, folder, script, "gates", ["gates.v"], Limits(300.0), (folder / "gates.v").read_text)
    waived = "\n".join(f"// verilator lint_off {name}" for name in WAIVED.split())
    netlist = replace(plan, files={f"{TOP}.v": f"{waived}\n{gates.value}"})
    codes = np.random.default_rng(7).integers(0, 16, size=(3, *network.input_shape))
    result = simulate(netlist, codes, cache, Stalls(20, 20, 3), verilator)
    np.testing.assert_array_equal(result.outputs, forward(network, codes))
