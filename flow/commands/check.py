"""``flow check``: the gate of a CI job: does a model still fit its budget?"""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.commands.common import print_json
from flow.commands.predict import add_model, formats

HELP = "check a model against a budget: exit 0 or 1, for a CI job"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add = parser.add_argument
    add("model", type=Path, help="a model NAME.keras, or a candidate.json")
    add("--board", required=True, help="a board's name or a .yaml file")
    add("--max-lut", type=float, metavar="N", help="LUT budget (default: the board's, less shell and headroom)")
    add("--min-fps", type=float, metavar="T", help="required inferences per second (default: 1000)")
    add("--max-latency", type=float, metavar="US", help="latency limit in microseconds (default: none)")
    add("--max-dsp", type=float, metavar="N", help="DSP budget (default: the board's)")
    add("--max-bram", type=float, metavar="N", help="budget of RAMB18 blocks (default: the board's)")
    add("--clock", type=float, metavar="MHZ", help="clock (default: the board's)")
    add_model(parser)
    add(
        "--summary",
        type=Path,
        metavar="FILE.md",
        help="write a Markdown summary for a pull request (default: append it to $GITHUB_STEP_SUMMARY if that is set)",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow check``: exit 0 if the model fits, 1 if not."""
    from flow.board import load_board
    from flow.report.gate import Budget, check_subject, summary_markdown, write_summary
    from flow.report.subject import load_subject

    board = load_board(args.board)
    budget = Budget(args.max_lut, args.min_fps, args.max_latency, args.max_dsp, args.max_bram, args.clock, args.bound)
    budget.spec(board)  # a mistake in the limits is told before one in the model
    result = check_subject(load_subject(args.model, *formats(args)), board, budget)
    write_summary(summary_markdown(result), args.summary)
    if args.json:
        print_json(result)
    else:
        print(result["line"])
    return 0 if result["fits"] else 1
