"""``flow synth`` and ``flow verify`` with hls4ml: Vivado HLS or Vitis HLS, and the C simulation of its C++."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flow.commands.backends import Limits, Synthesized, Verified
from flow.commands.conversion import Prepared, prepare, samples_of
from flow.errors import FlowError, InputError, ToolError

if TYPE_CHECKING:
    from flow.commands.what import What
    from flow.hls.agree import Comparison
    from flow.hls.samples import Samples
    from flow.hls.synth import SynthResult
    from flow.hls.tools import Backend, Finder, Tool

SERVER = "or synthesize on a machine that has it: docs/howto-server.md"
SHARE = 0.8
"""Share of the machine's memory that syntheses may take together if nothing else is said."""
JOBS = 2
"""Syntheses at once if there are several: each takes one core most of the time, and gigabytes."""

Say = Callable[[str], None]


def synth(whats: Sequence[What], args: argparse.Namespace, say: Say) -> list[Synthesized]:
    """Synthesize each of ``whats``; see ``flow.commands.backends``."""
    from flow.hls.pool import memory_for
    from flow.hls.synth import SynthOptions
    from flow.runner import Limits as RunLimits

    if args.reports:
        return [_read(what, args, say) for what in whats]
    backend, tool, vivado = find_tools(whats, args)
    done: dict[int, Synthesized] = {}
    ready: dict[int, tuple[Path, Prepared | None]] = {}
    for index, what in enumerate(whats):
        try:
            if what.project is not None:
                ready[index] = what.project, None
            else:
                made = prepare(what, args, backend, say)
                ready[index] = made.project.folder, made
        except FlowError as error:
            if len(whats) == 1:
                raise
            done[index] = Synthesized(what, error=error)
    jobs = min(args.jobs or JOBS, max(len(ready), 1))
    memory = memory_for(args.memory, SHARE)
    options = SynthOptions(cosim=args.cosim, logic=args.logic, limits=RunLimits(timeout_s=args.timeout))
    done |= _run_all(whats, ready, tool, vivado, options, jobs, memory, say)
    return [done[index] for index in range(len(whats))]


def _read(what: What, args: argparse.Namespace, say: Say) -> Synthesized:
    """What a synthesis on another machine left in the project of ``what``."""
    from flow.hls.synth import read_results

    if args.cosim or args.logic or args.tool:
        raise InputError("--reports reads what C synthesis has left: leave --tool, --cosim and --logic out")
    made = None if what.project is not None else prepare(what, args, _family(args.backend), say)
    folder = what.project or (made.project.folder if made else Path())
    return _result(what, folder, made, read_results(folder))


def _family(backend: str | None) -> Backend:
    """hls4ml's name of a backend."""
    return "Vivado" if backend == "vivado" else "Vitis"


def _run_all(
    whats: Sequence[What], ready: dict[int, tuple[Path, Prepared | None]], tool: Tool, vivado: Tool | None,
    options: object, jobs: int, memory: int | None, say: Say,
) -> dict[int, Synthesized]:  # fmt: skip
    from flow.hls.pool import SynthPool
    from flow.hls.synth import SynthOptions

    assert isinstance(options, SynthOptions)
    done = {}
    with SynthPool(tool, vivado, options, jobs=jobs, memory_bytes=memory) as pool:
        futures = {}
        for index, (folder, _) in ready.items():
            say(f"{tool}: {whats[index].text}, log in {folder / 'logs'}")
            futures[index] = pool.submit(folder)
        for index, future in futures.items():
            folder, made = ready[index]
            try:
                done[index] = _result(whats[index], folder, made, future.result())
            except FlowError as error:
                done[index] = Synthesized(whats[index], folder, error=error)
    return done


def _result(what: What, folder: Path, made: Prepared | None, result: SynthResult) -> Synthesized:
    notes = []
    if result.cosim_passed:
        notes.append("co-simulation: the RTL computes what the C does")
    if result.slack_ns is not None:
        notes.append(f"logic synthesis: worst setup slack {result.slack_ns:g} ns")
    measured = [m for m in (result.hls, result.logic) if m is not None]
    return Synthesized(
        what, folder, tuple(measured), None if made is None else made.predicted, None if made is None else limits(made),
        as_found=made is not None and made.as_found, seconds=result.seconds, reused=result.reused, notes=tuple(notes),
    )  # fmt: skip


def limits(made: Prepared) -> Limits:
    """The limits of what was prepared."""
    spec = made.spec
    throughput = spec.min_throughput_per_s if made.throughput_asked else None
    return Limits(spec.budget, throughput, spec.max_latency_us, made.implementation.clock_mhz)


def find_tools(whats: Sequence[What], args: argparse.Namespace) -> tuple[Backend, Tool, Tool | None]:
    """(hls4ml backend, HLS tool, Vivado where logic synthesis is asked for). Raises ToolError, InputError."""
    from flow.hls.tools import BACKEND_TOOLS, Finder, backend_of, check_release
    from flow.hls.written_project import read_project

    finder = Finder(explicit=args.tool)
    written: set[Backend] = {read_project(w.project).backend for w in whats if w.project is not None}
    if args.backend is not None:
        written.add(_family(args.backend))
    if len(written) > 1:
        raise InputError(
            f"{whats[0].text} was written for the other backend, not for {args.backend}: leave --backend out, or "
            "convert the model again"
        )
    try:
        if written:
            (backend,) = written
            tool = finder.find_hls(backend)
        else:
            kinds = tuple(kind for known in ("Vitis", "Vivado") for kind in BACKEND_TOOLS[known])
            tool = finder.find(kinds)
            check_release(tool)
            backend = backend_of(tool)
        return backend, tool, _vivado(finder) if args.logic else None
    except InputError:
        raise
    except ToolError as error:
        raise ToolError(f"{error}; {SERVER}") from error


def _vivado(finder: Finder) -> Tool:
    try:
        return finder.find_vivado()
    except ToolError as error:
        raise ToolError(f"--logic needs Vivado: {error}") from error


def verify(what: What, args: argparse.Namespace, say: Say) -> Verified:
    """Compare QKeras, the integers and the C simulation; see ``flow.commands.backends``."""
    from flow.hls.agree import compare_codes, compare_keras
    from flow.hls.csim import compile_simulation
    from flow.hls.project import open_project
    from flow.hls.samples import file_samples, random_samples

    made: Prepared | None = None
    if what.project is not None:
        project = open_project(what.project)
        samples: Samples = (
            random_samples(project.network, args.samples)
            if args.data is None
            else file_samples(args.data, project.network, args.samples)
        )
    else:
        made = prepare(what, args, _family(args.backend), say)
        project = made.project
        samples = samples_of(what, args, project.network, args.samples)
    comparisons: list[Comparison] = []
    if made is not None:
        comparisons.append(compare_keras(made.file.model, project.network, samples.codes, time.perf_counter))
    simulation = compile_simulation(project.folder, project.name, project.network)
    took = "compiled before" if simulation.seconds is None else f"compiled in {simulation.seconds:.1f} s"
    started = time.perf_counter()
    codes = simulation.run(samples.codes)
    seconds = time.perf_counter() - started
    comparisons.append(compare_codes("C simulation", project.network, samples.codes, codes, seconds, took))
    return Verified(what, project.folder, samples.text, tuple(comparisons))
