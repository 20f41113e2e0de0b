"""``flow predict``: predict resources and timing of a network on a board."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flow.commands.common import add_limits, print_json

NARROWEST = 60
"""Columns that text takes at least, whatever the terminal has."""
HELP = "predict resources and timing of a model or candidate on a board"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "what", type=Path, help="a model NAME.keras, a candidate.json, or a folder: all of them in it, a line each"
    )
    parser.add_argument("--board", required=True, help="a board's name or a .yaml file")
    add_limits(parser)
    add_model(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that say what a model's file does not, and how its prediction is judged."""
    parser.add_argument(
        "--bound",
        default="upper",
        help="what of a 90%% interval has to fit: its upper end or its middle (default: %(default)s)",
    )
    parser.add_argument(
        "--input",
        metavar="FORMAT",
        help="input format of a model file (default: the candidate's beside it, else 'ufixed<8,0>', pixels below 1)",
    )
    parser.add_argument(
        "--float-format",
        metavar="FORMAT",
        help="precision of layers without a quantizer (default: 'fixed<16,6>', as hls4ml's)",
    )


def formats(args: argparse.Namespace) -> tuple[Any, Any]:
    """The formats of ``--input`` and ``--float-format``, None where not given. Raises InputError."""
    from flow.errors import InputError
    from flow.network.fixed import FixedFormat

    found = []
    for option, text in (("--input", args.input), ("--float-format", args.float_format)):
        try:
            found.append(None if text is None else FixedFormat.parse(text))
        except InputError as error:
            raise InputError(f"{option}: {error}") from error
    return found[0], found[1]


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow predict``: exit 0 if everything fits, 1 if not, 2 if something can't be read."""
    from flow.board import load_board
    from flow.report.prediction import predict_subject
    from flow.report.prediction_text import prediction_text
    from flow.report.remedies import Asked
    from flow.report.subject import load_subject

    board = load_board(args.board)
    asked = Asked(args.lut, args.fps, args.latency, args.clock, args.bound)
    spec = asked.spec(board)
    given = formats(args)
    if args.what.is_dir():
        return _folder(args, board, spec, given)
    result = predict_subject(load_subject(args.what, *given), board, spec, asked=asked)
    if args.json:
        print_json(result)
    else:
        print(prediction_text(result, columns()))
    return 0 if result["fits"] else 1


def columns() -> int:
    """How wide text is: a narrow terminal's width, or what all tables fit."""
    import shutil
    import sys

    from flow.report.winners import WIDTH

    if not sys.stdout.isatty():
        return WIDTH
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDTH)


def _folder(args: argparse.Namespace, board: Any, spec: Any, given: tuple[Any, Any]) -> int:
    from flow.errors import InputError
    from flow.report.prediction import predict_subject
    from flow.report.prediction_text import summary_text
    from flow.report.subject import load_subject, shown, subject_files

    results: list[dict[str, Any]] = []
    for path in subject_files(args.what):
        name = shown(path.relative_to(args.what))
        try:
            subject = load_subject(path, *(given if path.suffix == ".keras" else (None, None)))
            result = predict_subject(subject, board, spec)
        except InputError as error:
            results.append({"name": name, "error": " ".join(str(error).removeprefix(f"{path}: ").split())})
            continue
        result["subject"]["name"] = name
        results.append(result)
    if args.json:
        print_json(results)
    else:
        print(summary_text(results))
    if any("error" in result for result in results):
        return InputError.exit_code
    return 0 if all(result["fits"] for result in results) else 1
