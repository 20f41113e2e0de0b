"""``flow spaces``: list the search spaces, or show the decisions of one."""

from __future__ import annotations

import argparse

from flow.commands.common import print_json

HELP = "list the search spaces, or show the decisions of one"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("name", nargs="?", help="a space's name or a .yaml file")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow spaces``."""
    from flow.report.spaces import space_dict, space_text, spaces_table
    from flow.space.space import list_spaces, load_space

    if args.name:
        space = load_space(args.name)
        if args.json:
            return print_json(space_dict(space))
        print(space_text(space))
        return 0
    spaces = [load_space(name) for name in list_spaces()]
    if args.json:
        return print_json([space_dict(s) for s in spaces])
    print(spaces_table(spaces))
    return 0
