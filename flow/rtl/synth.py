"""What a design takes on an FPGA, counted by Yosys: by layer and in total.

Every module instance of the top is synthesized by itself, flattened inside. Streams between them are registered on
one side at least, so a synthesizer finds next to nothing to share across, and each part can be kept by its content:
changing one layer costs one layer, and several are synthesized at once.

How much that differs from synthesizing all of it flattened was measured with Yosys 0.70 on the CIFAR-10-sized network
of benchmarks/rtl_cifar.py, of 22 parts. For 7-series: 16,008 LUTs as parts, 16,031 flattened (0.1% more), the same
13,172 flip-flops and 138 RAMB18. For ECP5: 49,481 LUTs as parts, 48,917 flattened (1.1% less), the same 13,508
flip-flops. Flattened it took 312 s of CPU time for 7-series, on one core, and 1.9 GiB; as parts 198 s, on all cores,
and 0.8 GiB for the largest.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from threading import Event
from typing import Any

from flow.errors import InputError
from flow.resources import ZERO, Measurement, Resources
from flow.rtl.cache import Cache, default_cache, digest_of
from flow.rtl.netlist import Netlist, netlist_json, netlist_resources, read_netlist
from flow.rtl.parts import Assembly, Part, assemble_parts, label
from flow.rtl.plan import TOP, BuildPlan
from flow.rtl.technology import NETLIST, TOP_NAME, Family, Technology, script_for, technology
from flow.rtl.yosys import Yosys, find_yosys, run_script
from flow.runner import Limits

SYNTH_TIMEOUT_S = 900.0
SYNTH_MEMORY_BYTES = 8 * 2**30
"""Limits of one part. The same network with 6 bits, 28,073 LUTs, took 274 s on two busy cores (315 s of CPU time) and
1.2 GiB for the largest part."""


_Kind = tuple[str, tuple[tuple[str, str], ...]]
"""What makes two parts the same: module and parameters."""


def _kind(part: Part) -> _Kind:
    return part.module, tuple(part.parameters.items())


@dataclass(frozen=True)
class PartResult:
    """One part: its resources and cells by type. ``netlist`` is what Yosys wrote, compressed (empty if not kept)."""

    resources: Resources
    cells: Mapping[str, int]
    netlist: bytes = b""

    def text(self) -> bytes:
        """The netlist's JSON."""
        return zlib.decompress(self.netlist)

    def read(self) -> Netlist:
        """The netlist. Raises InputError if it was not kept."""
        if not self.netlist:
            raise InputError("the design was synthesized without keeping its netlists")
        return read_netlist(self.text(), TOP_NAME)


@lru_cache(maxsize=1)
def _counting_rules() -> str:
    """A digest of how cells are counted: with other rules, what was kept is not asked for."""
    here = Path(__file__).parent
    return digest_of(*((here / name).read_bytes() for name in ("technology.py", "netlist.py")))


@dataclass(frozen=True)
class Synthesis:
    """Resources by part (layers by their name, then what is between them), and of the whole as a measurement.

    ``results`` has more on each part, by the name of its instance in ``assembly``.
    """

    parts: Mapping[str, Resources]
    measurement: Measurement
    family: Family
    assembly: Assembly
    results: Mapping[str, PartResult]
    reused: int


