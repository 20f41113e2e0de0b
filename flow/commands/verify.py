"""``flow verify``: whether QKeras, the integers and a simulation of the hardware agree on every bit."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from flow.commands import conversion, what
from flow.commands.backends import BACKENDS
from flow.commands.common import print_json
from flow.errors import InputError

if TYPE_CHECKING:
    from flow.commands.backends import Verified

HELP = "check that QKeras, the integers and the simulated hardware agree on every bit"
SAMPLES = 100
MAX_SAMPLES = 1_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    what.arguments(parser, what.PROJECT_HELP)
    add = parser.add_argument
    add("--backend", choices=tuple(BACKENDS), help="whose C++ is simulated, or rtl: Verilog (default: vitis)")
    add("--samples", type=int, default=SAMPLES, metavar="N", help="samples to compare (default: %(default)s)")
    add("--waveform", action="store_true", help="with --backend rtl: draw the handshakes of an inference")
    conversion.arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow verify``: exit 0 if all agree, 1 if not, 3 if there is no compiler."""
    from flow.commands.backends import backend
    from flow.commands.convert import say
    from flow.report.measured import comparisons_text

    if not 1 <= args.samples <= MAX_SAMPLES:
        raise InputError(f"--samples must be from 1 to {MAX_SAMPLES:,}, not {args.samples}")
    if args.waveform and args.backend != "rtl":
        raise InputError("--waveform goes with --backend rtl")
    (chosen,) = what.resolve(args.what, run=args.run, runs=args.runs)
    found: Verified = backend(args.backend).verify(chosen, args, say)
    if args.json:
        print_json(
            {
                "schema": 1,
                "what": chosen.text,
                "project": None if found.folder is None else str(found.folder),
                "samples": found.samples,
                "agrees": found.agrees,
                "comparisons": [c.to_dict() for c in found.comparisons],
                "notes": list(found.notes),
                "faults": list(found.faults),
            }
        )
    else:
        lines = [f"{chosen.text}: {found.samples}", comparisons_text(found.comparisons), *found.notes, _verdict(found)]
        print("\n".join(lines))
    return 0 if found.agrees else 1


def _verdict(found: Verified) -> str:
    if not found.agrees:
        wrong = ", ".join(c.name for c in found.comparisons if not c.agrees)
        apart = [f"{wrong} and the integers do not agree"] if wrong else []
        return f"DIFFERENT: {'; '.join([*apart, *found.faults])}"
    if any(c.different for c in found.comparisons):
        return "agree as far as QKeras' own arithmetic is exact"
    return "agree on every bit"
