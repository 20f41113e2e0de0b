"""``flow boards``: list the boards, or show one with the source of each number."""

from __future__ import annotations

import argparse

from flow.commands.common import print_json

HELP = "list the boards, or show one with the source of each number"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("name", nargs="?", help="a board's name or a .yaml file")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow boards``."""
    from flow.board import list_boards, load_board
    from flow.report.boards import board_json, board_text, boards_table

    if args.name:
        board = load_board(args.name)
        if args.json:
            return print_json(board_json(board))
        print(board_text(board))
        return 0
    boards = [load_board(name) for name in list_boards()]
    if args.json:
        return print_json([board_json(b) for b in boards])
    print(boards_table(boards))
    return 0
