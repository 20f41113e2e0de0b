"""Subjects and projects for tests of bitstreams: small networks, no training, the fake Vivado."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flow.bitstream.make import Options, Outcome, make_bitstream, plan_bitstream
from flow.bitstream.plan import BitstreamPlan
from flow.bitstream.project import Design
from flow.bitstream.subject import Asked, Subject
from flow.board import Board, load_board
from flow.fileio import write_json
from flow.hls.project import HlsProject, open_project
from flow.hls.tools import Finder
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_io import save
from tests.hls.builder import FAKE_TOOLS
from tests.rtl.builder import dense_network

ZYNQ = ("pynq-z1", "pynq-z2", "zybo-z7-20", "zcu104", "zcu102", "kv260", "ultra96v2")
ARTIX = ("arty-a7-35t", "arty-a7-100t")
ALVEO = ("alveo-u50", "alveo-u250")


def subject(board: str | Board, network: QuantizedNetwork | None = None, **more: Any) -> Subject:
    """A small network for a board."""
    found = load_board(board) if isinstance(board, str) else board
    return Subject("net", network or dense_network(), found, Path("bitstream"), **more)


def plan_for(
    board: str | Board, network: QuantizedNetwork | None = None, **options: Any
) -> tuple[BitstreamPlan, Design]:
    """The plan of a small network as our Verilog."""
    return plan_bitstream(subject(board, network), Options(**{"backend": "rtl", **options}))


def fake_environment(**more: str) -> dict[str, str]:
    """The environment in which the fake tools are found first."""
    return {**os.environ, "PATH": f"{FAKE_TOOLS}{os.pathsep}{os.environ.get('PATH', '')}", **more}


def build(folder: Path, board: str = "pynq-z2", environment: dict[str, str] | None = None, **options: Any) -> Outcome:
    """Make the bitstream of the small network in ``folder`` with the fake Vivado."""
    model = folder / "net.npz"
    if not model.exists():
        save(dense_network(), model)
    given = Options(**{"backend": "rtl", "out": folder / "out", **options})
    return make_bitstream(Asked(what=str(model), board=board), given, Finder(environment or fake_environment()))


def hls_project(folder: Path, board: str | Board, clock_mhz: float, backend: str = "Vitis") -> HlsProject:
    """An HLS project of the small network as `flow convert` leaves it, without hls4ml: declarations, no arithmetic."""
    found = load_board(board) if isinstance(board, str) else board
    network = dense_network()
    firmware = folder / "firmware"
    (firmware / "weights").mkdir(parents=True)
    text = '#include "defines.h"\n\nvoid network(input_t x[16], result_t layer4_out[4]);\n'
    (firmware / "network.h").write_text(text, encoding="utf-8")
    (firmware / "network.cpp").write_text('#include "network.h"\n', encoding="utf-8")
    (firmware / "defines.h").write_text("// types\n", encoding="utf-8")
    (firmware / "weights" / "w2.h").write_text("// weights\n", encoding="utf-8")
    layers = [{"name": name, "reuse_factor": 1} for name in ("fc1", "fc2")]
    manifest = {
        "schema": 1, "name": "network", "digest": "0123456789abcdef", "network": network.digest,
        "io_type": "io_parallel", "backend": backend, "part": found.part, "clock_mhz": clock_mhz,
        "clock_ns": 1000 / clock_mhz, "clock_uncertainty_percent": 27.0, "layers": layers,
    }  # fmt: skip
    write_json(folder / "project.json", manifest)
    save(network, folder / "quantized.npz")
    return open_project(folder)


def build_hls(
    folder: Path,
    board: str,
    backend: str = "Vitis",
    mhz: float = 100,
    environment: dict[str, str] | None = None,
    **options: Any,
) -> Outcome:
    """Make the bitstream of an HLS project in ``folder`` with the fake tools."""
    if not (folder / "hls").exists():
        hls_project(folder / "hls", board, mhz, backend)
    given = Options(**{"out": folder / "out", **options})
    asked = Asked(what=str(folder / "hls"), board=board)
    return make_bitstream(asked, given, Finder(environment or fake_environment()))
