"""``flow show``: show the winners of a run."""

from __future__ import annotations

import argparse

from flow.commands.common import add_run, print_json

HELP = "show the winners of a run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_run(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow show``."""
    from flow.report.run_view import load_run
    from flow.report.show import show_json, show_text
    from flow.search.store import find_run

    view = load_run(find_run(args.runs, args.run))
    if args.json:
        return print_json(show_json(view))
    print(show_text(view))
    return 0
