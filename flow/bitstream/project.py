"""What every project has, whatever the board: what goes to the board, its README, and the scripts it calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.bitstream.accelerator import Accelerator
from flow.bitstream.plan import BOARD, Kind, Step
from flow.bitstream.render import render
from flow.board import Board
from flow.clocks import ClockSetting
from flow.fileio import data_dir, read_text

SCHEMA = 1
TOOLS: Mapping[Kind, str] = {
    "vivado_hls": "Vivado HLS (2019.2 to 2020.1)",
    "vitis_hls": "Vitis HLS (2022.2 or later)",
    "vivado": "Vivado 2019.2 to 2025.x",
    "v++": "Vitis (v++) with the card's platform installed",
}


@dataclass(frozen=True, eq=False)
class Design:
    """All that a board family makes a project of.

    ``clock``: what the board really makes, with its settings; ``requested_mhz``: what was asked for, None for the
    default. ``vectors``: the content of vectors.npz. ``prepare``: offset and scale of raw inputs, None if unknown.
    """

    stem: str
    title: str
    board: Board
    accelerator: Accelerator
    clock: ClockSetting
    requested_mhz: float | None
    vectors: bytes
    vectors_about: str
    prepare: Mapping[str, Any] | None = None
    ila: bool = False


def scripts(*names: str) -> dict[str, str]:
    """Our Tcl scripts under scripts/."""
    return {f"scripts/{name}": read_text(data_dir("vivado_scripts") / name, "Tcl script") for name in names}


def board_files(design: Design, link: Mapping[str, Any], *, notebook: bool) -> dict[str, str | bytes]:
    """What goes to the board besides the bitstream."""
    a = design.accelerator
    about = {
        "schema": SCHEMA,
        "stem": design.stem,
        "id": a.id,
        "board": design.board.name,
        "part": design.board.part,
        "backend": a.backend,
        "network": a.network.digest,
        "clock_mhz": design.clock.mhz,
        "requested_clock_mhz": design.requested_mhz,
        "interval_cycles": a.interval_cycles,
        "latency_cycles": a.latency_cycles,
        "input": a.input.to_dict(),
        "output": a.output.to_dict(),
        "prepare": design.prepare,
        "vectors": design.vectors_about,
        "link": dict(link),
    }
    files: dict[str, str | bytes] = {
        f"{BOARD}/design.json": json.dumps(about, indent=1, allow_nan=False) + "\n",
        f"{BOARD}/vectors.npz": design.vectors,
    }
    for path in sorted((Path(__file__).parent / "host").glob("*.py")):
        files[f"{BOARD}/flow_host/{path.name}"] = read_text(path, "host program")
    if notebook:
        files[f"{BOARD}/{design.stem}.ipynb"] = render("host/notebook.ipynb.j2", stem=design.stem, title=design.title)
    return files


def command(step: Step) -> str:
    """What a person types to run a step, in the project's folder."""
    if step.kind == "vivado":
        return f"vivado -mode batch -source {step.script}"
    if step.kind == "vivado_hls":
        return f"vivado_hls -f {step.script}"
    if step.kind == "vitis_hls":
        return f"vitis-run --mode hls --tcl {step.script}  # before 2023.2: vitis_hls -f {step.script}"
    return " ".join(("sh", step.script, *step.arguments))


def readme(
    design: Design, steps: Sequence[Step], products: Sequence[str], use: str, *, notebook: bool = False,
    network: bool = False,
) -> dict[str, str]:  # fmt: skip
    """The README of the project, how to build it, and that of the board's folder, what it holds and how to use it."""
    a = design.accelerator
    handed_over = [path.removeprefix(f"{BOARD}/") for path in products]
    throughput = None if a.interval_cycles is None else design.clock.mhz * 1e6 / a.interval_cycles
    text = render(
        "host/README.md.j2",
        design=design,
        accelerator=a,
        throughput=throughput,
        tools=list(dict.fromkeys(TOOLS[step.kind] for step in steps)),
        commands=[command(step) for step in steps],
        products=handed_over,
    )
    on_board = render(
        "host/README_board.md.j2", design=design, accelerator=a, products=handed_over, use=use,
        notebook=notebook, network=network,
    )  # fmt: skip
    return {"README.md": text, f"{BOARD}/README.md": on_board}
