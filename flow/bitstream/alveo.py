"""Projects for Alveo cards: the accelerator as a stream kernel between two data movers, linked by v++."""

from __future__ import annotations

from flow.bitstream.accelerator import AXIS_TOP
from flow.bitstream.hls_ip import XO, hls_steps
from flow.bitstream.plan import BOARD, BitstreamPlan, Step, freeze, names
from flow.bitstream.project import Design, board_files, readme, scripts
from flow.bitstream.render import render

SCRIPTS = ("flow_common.tcl", "flow_package_ip.tcl", "flow_xo.tcl")
RTL_XO = "work/flow_accelerator.xo"

USE = """On the card's machine, with XRT and its Python module pyxrt set up, run in this folder:

```sh
python3 -m flow_host .
```

It loads the card, runs the recorded test vectors, compares every bit, and prints accuracy and images/s. In a program of
your own: `from flow_host import load; net = load("."); net.classify(net.prepare(x))`."""


def plan_alveo(design: Design) -> BitstreamPlan:
    """The plan of a project for an Alveo card."""
    a, board = design.accelerator, design.board
    rtl = a.backend == "rtl"
    products = (f"{BOARD}/{design.stem}.xclbin",)
    steps = [Step("vivado", "packaging of the kernel", "build.tcl", (RTL_XO,))] if rtl else hls_steps(a)
    xo = RTL_XO if rtl else XO
    steps.append(Step("v++", "link of the card's image", "link.sh", (*products, "reports/result.json")))
    files: dict[str, str | bytes] = {
        **readme(design, steps, products, USE),
        "link.sh": render(
            "vivado/link.sh.j2",
            title=design.title,
            stem=design.stem,
            accelerator_xo=xo,
            clock_mhz=f"{design.clock.mhz:g}",
            # Platforms are called after the card: xilinx_u250_gen3x16_xdma_4_1_202210_1.
            platform_prefix=f"xilinx_{board.name.removeprefix('alveo-').replace('-', '_')}",
        ),
        "link.cfg": render(
            "vivado/link.cfg.j2",
            clock_mhz=f"{design.clock.mhz:g}",
            ila=design.ila,
            memory="HBM[0]" if "xcu50" in board.part or "xcu280" in board.part else "DDR[0]",
        ),
    }
    for name, send, side in (("flow_send", True, a.input), ("flow_receive", False, a.output)):
        files[f"kernels/{name}.cpp"] = render("vivado/mover.cpp.j2", name=name, send=send, tdata=side.tdata)
    if rtl:
        files["build.tcl"] = render(
            "vivado/build.tcl.j2",
            title=design.title,
            script="build.tcl",
            scripts=SCRIPTS,
            procedure="build_xo",
            design={"stem": design.stem, "part": board.part, "top": AXIS_TOP},
            lists={"sources": names(a.files, ".v"), "memories": names(a.files, ".mem")},
            dicts={},
        )
        files |= scripts(*SCRIPTS)
    files |= {**a.files, **board_files(design, {"kind": "xrt"}, notebook=False)}
    return BitstreamPlan(design.stem, board.name, freeze(files), tuple(steps), products)
