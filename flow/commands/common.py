"""What several commands share: options of a spec and of a run, JSON on standard output."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RUNS = "runs"


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The options that make up a spec."""
    parser.add_argument(
        "--lut", type=float, metavar="N", help="LUT budget (default: the board's, less shell and headroom)"
    )
    parser.add_argument("--fps", type=float, metavar="N", help="required inferences per second (default: 1000)")
    parser.add_argument("--latency", type=float, metavar="US", help="latency limit in microseconds (default: none)")
    parser.add_argument("--clock", type=float, metavar="MHZ", help="clock (default: the board's)")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options that name a run."""
    parser.add_argument("run", nargs="?", default="latest", help="a run's name or folder (default: the latest)")
    parser.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of the runs (default: %(default)s)")


def print_json(value: Any) -> int:
    """Print JSON to standard output; returns exit code 0."""
    print(json.dumps(value, indent=1, allow_nan=False))
    return 0
