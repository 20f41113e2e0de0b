"""``flow reproduce``: the designs of a paper: claimed, as published, corrected, and built by our own means."""

from __future__ import annotations

import argparse

from flow.commands.common import print_json

HELP = "recompute the designs of a paper: claimed, as published, corrected"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("paper", choices=["iccad19"], help="iccad19: arXiv:1911.00105")
    parser.add_argument(
        "--shares",
        type=int,
        metavar="N",
        help="also how much of the paper's space keeps these and tighter limits, by N random networks (10000: 25 s)",
    )
    parser.add_argument(
        "--synthesize",
        action="store_true",
        help="synthesize our Verilog of the designs with Yosys, too (minutes for D, longer for E and F)",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow reproduce``."""
    from flow.errors import InputError
    from flow.paper.backends import hls4ml_column
    from flow.paper.feasible import ALL_LIMITS, share_of_feasible, shares_text
    from flow.paper.model import CORRECTED, PAPER
    from flow.paper.reproduce import reproduce, reproduce_text
    from flow.paper.verilog import verilog_columns

    if args.shares is not None and args.shares < 1:
        raise InputError(f"shares: at least 1 network, not {args.shares}")
    models = (PAPER, CORRECTED, CORRECTED.with_options(resident=True, dense=True))
    shares = share_of_feasible(args.shares, 0, models, ALL_LIMITS) if args.shares else None
    extra = (hls4ml_column(), *verilog_columns(args.synthesize))
    if args.json:
        data = reproduce(extra)
        return print_json(data if shares is None else {**data, "feasible": [s.to_dict() for s in shares]})
    print(reproduce_text(extra))
    if shares is not None:
        print(f"\nShare of the space that keeps the limits, {args.shares:,} random networks, best tiles and groups\n")
        print(shares_text(shares))
    return 0
