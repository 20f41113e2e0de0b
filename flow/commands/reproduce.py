"""``flow reproduce``: recompute the designs of a paper: claimed, as published, corrected."""

from __future__ import annotations

import argparse

from flow.commands.common import print_json

HELP = "recompute the designs of a paper: claimed, as published, corrected"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("paper", choices=["iccad19"], help="iccad19: arXiv:1911.00105")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow reproduce``."""
    from flow.paper.reproduce import reproduce, reproduce_text

    if args.json:
        return print_json(reproduce())
    print(reproduce_text())
    return 0
