"""``flow synth``: synthesize a winner, a model or a project, and set what is measured beside what was predicted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flow.commands import conversion, what
from flow.commands.backends import BACKENDS
from flow.commands.common import print_json
from flow.errors import InputError

if TYPE_CHECKING:
    from flow.commands.backends import Synthesized

HELP = "synthesize a winner, your own model or an HLS project, and compare with the prediction"
MEASUREMENT = "measurement.json"
"""What was measured of a project, in its folder."""
TIMEOUT_S = 3600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    what.arguments(parser, what.PROJECT_HELP)
    add = parser.add_argument
    add("--all", action="store_true", help="all winners of the run WHAT")
    add("--backend", choices=tuple(BACKENDS), help="what builds it (default: the HLS tool that is found)")
    add("--tool", metavar="PATH", help="the HLS tool: its name, program or installation folder (default: from PATH)")
    add("--cosim", action="store_true", help="C/RTL co-simulation too: minutes to hours")
    add("--logic", action="store_true", help="logic synthesis out of context too, with Vivado: the truer LUT count")
    add("--reports", action="store_true", help="run nothing: read the reports that a synthesis elsewhere has left")
    add("--timeout", type=float, default=TIMEOUT_S, metavar="S", help="time limit of each step (default: %(default)g)")
    add("--memory", type=float, metavar="GIB", help="memory of all runs together (default: 80%% of the machine's)")
    add("--route", action="store_true", help="with --backend rtl: place and route too (ECP5 and iCE40 boards)")
    add("--jobs", type=int, metavar="N", help="syntheses at once, each with its share of the memory (default: 2)")
    conversion.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow synth``: exit 0, 1 if something measured does not fit, 3 if a tool fails or is missing."""
    from flow.commands.backends import backend
    from flow.commands.convert import say

    for name, least in (("timeout", 0.0), ("memory", 0.0), ("jobs", 0)):
        value = getattr(args, name)
        if value is not None and not least < value < float("inf"):
            raise InputError(f"--{name} must be above {least:g}, not {value:g}")
    if args.route and args.backend != "rtl":
        raise InputError("--route goes with --backend rtl")
    chosen = what.resolve(args.what, run=args.run, runs=args.runs, every=args.all)
    found: list[Synthesized] = backend(args.backend).synth(chosen, args, say)
    kept = [_keep(one) for one in found]
    if args.json:
        rows = [{**to_dict(one), "kept": where} for one, where in zip(found, kept, strict=True)]
        print_json({"schema": 1, "synthesized": rows})
    else:
        texts = [_text(one, where) for one, where in zip(found, kept, strict=True) if one.error is None]
        if texts:
            print("\n\n".join(texts))
    return _complain(found)


def _keep(one: Synthesized) -> str:
    """Write what was measured where it belongs; returns in words what became of it."""
    from flow.fileio import write_json
    from flow.search.measured import record_measurements

    if one.error is not None or one.folder is None:
        return ""
    write_json(one.folder / MEASUREMENT, {"schema": 1, **to_dict(one)})
    origin = one.what.origin
    if origin is None:
        return f"kept in {one.folder / MEASUREMENT}"
    if not one.as_found:
        return f"kept in {one.folder / MEASUREMENT}; not with the winner, which is built otherwise"
    try:
        record_measurements(origin.run, origin.digest, one.measurements)
    except InputError as error:
        return f"kept in {one.folder / MEASUREMENT}; not with the winner: {error}; repeat this command then"
    return f"kept with the winner: flow show {origin.run.name}"


def to_dict(one: Synthesized) -> dict[str, Any]:
    """What ``--json`` prints of one design, and ``measurement.json`` keeps."""
    return {
        "what": one.what.text,
        "project": None if one.folder is None else str(one.folder),
        "measurements": [m.to_dict() for m in one.measurements],
        "predicted": None if one.predicted is None else one.predicted.to_dict(),
        "misses": one.misses,
        "seconds": dict(one.seconds),
        "reused": list(one.reused),
        "notes": list(one.notes),
        "error": None if one.error is None else " ".join(str(one.error).split()),
        "log_tail": list(getattr(one.error, "tail", ())),
    }


def _text(one: Synthesized, kept: str) -> str:
    from flow.report.measured import measured_text, steps_text

    budget = None if one.limits is None else one.limits.budget
    verdict = "" if one.limits is None else (": does not fit" if one.misses else ": fits")
    lines = [f"{one.what.text}{verdict}", measured_text(one.predicted, one.measurements, budget)]
    lines += [f"missed: {'; '.join(one.misses)}"] if one.misses else []
    lines += [*one.notes, *([f"took {steps_text(one.seconds, one.reused)}"] if one.seconds else []), kept]
    return "\n".join(lines)


def _complain(found: Sequence[Synthesized]) -> int:
    """Say on standard error what failed, with the ends of the logs; returns the exit code. A single error is raised."""
    errors = [(one.what.text, one.error) for one in found if one.error is not None]
    for text, error in errors:
        for line in getattr(error, "tail", ()):
            print(f"  | {printable(line)}", file=sys.stderr)
        if len(found) == 1:
            raise error
        print(f"flow: error: {text}: {' '.join(str(error).split())}", file=sys.stderr)
    if errors:
        return max(error.exit_code for _, error in errors)
    return 1 if any(one.misses for one in found) else 0


def printable(text: str) -> str:
    """A line of a log that cannot steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
