"""``flow calibrate``: fit the calibrated predictor to synthesis reports."""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.commands.common import print_json

HELP = "fit the calibrated predictor to synthesis reports"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "data", nargs="+", type=Path, metavar="DATA",
        help="CSV files (csynth rows, designs, pairs of HLS and synthesis), or runs whose winners `flow synth` built",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the coefficients")
    parser.add_argument(
        "--rescale", action="store_true",
        help="keep the shipped coefficients, scale them to your own few reports (always so for runs alone)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow calibrate``."""
    from flow.estimate.calibrated import VARIABLE, shipped
    from flow.estimate.calibration import calibrate

    fitted = calibrate(args.data, args.out, base=shipped() if args.rescale else None)
    path = args.out / "hls4ml.json"
    if args.json:
        result = {"coefficients": str(path), "scale": dict(fitted.scale), "data": fitted.data}
        return print_json(result)
    own = fitted.data.get("adapted to")
    if own is not None:
        factors = ", ".join(f"{name.upper()} x {factor:.2f}" for name, factor in sorted(fitted.scale.items()))
        print(f"scaled to {own:,} own report{'s' if own != 1 else ''}: {factors}")
    print(f"{path}\nuse them: export {VARIABLE}={path.resolve()}")
    return 0
