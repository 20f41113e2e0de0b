"""``flow bitstream``: make a winner, or a model of your own, run on its board."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flow.commands.common import RUNS, print_json

HELP = "make the bitstream project of a winner or a model, and build it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "what",
        nargs="?",
        help="a winner's id or digest, a .keras model, a quantized network (.npz) or an HLS project's folder "
        "(default: the winner of highest validation accuracy that fits)",
    )
    parser.add_argument("--board", help="a board's name or a .yaml file (default: the run's)")
    parser.add_argument("--run", default="latest", help="the run whose winner is meant (default: the latest)")
    parser.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of the runs (default: %(default)s)")
    parser.add_argument("--backend", help="hls (hls4ml's C++) or rtl (our Verilog) (default: by board and subject)")
    parser.add_argument("--clock", type=float, metavar="MHZ", help="clock (default: the winner's, or the board's)")
    parser.add_argument("--fps", type=float, metavar="N", help="inferences per second that our Verilog must reach")
    parser.add_argument("--dataset", help="data set of the test vectors, and of a model's input format")
    parser.add_argument("--input", metavar="FORMAT", help="input format of a model without a data set: 'ufixed<8,0>'")
    parser.add_argument("--emit-only", action="store_true", help="only write the project, run no tool")
    parser.add_argument("--out", type=Path, help="result folder (default: bitstream/ in the run, or here)")
    parser.add_argument("--tool", help="Vivado's program or installation folder (default: from PATH)")
    parser.add_argument("--ila", action="store_true", help="add an integrated logic analyser to both streams")
    parser.add_argument("--seed", type=int, default=1, help="first seed of place and route, open tools (default: 1)")
    parser.add_argument("--flash", action="store_true", help="load it into the board with openFPGALoader (open tools)")
    parser.add_argument("--timeout", type=float, metavar="S", help="time limit of each tool's run (default: 14400)")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow bitstream``: exit 0 if built (or emitted as asked), 3 if a tool is missing."""
    from flow.bitstream.make import TIMEOUT_S, Options, make_bitstream
    from flow.bitstream.subject import Asked
    from flow.errors import InputError

    for name in ("clock", "fps", "timeout"):
        value = getattr(args, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{name} must be a positive number, not {value!r}")
    if args.seed < 1:
        raise InputError(f"--seed must be at least 1, not {args.seed}")
    asked = Asked(args.what, args.board, args.run, args.runs, args.dataset, args.input, args.fps)
    options = Options(
        backend=args.backend,
        clock_mhz=args.clock,
        emit_only=args.emit_only,
        out=args.out,
        tool=args.tool,
        ila=args.ila,
        timeout_s=TIMEOUT_S if args.timeout is None else args.timeout,
        seed=args.seed,
        flash=args.flash,
    )
    outcome = make_bitstream(asked, options, say=lambda line: print(line, file=sys.stderr))
    code = 0 if outcome.missing is None or args.emit_only else 3
    if args.json:
        print_json({"folder": str(outcome.folder), "commands": list(outcome.commands), "manifest": outcome.manifest})
        return code
    for warning in outcome.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    board, stem = outcome.manifest["board"], outcome.plan.stem
    if outcome.missing is None:
        readme = next(p for p in (outcome.folder / "board" / "README.md", outcome.folder / "README.md") if p.is_file())
        print(f"{outcome.folder / 'board'}: {stem} for {board}, ready; {readme} says how to use it")
        return code
    print(f"{outcome.folder}: the project {stem} for {board}, not built: {outcome.missing}")
    print("Copy that folder to a machine with the tools, and run in it:")
    for line in outcome.commands:
        print(f"  {line}")
    print("Then copy it back and run the same `flow bitstream` again: it checks what was built.")
    return code
