"""``flow doctor``: say which tools and packages are here, for which boards they build, and what to install."""

from __future__ import annotations

import argparse

from flow.commands.common import print_json

HELP = "say which tools and packages are here, for which boards they build, and what to install"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments: none of its own."""


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow doctor``."""
    from flow.bitstream.ready import boards_ready, ready_dict, ready_text
    from flow.board import list_boards, load_board
    from flow.doctor import doctor_text, run_doctor, to_dict

    checks = run_doctor()
    ready, problems = boards_ready([load_board(name) for name in list_boards()])
    if args.json:
        return print_json({**to_dict(checks), "bitstreams": ready_dict(ready, problems)})
    print(doctor_text(checks))
    print(f"\n{ready_text(ready, problems)}")
    return 0
