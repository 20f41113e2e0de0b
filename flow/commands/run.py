"""``flow run``: send images through a network on a board with a UART, and say how right and how fast it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.commands.common import RUNS, print_json

HELP = "run images on a board with a UART: accuracy and images/s"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "images", nargs="?", type=Path, metavar="IMAGES.npz", help="images (default: the recorded test vectors)"
    )
    parser.add_argument("--port", required=True, help="serial port of the board, as /dev/ttyUSB0")
    parser.add_argument("--dataset", help="run the test split of a data set")
    parser.add_argument("--folder", type=Path, help="folder of the bitstream (default: the one the board says it runs)")
    parser.add_argument("--runs", type=Path, default=Path(RUNS), help="folder of the runs (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="images to run (default: all)")
    parser.add_argument("--timeout", type=float, default=1.0, metavar="S", help="wait for an answer (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Carry out ``flow run``: exit 0 if every result is right, 3 if not, or if the board does not answer."""
    from flow.bitstream.uart_run import connect, find_folders, from_dataset, from_file, recorded
    from flow.bitstream.uart_run import run as run_samples
    from flow.errors import InputError, ToolError

    if args.images is not None and args.dataset is not None:
        raise InputError("give images or --dataset, not both")
    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit must be at least 1, not {args.limit}")
    if not 0 < args.timeout <= 3600:
        raise InputError(f"--timeout must be above 0 and at most 3,600 s, not {args.timeout:g}")
    if args.images is not None and not args.images.is_file():
        raise InputError(f"{args.images}: there is no such file")
    roots = [Path("bitstream"), *sorted(path for path in args.runs.glob("*/bitstream") if path.is_dir())]
    net = connect(args.port, find_folders(args.folder, roots), args.timeout)
    try:
        if args.dataset is not None:
            samples = from_dataset(net, args.dataset)
        else:
            samples = recorded(net) if args.images is None else from_file(net, args.images)
        ran = run_samples(net, samples, args.limit)
    finally:
        net.close()
    if args.json:
        print_json(ran.to_dict())
    else:
        print(ran)
    if ran.wrong:
        raise ToolError(
            f"{ran.wrong:,} of {ran.images:,} results are not what the network gives: load the bitstream again, and "
            "look at the board's power and clock"
        )
    return 0
