"""``flow search``: search for networks that fit a board."""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.commands.common import RUNS, add_limits

HELP = "search for networks that fit a board"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_limits(parser)
    given = argparse.SUPPRESS
    parser.add_argument("--board", default=given, help="a board's name or a .yaml file")
    parser.add_argument("--dataset", default=given, help="a data set's name or an .npz file (default: digits)")
    parser.add_argument("--space", default=given, help="a search space's name or a .yaml file (default: by data set)")
    parser.add_argument("--trials", type=int, default=given, metavar="N", help="candidates to train (default: 40)")
    parser.add_argument(
        "--time", type=float, default=given, metavar="S", dest="time_s", help="time limit in seconds (default: 540)"
    )
    parser.add_argument("--seed", type=int, default=given, help="seed of everything random (default: 0)")
    parser.add_argument("--sampler", default=given, help="ehvi, nsga2, random, reinforce or tpe (default: ehvi)")
    parser.add_argument(
        "--mode", default=given, help="joint, separate or nested: how architecture and bits are decided"
    )
    parser.add_argument(
        "--bound",
        default=given,
        help="what of a 90%% interval has to fit: its upper end or its middle (default: upper)",
    )
    parser.add_argument("--jobs", type=int, default=given, help="worker processes (default: one a core)")
    parser.add_argument("--epochs-short", type=int, default=given, help="epochs of the short rung (default: 10)")
    parser.add_argument("--epochs-full", type=int, default=given, help="epochs of full training (default: 40)")
    parser.add_argument(
        "--epochs-total", type=int, default=given, metavar="N", help="epochs of all trainings together (default: any)"
    )
    parser.add_argument("--class-weights", action="store_true", default=given, help="weigh classes by their frequency")
    parser.add_argument("--estimator-only", action="store_true", default=given, help="never look for a vendor tool")
    parser.add_argument(
        "--tool",
        default=given,
        metavar="PATH",
        help="the HLS tool that could-be winners are synthesized with: its name, program or installation folder "
        "(default: the one on PATH, if any)",
    )
    parser.add_argument(
        "--synth-jobs", type=int, default=given, metavar="N", help="syntheses at once, up to 4 (default: 2)"
    )
    parser.add_argument(
        "--synth-memory",
        type=float,
        default=given,
        metavar="GIB",
        help="memory of all syntheses together (default: 70%% of the machine's)",
    )
    parser.add_argument(
        "--synth-timeout", type=float, default=given, metavar="S", help="time limit of a synthesis (default: 3600)"
    )
    parser.add_argument("--name", help="name of the run (default: date and time)")
    parser.add_argument("--resume", action="store_true", help="go on with the run --name (default: the latest)")
    parser.add_argument("--overwrite", action="store_true", help="empty the run --name if it exists")
    parser.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of the runs (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow search``."""
    from flow.search.run import run_search

    asked = {"lut": args.lut, "fps": args.fps, "latency_us": args.latency, "clock_mhz": args.clock}
    names = ("board", "dataset", "space", "trials", "time_s", "seed", "sampler", "mode", "bound", "jobs",
             "epochs_short", "epochs_full", "epochs_total", "class_weights", "estimator_only", "tool", "synth_jobs",
             "synth_memory", "synth_timeout")  # fmt: skip
    asked = {n: v for n, v in asked.items() if v is not None} | {n: getattr(args, n) for n in names if hasattr(args, n)}
    return run_search(
        asked, root=args.runs, name=args.name, resume=args.resume, overwrite=args.overwrite, as_json=args.json
    )
