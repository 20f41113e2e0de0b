"""Training speed: our compiled epochs against Keras' ``model.fit`` of the same QKeras network, in the same run.

    .venv/bin/python benchmarks/bench_training.py [--epochs N] [--rounds N]

Both train the same networks on the digits with the same batch size and number of steps, on the CPU, single-threaded;
``fit`` trains the QKeras model itself with Keras' Adam. "samples/s" counts the training samples of an epoch over the
processor time of one, after the first, which compiles; "first epoch" is the seconds that one takes, building the
model included. Medians over rounds, each a training from the start; the two take turns. Validation accuracies come
with it: ``fit`` has the same learning rates, but none of the rest of the recipe.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import platform
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from flow import __version__
from flow.network.datasets import load_dataset
from flow.network.datasets.types import Dataset
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import build_network
from flow.network.qkeras_model import build_model
from flow.network.training import LEARNING_RATE, WARM_UP, accuracy, configure, default_batch, train
from flow.space.candidate import Candidate, LayerChoice

W4, A4 = WeightFormat("fixed", 4, 1), FixedFormat(4, 1, signed=False)
CONV8 = LayerChoice("conv2d", 8, W4, A4, (3, 3), pool=2)
CONV16 = LayerChoice("conv2d", 16, W4, A4, (3, 3), pool=2)
NETWORKS = {
    "dense 64-32": (LayerChoice("dense", 64, W4, A4), LayerChoice("dense", 32, W4, A4)),
    "conv 8-16": (CONV8, CONV16),
    "conv 24 (5x5)-dense 48": (
        LayerChoice("conv2d", 24, W4, A4, (5, 5), pool=2),
        LayerChoice("dense", 48, W4, A4),
    ),
}


@dataclass(frozen=True)
class Round:
    """One training: processor seconds of the first epoch and of each later one, and what it reached."""

    first_s: float
    epoch_s: float
    val_accuracy: float


def ours(candidate: Candidate, data: Dataset, epochs: int, seed: int) -> Round:
    """A training by flow.network.training."""
    ends = [time.process_time()]
    result = train(candidate, data, epochs=epochs, seed=seed, progress=lambda *_: ends.append(time.process_time()))
    return Round(ends[1] - ends[0], (ends[-1] - ends[1]) / (epochs - 1), result.val_accuracy)


def keras_fit(candidate: Candidate, data: Dataset, epochs: int, seed: int) -> Round:
    """A training by ``model.fit``."""
    import keras

    keras.utils.set_random_seed(seed)
    start = time.process_time()
    network = build_network(candidate)
    model = build_model(network)
    batch = default_batch(network, len(data.x_train))
    steps = epochs * (len(data.x_train) // batch)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=math.ceil(WARM_UP * steps)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    whole = len(data.x_train) // batch * batch
    x, y = data.x_train[:whole], data.y_train[:whole].astype(np.int32)
    ends = [start]
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.process_time()))
    model.fit(x, y, batch, epochs, verbose=0, callbacks=[note])
    return Round(ends[1] - start, (ends[-1] - ends[1]) / (epochs - 1), accuracy(model, data.x_val, data.y_val))


def line(name: str, rounds: list[Round], samples: int) -> str:
    """The medians of a method as columns."""
    speed = statistics.median(samples / r.epoch_s for r in rounds)
    first = statistics.median(r.first_s for r in rounds)
    return f"{name:26}{speed:12,.0f}{first:15.2f}{statistics.median(r.val_accuracy for r in rounds):10.4f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.epochs < 2 or arguments.rounds < 1:
        parser.error("at least 2 epochs and 1 round")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    configure(threads=1)
    import keras

    data = load_dataset("digits")
    info = data.info
    print(f"flow {__version__}, Keras {keras.__version__} on {keras.backend.backend()}, "
          f"Python {platform.python_version()}, {platform.machine()}, digits, {arguments.epochs} epochs")  # fmt: skip
    print(f"{'':26}{'samples/s':>12}{'first epoch s':>15}{'val acc':>10}")
    for name, layers in NETWORKS.items():
        candidate = Candidate(info.shape, info.input_format, info.classes, layers, W4)
        found: dict[str, list[Round]] = {"compiled epochs": [], "model.fit": []}
        for seed in range(arguments.rounds):
            for method, results in zip((ours, keras_fit), found.values(), strict=True):
                results.append(method(candidate, data, arguments.epochs, seed))
                _clear(keras)
        print(name)
        batch = default_batch(build_network(candidate), len(data.x_train))
        samples = len(data.x_train) // batch * batch
        for method_name, rounds in found.items():
            print(line(f"  {method_name}", rounds, samples))
        fast, slow = (statistics.median(r.epoch_s for r in rounds) for rounds in found.values())
        whole = [statistics.median(r.first_s + r.epoch_s * (arguments.epochs - 1) for r in rs) for rs in found.values()]
        print(f"  ratio: {slow / fast:.1f} an epoch, {whole[1] / whole[0]:.1f} the whole training")


def _clear(keras: Any) -> None:
    keras.backend.clear_session()
    gc.collect()


if __name__ == "__main__":
    main()
