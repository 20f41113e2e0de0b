"""``flow convert``: write the hls4ml project, or the Verilog, of a winner or of a model file."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from flow.commands import conversion, what
from flow.commands.common import print_json

if TYPE_CHECKING:
    from flow.commands.conversion import Prepared

HELP = "write a complete hls4ml project, or plain Verilog, of a winner or of your own QKeras model"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    what.arguments(parser)
    parser.add_argument(
        "--backend", choices=("vitis", "vivado", "rtl"), default="vitis",
        help="hls4ml's backend, or rtl: plain Verilog (default: %(default)s)",
    )  # fmt: skip
    conversion.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow convert``."""
    from flow.report.project import project_text

    (chosen,) = what.resolve(args.what, run=args.run, runs=args.runs)
    if args.backend == "rtl":
        from flow.commands.backend_rtl import convert, convert_text

        found = convert(chosen, args, say)
        if args.json:
            return print_json(found)
        print(convert_text(found))
        return 0
    made = conversion.prepare(chosen, args, "Vivado" if args.backend == "vivado" else "Vitis", say)
    if args.json:
        return print_json(to_dict(made))
    said = "" if made.written else " (written before)"
    print(f"{chosen.text} -> {made.project.folder}{said}")
    print(project_text(made.project, made.board.name))
    print(f"next       {_next(made)}")
    return 0


def say(text: str) -> None:
    """Tell what takes time, on standard error."""
    print(f"flow: {text}", file=sys.stderr, flush=True)


def to_dict(made: Prepared) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "schema": 1,
        "what": made.what.text,
        "project": str(made.project.folder),
        "written": made.written,
        "board": made.board.name,
        "implementation": made.implementation.to_dict(),
        "predicted": None if made.predicted is None else made.predicted.to_dict(),
        "manifest": made.project.manifest,
    }


def _next(made: Prepared) -> str:
    """What to do with the project."""
    name = str(made.project.folder) if made.what.origin is None or not made.as_found else made.what.text
    return f"flow verify {name}, flow synth {name}"
