"""The ``flow`` command: parses arguments, calls, prints.

Exit codes: those of ``flow.errors``, 70 for a defect of this program (EX_SOFTWARE of sysexits.h), 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from flow import __version__
from flow.commands import COMMANDS
from flow.errors import FlowError, InputError, MissingDependency, nearest

DEFECT = 70
INTERRUPTED = 130
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

    for name in COMMANDS:
        module = importlib.import_module(f"flow.commands.{name}")
        text: str = module.HELP
        sub: Parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(handler=module.run)
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("--json", action="store_true", help="print machine-readable JSON")
        module.arguments(sub)
    return parser
