"""``flow predict``: predict resources and timing of a candidate on a board."""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.commands.common import add_limits, print_json
from flow.errors import InputError

HELP = "predict resources and timing of a candidate on a board"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("candidate", type=Path, help="a candidate.json")
    parser.add_argument("--board", required=True, help="a board's name or a .yaml file")
    add_limits(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow predict``: exit 0 if the candidate fits, 1 if not."""
    from flow.board import load_board
    from flow.report.prediction import predict_candidate, prediction_text
    from flow.space.candidate import load_candidate
    from flow.spec import make_spec

    if args.candidate.suffix == ".keras":
        raise InputError(f"{args.candidate}: predict reads candidate.json files, not Keras models")
    board = load_board(args.board)
    spec = make_spec(board, lut=args.lut, fps=args.fps, latency_us=args.latency, clock_mhz=args.clock)
    result = predict_candidate(load_candidate(args.candidate), board, spec)
    if args.json:
        print_json(result)
    else:
        print(prediction_text(result))
    return 0 if result["fits"] else 1
