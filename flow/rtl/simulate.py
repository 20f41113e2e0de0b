"""Simulation of a generated design: input codes in, output codes and cycles out, bit- and cycle-exact."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError, ToolError
from flow.network.quantized import IntArray
from flow.rtl.design import Stream
from flow.rtl.plan import TOP, BuildPlan
from flow.rtl.schedule import spread
from flow.rtl.verilator import Source, Verilator, compile_program, find_verilator
from flow.runner import Job, Limits, run_tool

SIMULATE_TIMEOUT_S = 1800.0
_SLACK = 4
"""How many times longer than promised a simulation may take before it counts as stuck, beyond what stalls add."""


@dataclass(frozen=True)
class Stalls:
    """Random stalls: percent of cycles in which the input offers nothing, and the output is not ready.

    ``even``: the input comes evenly at the design's interval and not as fast as it is taken.
    """

    input_percent: int = 0
    output_percent: int = 0
    seed: int = 0
    even: bool = False


@dataclass(frozen=True, eq=False)
class Simulation:
    """``outputs``: codes of shape (n, *output shape). ``started`` and ``ended``: for each inference, the cycle of its
    first beat in and of its last beat out. ``cycles``: in all; ``seconds``: what it took."""

    outputs: IntArray
    started: NDArray[np.int64]
    ended: NDArray[np.int64]
    cycles: int
    seconds: float

    @property
    def interval(self) -> int | None:
        """Cycles between the last two results, None if there is only one."""
        return int(self.ended[-1] - self.ended[-2]) if len(self.ended) > 1 else None

    @property
    def latency(self) -> int:
        """Cycles of the first inference, from its first beat in to its last beat out, both counted."""
        return int(self.ended[0] - self.started[0]) + 1


def simulate(
    plan: BuildPlan,
    codes: IntArray,
    cache: Path,
    stalls: Stalls | None = None,
    tools: Verilator | None = None,
    timeout_s: float = SIMULATE_TIMEOUT_S,
) -> Simulation:
    """Run input ``codes`` of shape (n, *input shape) through a design, one inference after the other.

    ``cache``: the folder in which compiled simulations are kept. Raises InputError for a wrong shape, ToolError if a
    tool is missing, ToolFailure if one fails or the design gives less output than it should.
    """  # fmt: skip
    network, stalls = plan.design.network, stalls or Stalls()
    codes = np.asarray(codes)
    if codes.ndim < 1 or codes.shape[1:] != network.input_shape or not len(codes):
        raise InputError(f"expected codes of shape (n, {network.input_shape}), found {codes.shape}")
    if not all(0 <= percent < 100 for percent in (stalls.input_percent, stalls.output_percent)):
        raise InputError("stalls are 0 to 99 percent of the cycles")
    source, last = plan.design.nodes[0].stream, plan.design.nodes[-1].stream
    count, interval = len(codes), plan.schedule.interval
    pace = (source.beats, interval, spread(plan.design, interval)) if stalls.even else (1, 0, 0)
    verilog = Source(plan.files, TOP, source.bits, last.bits)
    words, times, seconds = run_beats(
        verilog, to_words(codes, source), count * last.beats, cache, stalls, tools, pace=pace,
        most_cycles=_SLACK * (count * interval + plan.schedule.latency + 1000), timeout_s=timeout_s,
    )  # fmt: skip
    taken, given = times[: count * source.beats], times[count * source.beats : -1]
    outputs = from_words(words, last).reshape(count, *plan.design.output_shape)
    return Simulation(outputs, taken[:: source.beats], given[last.beats - 1 :: last.beats], int(times[-1]), seconds)


def run_beats(
    source: Source,
    words: NDArray[np.uint32],
    out_beats: int,
    cache: Path,
    stalls: Stalls,
    tools: Verilator | None = None,
    *,
    pace: tuple[int, int, int] = (1, 0, 0),
    most_cycles: int = 1_000_000,
    keep: Mapping[str, Path] | None = None,
    timeout_s: float = SIMULATE_TIMEOUT_S,
) -> tuple[NDArray[np.uint32], NDArray[np.int64], float]:
    """Send beats (32-bit words, the lowest first) through ``source`` until ``out_beats`` came out.

    Returns the words that came, the cycle of each beat in, of each beat out and of the end, and the seconds it took.
    ``pace``: beats of a frame, least cycles between frames and between beats. ``most_cycles`` counts without stalls.
    ``keep``: files that the simulation itself writes, by name, and where they are kept.
    Raises ToolError and ToolFailure as :func:`simulate`.
    """  # fmt: skip
    program = compile_program(source, tools or find_verilator(), cache)
    in_beats, out_words = words.size // -(-source.in_bits // 32), -(-source.out_bits // 32)
    most = most_cycles * 100 // min(100 - stalls.input_percent, 100 - stalls.output_percent)
    with tempfile.TemporaryDirectory(prefix="flow_sim_") as name:
        work = Path(name)
        source.write(work)  # the program reads its memories from where it runs
        words.tofile(work / "input.bin")
        numbers = (out_beats, stalls.seed, stalls.input_percent, stalls.output_percent, most, *pace)
        argv = [str(program.resolve()), "input.bin", "output.bin", "times.bin", *map(str, numbers)]
        expect = [work / "output.bin", work / "times.bin", *(work / file for file in keep or {})]
        job = Job("simulation", argv, work, work / "log.txt", expect, Limits(timeout_s=timeout_s))
        result = run_tool(job, lambda: _read(work, in_beats, out_beats, out_words))
        for file, path in (keep or {}).items():
            shutil.move(work / file, path)
    return *result.value, result.seconds


def _read(work: Path, in_beats: int, out_beats: int, out_words: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    words = np.fromfile(work / "output.bin", dtype="<u4")
    times = np.fromfile(work / "times.bin", dtype="<i8")
    if words.size != out_beats * out_words or times.size != in_beats + out_beats + 1:
        raise ToolError("its result is cut short")
    return words, times.astype(np.int64)


def to_words(codes: IntArray, stream: Stream) -> NDArray[np.uint32]:
    """Codes as the beats of a stream: 32-bit words, the lowest first."""
    width = stream.format.width
    lanes = codes.reshape(-1, stream.lanes).astype(np.int64)
    bits = ((lanes[:, :, None] >> np.arange(width)) & 1).reshape(len(lanes), stream.bits).astype(np.uint8)
    padded = np.zeros((len(lanes), -(-stream.bits // 32) * 32), dtype=np.uint8)
    padded[:, : stream.bits] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").reshape(-1)


def from_words(words: NDArray[np.uint32], stream: Stream) -> IntArray:
    """The inverse of :func:`to_words`, flat."""
    width = stream.format.width
    rows = np.ascontiguousarray(words.reshape(-1, -(-stream.bits // 32)), dtype="<u4")
    bits = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")[:, : stream.bits]
    codes = (bits.reshape(-1, width).astype(np.int64) << np.arange(width)).sum(axis=1)
    if stream.format.signed and width < 64:
        codes -= (codes >> (width - 1)) << width
    return np.asarray(codes, dtype=np.int64)
