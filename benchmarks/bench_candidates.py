"""Candidates a second on one core: sampling, validity rules, implementation and prediction, for each search space.

    .venv/bin/python benchmarks/bench_candidates.py [--seconds S] [--board NAME] [--fps N] [--latency US]

"batches" is what the search does: 512 codes are sampled, made canonical, turned into one table, solved, and judged.
"one by one" is the baseline, measured in the same run: each code becomes a Candidate, a Network, an Implementation and
a Prediction. Both are medians over as many rounds as fit into S seconds; invalid candidates count in both. Time is that
of the processor (one core), so that other programs count for little.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from flow import __version__
from flow.board import load_board
from flow.errors import FlowError
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.predict import predict
from flow.implement.solver import solve
from flow.network.fixed import FixedFormat
from flow.network.network import build_network
from flow.search.check import Checker
from flow.space.space import Codes, Task, load_space
from flow.spec import BOUNDS, make_spec

BATCH = 512
"""Codes checked at once by the search (``flow.search.feasible.BATCH``)."""
ONE_BY_ONE = 64
"""Codes a round of the baseline."""
PIXELS = FixedFormat(8, 0, signed=False)
TASKS = {
    "mlp-tiny": Task((16,), FixedFormat(8, 3), 5),
    "mlp-jets": Task((16,), FixedFormat(8, 3), 5),
    "cnn-small": Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10),
    "cnn-small at 28x28": Task((28, 28, 1), PIXELS, 10),
    "cnn-cifar10": Task((32, 32, 3), PIXELS, 10),
    "paper-iccad19": Task((32, 32, 3), PIXELS, 10),
}


def rate(work: Callable[[], int], seconds: float) -> float:
    """Median of the candidates a second that rounds of ``work`` reach; the first round is not counted."""
    work()
    rates: list[float] = []
    end = time.process_time() + seconds
    while time.process_time() < end or len(rates) < 3:
        start = time.process_time()
        count = work()
        rates.append(count / (time.process_time() - start))
    return statistics.median(rates)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each figure (default: %(default)s)")
    parser.add_argument("--board", default="pynq-z2", help="board (default: %(default)s)")
    parser.add_argument("--fps", type=float, help="required inferences per second (default: 1000)")
    parser.add_argument("--latency", type=float, help="latency limit in microseconds (default: none)")
    parser.add_argument("--bound", choices=BOUNDS, default="upper", help="end that has to fit (default: %(default)s)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    board = load_board(args.board)
    spec = make_spec(board, fps=args.fps, latency_us=args.latency, bound=args.bound)
    print(
        f"fpga-nas-flow {__version__}, {CALIBRATED.name} {CALIBRATED.version}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, one core of {platform.machine()}"
    )
    latency = "no latency limit" if args.latency is None else f"{args.latency:g} us"
    print(
        f"{board.name}, {spec.min_throughput_per_s:g} inferences/s, {latency}, {spec.bound} bound; "
        "candidates a second\n"
    )
    print(f"{'space':20} {'batches':>10} {'one by one':>11} {'ratio':>7} {'feasible':>9}")
    for name, task in TASKS.items():
        space = load_space(name.partition(" ")[0], task)
        checker = Checker(space, task, spec, board.family)
        rng = np.random.default_rng(0)

        def batches(checker: Checker = checker, rng: np.random.Generator = rng) -> int:
            checker.check(checker.space.sample(rng, BATCH))
            return BATCH

        def one(code: Codes, checker: Checker = checker) -> None:
            try:
                network = build_network(checker.space.candidate(code, checker.task))
                predict(network, solve(network, spec, board.family), board.part, board.family)
            except FlowError:  # an invalid candidate, or one that doesn't fit
                return

        def one_by_one(checker: Checker = checker, rng: np.random.Generator = rng) -> int:
            for code in checker.space.sample(rng, ONE_BY_ONE):
                one(code)
            return ONE_BY_ONE

        fast, slow = rate(batches, args.seconds), rate(one_by_one, args.seconds)
        share = checker.check(space.sample(np.random.default_rng(1), BATCH)).feasible.mean()
        print(f"{name:20} {fast:10,.0f} {slow:11,.0f} {fast / slow:7.0f} {share:9.1%}")


if __name__ == "__main__":
    main()