@dataclass(frozen=True)
class Synthesizer:
    """How parts are synthesized: for which family, whether multipliers may use DSPs, with which tool, kept where.

    ``netlists``: whether the mapped netlists are kept as well, which timing and place and route need. ``cancel`` stops
    what runs when it is set; it is set when a part fails.
    """

    tech: Technology
    dsp: bool
    tool: Yosys
    cache: Cache
    netlists: bool = False
    limits: Limits = field(default_factory=lambda: Limits(SYNTH_TIMEOUT_S, SYNTH_MEMORY_BYTES))
    cancel: Event = field(default_factory=Event)

    def part(
        self, part: Part, files: Mapping[str, str], boxes: Mapping[str, str] | None = None
    ) -> tuple[PartResult, bool]:
        """A part's result, and whether it was there already. Raises ToolError or ToolFailure."""
        boxes = boxes or {}
        sources = [path for path in part.files if path.endswith(".v")]
        script = script_for(self.tech, sources, part.module, part.parameters, dsp=self.dsp, boxes=list(boxes))
        texts = [text for path in part.files for text in (path, files[path])] + [t for b in boxes.items() for t in b]
        key = digest_of("synth", _counting_rules(), self.tool.kind, self.tool.version, script, *texts)
        kept = self._kept(key)
        if kept is not None:
            return kept, True
        with self.cache.work(part.name) as folder:
            for path in part.files:
                (folder / path).write_text(files[path], encoding="utf-8")
            for path, stub in boxes.items():
                (folder / path).write_text(stub, encoding="utf-8")
            output = folder / NETLIST
            run = run_script(
                self.tool, folder, script, label(part.name), [NETLIST], self.limits,
                lambda: read_netlist(output.read_bytes(), TOP_NAME, NETLIST), self.cancel,
            )  # fmt: skip
            netlist, text = run.value, netlist_json(run.value, TOP_NAME).encode()
            boxed = {path.removesuffix(".v") for path in boxes}
            own = replace(netlist, cells=tuple(cell for cell in netlist.cells if cell.type not in boxed))
            resources = netlist_resources(own, self.tech)
        about = {"cells": own.counts, "resources": resources.to_dict(), "seconds": round(run.seconds, 1)}
        self.cache.put(key, json.dumps(about).encode())
        if self.netlists:
            self.cache.put(f"{key}_net", text)
        return PartResult(resources, own.counts, zlib.compress(text) if self.netlists else b""), False

    def _kept(self, key: str) -> PartResult | None:
        about = self.cache.get(key)
        text = self.cache.get(f"{key}_net") if self.netlists and about is not None else b""
        if about is None or text is None:
            return None
        try:
            found: dict[str, Any] = json.loads(about)
            cells = {str(name): int(count) for name, count in found["cells"].items()}
            return PartResult(Resources.from_dict(found["resources"]), cells, zlib.compress(text) if text else b"")
        except (ValueError, KeyError, TypeError, AttributeError, InputError):
            return None

    def all(self, parts: Sequence[Part], files: Mapping[str, str], jobs: int) -> tuple[dict[str, PartResult], int]:
        """All parts' results by name, ``jobs`` at once, the largest first; and how many were there already."""
        different: dict[_Kind, Part] = {}
        for part in parts:
            different.setdefault(_kind(part), part)
        size = {path: len(text) for path, text in files.items()}
        order = sorted(different.values(), key=lambda part: -sum(size[path] for path in part.files))
        with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
            futures = {pool.submit(self.part, part, files): part for part in order}
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                for future in futures:
                    if future.done() and (failed := future.exception()) is not None:
                        raise failed
            except BaseException:
                self.cancel.set()
                for future in futures:
                    future.cancel()
                raise
        found = {_kind(part): future.result() for future, part in futures.items()}
        results = {part.name: found[_kind(part)][0] for part in parts}
        return results, sum(found[_kind(part)][1] for part in parts)


def synthesize(
    plan: BuildPlan,
    part: str,
    clock_mhz: float,
    cache: Path | None = None,
    *,
    family: Family = "xc7",
    dsp: bool = False,
    jobs: int | None = None,
    yosys: Yosys | None = None,
    timeout_s: float = SYNTH_TIMEOUT_S,
    memory_bytes: int = SYNTH_MEMORY_BYTES,
    netlists: bool = False,
    cancel: Event | None = None,
) -> Synthesis:
    """Synthesize a design for ``family``; ``part`` and ``clock_mhz`` are what the measurement is said to be for.

    ``dsp``: whether multipliers may use DSPs. ``cache``: the folder in which results are kept, the default one if
    None. ``jobs``: how many modules are synthesized at once, as many as there are cores if None. ``timeout_s`` and
    ``memory_bytes`` are limits of each. ``netlists``: keep what timing and place and route need. ``cancel`` stops it
    when set (it is set when a part fails). Raises InputError, ToolError or ToolFailure.
    """  # fmt: skip
    tech = technology(family)
    tool = yosys or find_yosys()
    store = Cache(default_cache() if cache is None else cache)
    assembly = assemble_parts(plan.files, TOP, tool, store)
    limits = Limits(timeout_s, memory_bytes)
    worker = Synthesizer(tech, dsp, tool, store, netlists, limits, cancel or Event())
    results, reused = worker.all(assembly.parts, plan.files, jobs or os.cpu_count() or 1)
    counted = {label(item.name): results[item.name].resources for item in assembly.parts}
    schedule = plan.schedule
    measurement = Measurement(
        source="synthesized", tool=tool.label, version=tool.version, part=part, clock_mhz=clock_mhz,
        resources=whole(counted.values()), latency_cycles=schedule.latency, interval_cycles=schedule.interval,
        note=f"{tech.title}, LUTs are {tech.lut_name}s, modules synthesized one by one; timing is not checked",
    )  # fmt: skip
    return Synthesis(counted, measurement, family, assembly, results, reused)


def whole(parts: Sequence[Resources] | Any) -> Resources:
    """The sum of parts, block RAM rounded up to whole ones: parts of it can be smaller than a RAMB18."""
    total = sum(parts, ZERO)
    return total if total.bram18 is None else replace(total, bram18=math.ceil(round(total.bram18, 6)))
