"""Train every network of a small space once, so that samplers can be compared over many seeds without training.

    nice -n 15 .venv/bin/python benchmarks/table_train.py benchmarks/tables/digits.yaml benchmarks/tables/digits.csv

Each network gets the two rungs of a search (10 and 40 epochs), from its start each time, with the seed that a search
of seed 0 gives it. A row: the code (one option index a decision, joined by "."), the validation accuracy after the
short and after the full training, and the CPU seconds of both. The test split is not looked at. A table that exists is
continued. ``--share 0/2`` and ``--share 1/2`` in two processes fill one table. Digits: 780 networks.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path

import numpy as np

from flow.space.space import Task, all_codes, load_space

HEAD = "code,short,full,short_s,full_s"
RUNGS = (10, 40)


def main() -> None:
    """Append what is missing to the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space")
    parser.add_argument("table", type=Path)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--share", default="0/1", metavar="I/N", help="train every Nth network only, from the Ith on")
    args = parser.parse_args()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["OMP_NUM_THREADS"] = "1"
    from flow.network.datasets import load_dataset
    from flow.network.training import configure

    configure(1)
    import keras

    from flow.network.training import train
    from flow.search.worker import candidate_seed

    data = load_dataset(args.dataset)
    task = Task(data.info.shape, data.info.input_format, data.info.classes)
    space = load_space(args.space, task)
    lines = args.table.read_text(encoding="utf-8").splitlines() if args.table.is_file() else []
    known = {line.partition(",")[0] for line in lines[1:] if line.count(",") == HEAD.count(",")}
    codes = np.concatenate(list(all_codes(space)))
    # In random order: what is there after an hour is a fair sample already.
    first, step = map(int, args.share.split("/"))
    codes = codes[np.random.default_rng(0).permutation(len(codes))][first::step]
    with args.table.open("a", encoding="utf-8") as out:
        if not lines:
            print(HEAD, file=out)
        for number, code in enumerate(codes):
            name = ".".join(map(str, code.tolist()))
            if name in known:
                continue
            candidate = space.candidate(code, task)
            found: list[str] = []
            seconds: list[str] = []
            for epochs in RUNGS:
                started = time.process_time()
                result = train(candidate, data, epochs=epochs, seed=candidate_seed(0, candidate.digest))
                found.append(f"{result.val_accuracy:.6f}")
                seconds.append(f"{time.process_time() - started:.2f}")
                keras.backend.clear_session()
                gc.collect()
            print(",".join([name, *found, *seconds]), file=out, flush=True)
            if number % 50 == 0:
                print(f"{number + 1} of {len(codes)}", flush=True)


if __name__ == "__main__":
    main()
