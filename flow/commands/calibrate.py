"""``flow calibrate``: fit the calibrated predictor to synthesis reports."""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.commands.common import print_json

HELP = "fit the calibrated predictor to synthesis reports"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("data", nargs="+", type=Path, help="CSV files: csynth rows, designs, HLS and synthesis pairs")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the coefficients")
    parser.add_argument(
        "--rescale", action="store_true", help="keep the shipped coefficients, scale them to your own few reports"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow calibrate``."""
    from flow.estimate.calibrated import shipped
    from flow.estimate.calibration import calibrate

    fitted = calibrate(args.data, args.out, base=shipped() if args.rescale else None)
    path = args.out / "hls4ml.json"
    if args.json:
        return print_json({"coefficients": str(path), "data": fitted.data})
    print(path)
    return 0
