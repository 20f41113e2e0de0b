"""``flow compare``: joint search beside separate, nested and random search, on one training budget."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "compare joint search with separate, nested and random search"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "--datasets", help="digits, mnist, cifar10, with commas (default: those that are on this machine)"
    )
    parser.add_argument("--board", default="pynq-z2", help="a board's name or a .yaml file (default: %(default)s)")
    parser.add_argument("--modes", help="joint and others, with commas (default: all of a data set's study)")
    parser.add_argument("--sampler", default="ehvi", help="sampler of all modes but random (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default: %(default)s)")
    parser.add_argument(
        "--epochs-total", type=int, metavar="N", help="training budget of a search (default: the study's)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/compare"),
        help="where searches are kept and gone on with (default: %(default)s)",
    )
    parser.add_argument("--docs", type=Path, help="folder for compare.md and its pictures (default: --out)")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow compare``."""
    import sys
    from dataclasses import replace

    from flow.commands.common import print_json
    from flow.compare.cases import MODES, STUDIES, cases_of, is_there, prepared, study_of
    from flow.compare.page import write_page
    from flow.compare.runs import run_cases
    from flow.errors import InputError, unknown_name

    if args.seeds < 2:
        raise InputError(f"seeds must be at least 2 to compare, not {args.seeds}")
    modes = args.modes.split(",") if args.modes else None
    for mode in modes or []:
        if mode not in MODES:
            raise unknown_name("mode", mode, MODES)
    if modes is not None and "joint" not in modes:
        raise InputError("modes: joint is missing, with which the others are compared")
    names = args.datasets.split(",") if args.datasets else [name for name in STUDIES if is_there(name)]
    left_out = [name for name in STUDIES if name not in names]
    if left_out and not args.datasets:
        print(f"flow: left out, not on this machine: {', '.join(left_out)} (see `flow datasets`)", file=sys.stderr)
    results = []
    for name in names:
        study = study_of(name)
        if args.epochs_total is not None:
            study = replace(study, epochs_total=args.epochs_total)
        cases = cases_of(study, prepared(study, args.out / "data"), args.board, args.sampler, range(args.seeds), modes)
        for case in cases:
            case.settings()  # a mistake is told before the first search
        results += run_cases(cases, args.out, lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        return print_json(results)
    print(write_page(results, _command(args), args.docs or args.out))
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command line that gives this comparison again, folders left out."""
    given = ["flow compare"]
    for name, default in (("datasets", None), ("board", "pynq-z2"), ("modes", None), ("sampler", "ehvi"), ("seeds", 3),
                          ("epochs_total", None)):  # fmt: skip
        if getattr(args, name) != default:
            given.append(f"--{name.replace('_', '-')} {getattr(args, name)}")
    return " ".join(given)
