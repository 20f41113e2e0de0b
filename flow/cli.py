"""The ``flow`` command: parses arguments, calls, prints.

Exit codes: those of ``flow.errors``, 70 for a defect of this program (EX_SOFTWARE of sysexits.h), 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from flow import __version__
from flow.errors import FlowError, InputError, MissingDependency, nearest

DEFECT = 70
INTERRUPTED = 130
RUNS = "runs"
EXTRAS = {"hls4ml": "hls", "da4ml": "rtl"}
"""Extras that bring a module; ``search`` brings all others."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage in front of it, and knows its names."""

    def __init__(self, **settings: Any) -> None:
        self.options: list[str] = []
        self.commands: dict[str, Parser] = {}
        super().__init__(allow_abbrev=False, **settings)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """As argparse does, keeping the names of options."""
        self.options += [n for n in names if n.startswith("--")]
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the mistake and end with exit code 2."""
        line = " ".join(message.split())
        self.exit(InputError.exit_code, f"{self.prog}: error: {line} (see `{self.prog} --help`)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character gets a question mark
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    parser = build_parser()
    args = parse(parser, list(sys.argv[1:] if argv is None else argv))
    if not hasattr(args, "handler"):
        parser.print_help(sys.stderr)
        return InputError.exit_code
    try:
        code = int(args.handler(args))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        complain("flow: interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads has read enough
        _drop_output()
        return 0
    except Exception as error:  # noqa: BLE001  (the last resort)
        if args.debug:
            complain(traceback.format_exc().rstrip())
        code = report_error(error)
        _drop_output()
        return code


def report_error(error: Exception) -> int:
    """Print one line about ``error``; returns the exit code."""
    known = known_error(error)
    if known is not None:
        complain(f"flow: error: {' '.join(str(known).split())}")
        return known.exit_code
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"
    complain(f"flow: internal error: {what}: a defect of flow, not of your input; --debug shows where")
    return DEFECT


def complain(line: str) -> None:
    """Print to standard error, whether or not anyone still listens."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def known_error(error: Exception) -> FlowError | None:
    """The error as one the user can act on, or None if it is a defect of this program."""
    if isinstance(error, FlowError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return None if module == "flow" else MissingDependency(module, EXTRAS.get(module, "search"))
    if isinstance(error, OSError) and error.strerror:
        where = f" {error.filename}" if error.filename else ""
        return FlowError(f"operating system error{where}: {error.strerror}")
    return None


def _drop_output() -> None:
    """What standard output still holds must not make Python complain when it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(parser: Parser, argv: list[str]) -> argparse.Namespace:
    """The arguments; a mistake ends the program with exit code 2 and the nearest command or option there is."""
    name = next((a for a in argv if not a.startswith("-")), None)
    if name is not None:
        command = parser.commands.get(name)
        if command is None:
            parser.error(f"unknown command {name!r}: {nearest(name, parser.commands)}")
        given = argv[: argv.index("--")] if "--" in argv else argv
        for option in (a.partition("=")[0] for a in given if a.startswith("--")):
            if option not in command.options and option not in parser.options:
                command.error(f"unknown option {option}: {nearest(option, command.options, prefix='--')}")
    return parser.parse_args(argv)


def build_parser() -> Parser:
    """The parser of all subcommands."""
    parser = Parser(
        prog="flow",
        description="Finds quantized neural networks that fit an FPGA board: searches architecture, quantization "
        "and hardware together, under a LUT limit and a required throughput.",
        epilog="A first search: flow search --board pynq-z2. "
        "Exit codes: 0 done, 1 nothing feasible found, 2 wrong input, 3 a tool failed or is missing, "
        "70 a defect of flow, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"flow {__version__}")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=Parser)
    parser.commands = commands.choices

    def command(name: str, handler: Any, help_text: str) -> Parser:
        sub: Parser = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
        sub.set_defaults(handler=handler)
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("--json", action="store_true", help="print machine-readable JSON")
        return sub

    sub = command("boards", do_boards, "list the boards, or show one with the source of each number")
    sub.add_argument("name", nargs="?", help="a board's name or a .yaml file")
    sub = command("spaces", do_spaces, "list the search spaces, or show the decisions of one")
    sub.add_argument("name", nargs="?", help="a space's name or a .yaml file")
    sub = command("datasets", do_datasets, "list the data sets, or describe one")
    sub.add_argument("name", nargs="?", help="a data set's name or an .npz file")
    command("doctor", do_doctor, "say which tools and packages are here, and what to install")
    sub = command("predict", do_predict, "predict resources and timing of a candidate on a board")
    sub.add_argument("candidate", type=Path, help="a candidate.json")
    sub.add_argument("--board", required=True, help="a board's name or a .yaml file")
    add_limits(sub)
    sub = command("search", do_search, "search for networks that fit a board")
    add_search(sub)
    for name, handler, text in (
        ("show", do_show, "show the winners of a run"),
        ("report", do_report, "write report.html of a run"),
    ):
        sub = command(name, handler, text)
        sub.add_argument("run", nargs="?", default="latest", help="a run's name or folder (default: the latest)")
        sub.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of the runs (default: %(default)s)")
    sub = command("calibrate", do_calibrate, "fit the calibrated predictor to synthesis reports")
    sub.add_argument("data", nargs="+", type=Path, help="CSV files: csynth rows, designs, HLS and synthesis pairs")
    sub.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the coefficients")
    sub.add_argument(
        "--rescale", action="store_true", help="keep the shipped coefficients, scale them to your own few reports"
    )
    sub = command("reproduce", do_reproduce, "recompute the designs of a paper: claimed, as published, corrected")
    sub.add_argument("paper", choices=["iccad19"], help="iccad19: arXiv:1911.00105")
    return parser


def add_limits(sub: argparse.ArgumentParser) -> None:
    """The options that make up a spec."""
    sub.add_argument(
        "--lut", type=float, metavar="N", help="LUT budget (default: the board's, less shell and headroom)"
    )
    sub.add_argument("--fps", type=float, metavar="N", help="required inferences per second (default: 1000)")
    sub.add_argument("--latency", type=float, metavar="US", help="latency limit in microseconds (default: none)")
    sub.add_argument("--clock", type=float, metavar="MHZ", help="clock (default: the board's)")


def add_search(sub: argparse.ArgumentParser) -> None:
    """The options of ``flow search``; those not given take the defaults of SearchSettings."""
    add_limits(sub)
    given = argparse.SUPPRESS
    sub.add_argument("--board", default=given, help="a board's name or a .yaml file")
    sub.add_argument("--dataset", default=given, help="a data set's name or an .npz file (default: digits)")
    sub.add_argument("--space", default=given, help="a search space's name or a .yaml file (default: by data set)")
    sub.add_argument("--trials", type=int, default=given, metavar="N", help="candidates to train (default: 40)")
    sub.add_argument(
        "--time", type=float, default=given, metavar="S", dest="time_s", help="time limit in seconds (default: 540)"
    )
    sub.add_argument("--seed", type=int, default=given, help="seed of everything random (default: 0)")
    sub.add_argument("--sampler", default=given, help="random, tpe or nsga2 (default: tpe)")
    sub.add_argument("--minimize", default=given, help="second objective: lut or scarcest (default: lut)")
    sub.add_argument("--jobs", type=int, default=given, help="worker processes (default: one a core)")
    sub.add_argument("--epochs-short", type=int, default=given, help="epochs of the short rung (default: 10)")
    sub.add_argument("--epochs-full", type=int, default=given, help="epochs of full training (default: 40)")
    sub.add_argument("--class-weights", action="store_true", default=given, help="weigh classes by their frequency")
    sub.add_argument("--estimator-only", action="store_true", default=given, help="never look for a vendor tool")
    sub.add_argument("--name", help="name of the run (default: date and time)")
    sub.add_argument("--resume", action="store_true", help="go on with the run --name (default: the latest)")
    sub.add_argument("--overwrite", action="store_true", help="empty the run --name if it exists")
    sub.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of the runs (default: %(default)s)")


def print_json(value: Any) -> int:
    """Print JSON to standard output."""
    print(json.dumps(value, indent=1, allow_nan=False))
    return 0


def do_boards(args: argparse.Namespace) -> int:
    """``flow boards``."""
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


def do_spaces(args: argparse.Namespace) -> int:
    """``flow spaces``."""
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


def do_datasets(args: argparse.Namespace) -> int:
    """``flow datasets``."""
    from flow.network.datasets import dataset_info, list_datasets
    from flow.report.datasets import dataset_json, dataset_text, datasets_json, datasets_table

    if args.name:
        info = dataset_info(args.name)
        if args.json:
            return print_json(dataset_json(info))
        print(dataset_text(info))
        return 0
    infos = list_datasets()
    if args.json:
        return print_json(datasets_json(infos))
    print(datasets_table(infos))
    return 0


def do_doctor(args: argparse.Namespace) -> int:
    """``flow doctor``."""
    from flow.doctor import doctor_text, run_doctor, to_dict

    checks = run_doctor()
    if args.json:
        return print_json(to_dict(checks))
    print(doctor_text(checks))
    return 0


def do_predict(args: argparse.Namespace) -> int:
    """``flow predict``: exit 0 if the candidate fits, 1 if not."""
    from flow.board import load_board
    from flow.report.prediction import predict_candidate, prediction_text
    from flow.space.candidate import load_candidate
    from flow.spec import make_spec

    if args.candidate.suffix == ".keras":
        raise InputError(f"{args.candidate}: predict reads candidate.json files, not Keras models")
    board = load_board(args.board)
    spec = make_spec(board, lut=args.lut, fps=args.fps, latency_us=args.latency, clock_mhz=args.clock)
    result = predict_candidate(load_candidate(args.candidate), board, spec)
    if args.json:
        print_json(result)
    else:
        print(prediction_text(result))
    return 0 if result["fits"] else 1


def do_search(args: argparse.Namespace) -> int:
    """``flow search``."""
    from flow.search.run import run_search

    asked = {"lut": args.lut, "fps": args.fps, "latency_us": args.latency, "clock_mhz": args.clock}
    names = ("board", "dataset", "space", "trials", "time_s", "seed", "sampler", "minimize", "jobs", "epochs_short",
             "epochs_full", "class_weights", "estimator_only")  # fmt: skip
    asked = {n: v for n, v in asked.items() if v is not None} | {n: getattr(args, n) for n in names if hasattr(args, n)}
    return run_search(
        asked, root=args.runs, name=args.name, resume=args.resume, overwrite=args.overwrite, as_json=args.json
    )


def do_show(args: argparse.Namespace) -> int:
    """``flow show``."""
    from flow.report.run_view import load_run
    from flow.report.show import show_json, show_text
    from flow.search.store import find_run

    view = load_run(find_run(args.runs, args.run))
    if args.json:
        return print_json(show_json(view))
    print(show_text(view))
    return 0


def do_report(args: argparse.Namespace) -> int:
    """``flow report``."""
    from flow.report.html import write_report
    from flow.report.run_view import load_run
    from flow.search.store import find_run

    path = find_run(args.runs, args.run)
    write_report(load_run(path), path / "report.html")
    if args.json:
        return print_json({"run": str(path), "report": str(path / "report.html")})
    print(path / "report.html")
    return 0


def do_calibrate(args: argparse.Namespace) -> int:
    """``flow calibrate``."""
    from flow.estimate.calibrated import shipped
    from flow.estimate.calibration import calibrate

    fitted = calibrate(args.data, args.out, base=shipped() if args.rescale else None)
    path = args.out / "hls4ml.json"
    if args.json:
        return print_json({"coefficients": str(path), "data": fitted.data})
    print(path)
    return 0


def do_reproduce(args: argparse.Namespace) -> int:
    """``flow reproduce``."""
    from flow.paper.reproduce import reproduce, reproduce_text

    if args.json:
        return print_json(reproduce())
    print(reproduce_text())
    return 0
