"""The accelerator from an HLS project: hls4ml's C++ with AXI-Streams around it, exported as an IP or a kernel."""

from __future__ import annotations

import math
import re
from pathlib import Path

from flow.bitstream.accelerator import Accelerator
from flow.bitstream.layout import Layout, aligned
from flow.bitstream.plan import Kind, Step
from flow.bitstream.render import render
from flow.errors import InputError
from flow.fileio import read_json, read_text
from flow.hls.project import HlsProject
from flow.network.fixed import FixedFormat
from flow.resources import Measurement

FOLDER = "hls"
XO = f"{FOLDER}/flow_accelerator.xo"
LANE_BYTES = 8
"""Bytes of a word at most: what the memory port of a Zynq-7000 moves in a cycle."""


def hls_accelerator(project: HlsProject, *, kernel: bool = False) -> Accelerator:
    """The accelerator of a written project; ``kernel``: for v++ instead of a block design.

    Raises InputError if the project's C++ is not as we know it.
    """
    network, manifest = project.network, project.manifest
    stream = manifest["io_type"] == "io_stream"
    # A stream carries one pixel at a time; without streams there is no order to keep.
    side_in = _layout(network.input_shape, network.input_format, stream)
    side_out = _layout(network.output_shape, network.output_format, stream)
    in_type, out_type = _types(project, stream)
    files: dict[str, str | bytes] = {
        f"{FOLDER}/{path.relative_to(project.folder).as_posix()}": path.read_bytes()
        for path in sorted((project.folder / "firmware").rglob("*"))
        if path.is_file() and "ap_types" not in path.relative_to(project.folder).parts
    }
    files[f"{FOLDER}/flow_accelerator.cpp"] = render(
        "vivado/hls_accelerator.cpp.j2",
        name=project.name,
        vitis=manifest["backend"] == "Vitis",
        stream=stream,
        inp=side_in,
        out=side_out,
        in_type=in_type,
        out_type=out_type,
        in_pixels=math.prod(network.input_shape[:-1]),
        out_pixels=math.prod(network.output_shape[:-1]),
        in_values=math.prod(network.input_shape),
        out_values=math.prod(network.output_shape),
    )
    files[f"{FOLDER}/build_ip.tcl"] = render(
        "vivado/hls_ip.tcl.j2",
        name=project.name,
        part=manifest["part"],
        clock_ns=manifest["clock_ns"],
        uncertainty=f"{manifest['clock_uncertainty_percent']:g}%",
        kernel=kernel,
    )
    measured = _measured(project.folder)
    about = {
        "hls_project": project.digest,
        "backend": manifest["backend"],
        "io_type": manifest["io_type"],
        "layers": manifest["layers"],
        "clock_uncertainty_percent": manifest["clock_uncertainty_percent"],
        "kernel": kernel,
    }
    interval = latency = None
    if measured is not None and measured.interval_cycles is not None:
        interval, latency = max(measured.interval_cycles, side_in.beats, side_out.beats), measured.latency_cycles
    return Accelerator("hls", network, manifest["clock_mhz"], side_in, side_out, files, interval, latency, about)


def hls_steps(accelerator: Accelerator) -> list[Step]:
    """The step that makes the IP or the kernel."""
    kind: Kind = "vitis_hls" if accelerator.about["backend"] == "Vitis" else "vivado_hls"
    product = XO if accelerator.about["kernel"] else f"{FOLDER}/ip/component.xml"
    return [Step(kind, "export of the accelerator", f"{FOLDER}/build_ip.tcl", (product,))]


def _layout(shape: tuple[int, ...], of: FixedFormat, stream: bool) -> Layout:
    """As many lanes as fit in a word, of those that divide what comes at once."""
    together = shape[-1] if stream else math.prod(shape)
    options = [aligned(shape, of, lanes) for lanes in range(1, together + 1) if together % lanes == 0]
    fitting = [layout for layout in options if layout.beat_bytes <= LANE_BYTES]
    return min(fitting or options[:1], key=lambda layout: (layout.beats, layout.beat_bytes))


def _types(project: HlsProject, stream: bool) -> tuple[str, str]:
    """The C++ types of the top function's input and output, from its declaration."""
    path = project.folder / "firmware" / f"{project.name}.h"
    text = read_text(path, "HLS header")
    declared = re.search(rf"void\s+{re.escape(project.name)}\s*\(([^)]*)\)\s*;", text)
    form = r"\s*hls::stream<\s*(\w+)\s*>\s*&\s*\w+\s*" if stream else r"\s*(\w+)\s+\w+\s*\[[^\]]*\]\s*"
    arguments = declared[1].split(",") if declared else []
    found = [match[1] for argument in arguments if (match := re.fullmatch(form, argument))]
    if len(arguments) != 2 or len(found) != 2:
        raise InputError(f"{path}: the declaration of {project.name} is not one of one input and one output")
    return found[0], found[1]


def _measured(folder: Path) -> Measurement | None:
    """What C synthesis has found, if it was run."""
    path = folder / "synth.json"
    if not path.is_file():
        return None
    steps = read_json(path, "synthesis notes").get("steps", {})
    note = steps.get("csynth", {}).get("measurement")
    return None if note is None else Measurement.from_dict(note, str(path))
