"""``python -m flow_host``: run the recorded test vectors on the board, and say how fast and how right it is."""

from __future__ import annotations

import argparse
import sys

from .accelerator import load


def main() -> int:
    """Run the command line; 0 if every result is right, 1 if not, 3 if the board does not answer."""
    parser = argparse.ArgumentParser(prog="flow_host", description="Check the network on the board.")
    parser.add_argument("folder", nargs="?", default=".", help="the folder with design.json (default: this one)")
    parser.add_argument("--port", help="serial port of a board with a UART, as /dev/ttyUSB1")
    parser.add_argument("--limit", type=int, help="test vectors to run (default: all)")
    parser.add_argument("--timeout", type=float, metavar="S", help="longest wait for an answer, in seconds")
    args = parser.parse_args()
    try:
        net = load(args.folder, port=args.port, timeout_s=args.timeout)
        try:
            check = net.check(args.limit)
        finally:
            net.close()
    except Exception as error:  # noqa: BLE001 - whatever a driver raises: one line for the user
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    print(check)
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
