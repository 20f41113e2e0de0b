"""What a design takes on an FPGA, counted by Yosys: by layer and in total.

Every module instance of the top is synthesized by itself, flattened inside. Streams between them are registered on
one side at least, so a synthesizer finds next to nothing to share across, and each part can be kept by its content:
changing one layer costs one layer.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flow.errors import InputError
from flow.fileio import read_json, write_json
from flow.resources import ZERO, Measurement, Resources
from flow.rtl.parts import Part, parts_of
from flow.rtl.plan import BuildPlan
from flow.rtl.yosys import FAMILIES, Family, Yosys, count_cells, find_yosys, resources_of, script_for

SYNTH_TIMEOUT_S = 900.0
SYNTH_MEMORY_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Synthesis:
    """Resources by part (layers by their name, then FIFOs and forks), and of the whole as a measurement."""

    parts: Mapping[str, Resources]
    measurement: Measurement


def synthesize(
    plan: BuildPlan,
    part: str,
    clock_mhz: float,
    cache: Path,
    *,
    family: Family = "xc7",
    dsp: bool = False,
    jobs: int = 1,
    yosys: Yosys | None = None,
    timeout_s: float = SYNTH_TIMEOUT_S,
) -> Synthesis:
    """Synthesize a design for ``family``; ``part`` and ``clock_mhz`` are what the measurement is said to be for.

    ``dsp``: whether multipliers may use DSPs. ``cache``: the folder in which counted cells are kept. ``jobs``: how
    many modules are synthesized at once. Raises InputError, ToolError or ToolFailure.
    """  # fmt: skip
    if family not in FAMILIES:
        raise InputError(f"unknown family {family!r}, known: {', '.join(FAMILIES)}")
    tool = yosys or find_yosys()
    parts = parts_of(plan)

    def count(item: Part) -> Resources:
        return resources_of(_cells(plan, item, tool, family, cache, dsp=dsp, timeout_s=timeout_s))

    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
        counted = dict(zip([item.name for item in parts], pool.map(count, parts), strict=True))
    total = ZERO
    for resources in counted.values():
        total += resources
    schedule = plan.schedule
    measurement = Measurement(
        source="synthesized", tool=f"yosys ({tool.kind})", version=tool.version, part=part, clock_mhz=clock_mhz,
        resources=total, latency_cycles=schedule.latency, interval_cycles=schedule.interval,
        note=f"{FAMILIES[family]}, modules synthesized one by one; timing is not checked",
    )  # fmt: skip
    return Synthesis(counted, measurement)


def _cells(
    plan: BuildPlan, item: Part, tool: Yosys, family: Family, cache: Path, *, dsp: bool, timeout_s: float
) -> dict[str, int]:
    script = script_for(
        [path for path in item.files if path.endswith(".v")], item.module, item.parameters, family, dsp=dsp
    )
    sha = hashlib.sha256(f"{tool.version}\n{len(script)}:{script}".encode())
    for path in item.files:
        text = plan.files[path].encode()
        sha.update(f"{path}:{len(text)}:".encode() + text)
    kept = cache / f"cells_{sha.hexdigest()[:16]}.json"
    if kept.is_file():
        data = read_json(kept, "counted cells")
        if isinstance(data, dict) and all(isinstance(count, int) for count in data.values()):
            return data
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=cache, prefix="synth_"))
    for path in item.files:
        (work / path).write_text(plan.files[path], encoding="utf-8")
    cells = count_cells(tool, work, script, item.name, timeout_s=timeout_s, memory_bytes=SYNTH_MEMORY_BYTES)
    write_json(kept, cells)
    shutil.rmtree(work, ignore_errors=True)  # what failed stays: its log says why
    return cells
