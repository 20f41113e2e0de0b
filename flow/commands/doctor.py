"""``flow doctor``: say which tools and packages are here, and what to install."""

from __future__ import annotations

import argparse

from flow.commands.common import print_json

HELP = "say which tools and packages are here, and what to install"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments: none of its own."""


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow doctor``."""
    from flow.doctor import doctor_text, run_doctor, to_dict

    checks = run_doctor()
    if args.json:
        return print_json(to_dict(checks))
    print(doctor_text(checks))
    return 0
