"""Predictions of whole networks a second on one core: many in a batch, and one alone.

    .venv/bin/python benchmarks/bench_predictor.py [--seconds S] [--board NAME]

A prediction is what ``flow predict`` prints of a network that is built in a known way: five resources with the ends of
their 90% intervals, initiation interval and latency. "batch" is ``predict_batch`` on a table of 4,096 networks, "one"
is the same on a table of one; "object" is the baseline, measured in the same run: ``predict`` of a Network and an
Implementation, one after the other. All are medians over as many rounds as fit into S seconds. The implementations are
those the solver gives without limits on resources. Time is that of the processor (one core), so that other programs
count for little. The first line checks that the batch and the objects give the same numbers.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flow import __version__
from flow.board import Board, load_board
from flow.estimate.calibrated import CALIBRATED
from flow.estimate.predict import BatchPrediction, predict, predict_batch
from flow.estimate.structural import STRUCTURAL, Estimator
from flow.estimate.table import LayerTable
from flow.implement.batch import solve_batch
from flow.implement.solver import attempt
from flow.network.fixed import FixedFormat
from flow.network.network import Network, build_network
from flow.resources import RESOURCE_NAMES, Resources
from flow.space.batch import batch_table
from flow.space.space import Task, load_space
from flow.spec import Spec, make_spec

NETWORKS, OBJECTS = 4096, 48
PIXELS = FixedFormat(8, 0, signed=False)
TASKS = {
    "mlp-jets": Task((16,), FixedFormat(8, 3), 5),
    "cnn-small": Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10),
    "cnn-cifar10": Task((32, 32, 3), PIXELS, 10),
}


def seconds_of(work: Callable[[], object], seconds: float) -> float:
    """Median of the processor time that rounds of ``work`` take; the first round is not counted."""
    work()
    times: list[float] = []
    end = time.process_time() + seconds
    while time.process_time() < end or len(times) < 3:
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def valid_codes(space_name: str, task: Task, count: int) -> tuple[LayerTable, list[Network]]:
    """A table of ``count`` valid networks of a space, and the first of them as objects."""
    space = load_space(space_name, task)
    rng, codes = np.random.default_rng(0), space.sample(np.random.default_rng(1), 0)
    while len(codes) < count:
        more = space.sample(rng, count)
        codes = np.concatenate([codes, more[batch_table(space, more, task).broken == 0]])
    codes = codes[:count]
    return batch_table(space, codes, task).table, [build_network(space.candidate(c, task)) for c in codes[:OBJECTS]]


def first_rows(table: LayerTable, networks: int) -> NDArray[np.int64]:
    """The rows of the first networks."""
    return np.flatnonzero(table.network < networks)


def same(batch: BatchPrediction, networks: list[Network], spec: Spec, board: Board) -> None:
    """Stop if the batch and the objects disagree."""
    for i, network in enumerate(networks):
        found = attempt(network, spec, board.family).implementation
        total = predict(network, found, board.part, board.family).total
        for side, amounts in ((batch.resources, total.resources), (batch.low, total.low), (batch.high, total.high)):
            assert [getattr(amounts, n) for n in RESOURCE_NAMES] == side[i].tolist(), (i, amounts, side[i])
        assert (total.interval_cycles, total.latency_cycles) == (batch.interval[i], batch.latency[i])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each figure (default: %(default)s)")
    parser.add_argument("--board", default="pynq-z2", help="board (default: %(default)s)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    board = load_board(args.board)
    spec = replace(make_spec(board), budget=Resources())
    print(
        f"fpga-nas-flow {__version__}, {CALIBRATED.name} {CALIBRATED.version}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, one core of {platform.machine()}; {board.name}, {spec.clock_mhz:g} MHz\n"
    )
    print(f"{'space':12} {'model':11} {'layers':>6} {'batch/s':>9} {'object/s':>9} {'ratio':>6} {'one, ms':>8}")
    for name, task in TASKS.items():
        table, networks = valid_codes(name, task, NETWORKS)
        solved = solve_batch(table, spec, board.family)
        reuse, stream, latency = solved.reuse, solved.stream, solved.latency_strategy
        found = [attempt(n, spec, board.family).implementation for n in networks]
        rows = first_rows(table, 1)
        single = LayerTable(1, *list(vars(table.select(rows)).values())[1:])
        for label, plain in (("calibrated", CALIBRATED), ("structural", STRUCTURAL)):
            model: Estimator = plain.at_clock(1000 / spec.clock_mhz)

            def batch(model: Estimator = model, table: LayerTable = table) -> BatchPrediction:
                return predict_batch(table, reuse, stream, latency, board.family, model)  # noqa: B023 - called at once

            def one(model: Estimator = model, table: LayerTable = single) -> BatchPrediction:
                return predict_batch(table, reuse[rows], stream[:1], latency[rows], board.family, model)  # noqa: B023

            def objects(model: Estimator = model) -> None:
                for network, implementation in zip(networks, found, strict=True):  # noqa: B023
                    predict(network, implementation, board.part, board.family, model)

            if plain is CALIBRATED:
                same(batch(), networks, spec, board)
            many = NETWORKS / seconds_of(batch, args.seconds)
            each = len(networks) / seconds_of(objects, args.seconds)
            alone = 1e3 * seconds_of(one, args.seconds)
            print(
                f"{name:12} {label:11} {len(table) / NETWORKS:6.1f} {many:9,.0f} {each:9,.0f} {many / each:6.0f} "
                f"{alone:8.2f}"
            )


if __name__ == "__main__":
    main()
