"""``flow report``: write report.html of a run."""

from __future__ import annotations

import argparse

from flow.commands.common import add_run, print_json

HELP = "write report.html of a run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_run(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow report``."""
    from flow.report.html import write_report
    from flow.report.run_view import load_run
    from flow.search.store import find_run

    path = find_run(args.runs, args.run)
    write_report(load_run(path), path / "report.html")
    if args.json:
        return print_json({"run": str(path), "report": str(path / "report.html")})
    print(path / "report.html")
    return 0
