"""Projects for boards with a processor beside the fabric: Zynq-7000 and Zynq UltraScale+, for PYNQ."""

from __future__ import annotations

from flow.bitstream.accelerator import AXIS_TOP
from flow.bitstream.hls_ip import hls_steps
from flow.bitstream.plan import BOARD, BitstreamPlan, Step, freeze, names
from flow.bitstream.project import Design, board_files, readme, scripts
from flow.bitstream.render import render

SCRIPTS = ("flow_common.tcl", "flow_gate.tcl", "flow_package_ip.tcl", "flow_zynq.tcl")
INTERCONNECT = {"zynq7": "axi_interconnect", "zynqmp": "smartconnect"}
"""SmartConnect takes about twice the LUTs of the older interconnect, and Zynq-7000 has few."""

USE = """Copy this folder to the board (PYNQ 2.7 or later), by `scp -r . xilinx@pynq:net` or the Jupyter page, and open
the notebook in it, or run in it:

```sh
sudo -E python3 -m flow_host .
```

It loads the bitstream, runs the recorded test vectors, compares every bit, and prints accuracy and images/s. In a
program of your own: `from flow_host import load; net = load("."); net.classify(net.prepare(x))`."""


def plan_zynq(design: Design) -> BitstreamPlan:
    """The plan of a Zynq project."""
    a, board = design.accelerator, design.board
    assert board.ps is not None
    rtl = a.backend == "rtl"
    steps = [] if rtl else hls_steps(a)
    products = (f"{BOARD}/{design.stem}.bit", f"{BOARD}/{design.stem}.hwh")
    steps.append(Step("vivado", "vivado bitstream", "build.tcl", (*products, "reports/result.json")))
    build = render(
        "vivado/build.tcl.j2",
        title=design.title,
        script="build.tcl",
        scripts=SCRIPTS,
        procedure="build_zynq",
        design={
            "stem": design.stem, "part": board.part, "board_part": board.board_part or "", "ps": board.ps,
            "clock_mhz": design.clock.mhz, "interconnect": INTERCONNECT[board.ps], "top": AXIS_TOP,
            "ip_folder": "" if rtl else "hls/ip", "in_tdata": a.input.tdata, "out_tdata": a.output.tdata,
            "ila": int(design.ila),
        },
        lists={
            "sources": names(a.files, ".v") if rtl else [],
            "memories": names(a.files, ".mem") if rtl else [],
        },
        dicts={"preset": board.ps_preset},
    )  # fmt: skip
    files = {
        **readme(design, steps, products, USE, notebook=True),
        "build.tcl": build,
        **scripts(*SCRIPTS),
        **a.files,
        **board_files(design, {"kind": "dma"}, notebook=True),
    }
    return BitstreamPlan(design.stem, board.name, freeze(files), tuple(steps), products)
