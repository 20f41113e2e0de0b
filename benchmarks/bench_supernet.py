"""Weight sharing as a cheap measure of rank: one set of weights for every network of a small space, trained once.

    .venv/bin/python benchmarks/bench_supernet.py --seeds 3 --out build/cost-table

Each step trains one network of the space, drawn at random, on one batch, in the arithmetic of ``flow.network.qat``; its
kernels are corners of kernels that all networks share, its gains and offsets those of the same layer in the same
formats (single path, arXiv:1904.00420). Then every network that keeps the limits is judged on the validation split
without any training of its own, with the means of its channels taken from training samples. Printed: CPU seconds, and
how well the order agrees with that of full training (Spearman's rho, from ``tables/digits.csv``), beside the short
training's order and an order by size.

``--out`` keeps the curve of a search that trains in full what the shared weights put on the front, then what they put
on the next front, and so on, where ``bench_cost.py`` finds it. ``--inherit N``: train N networks for 10 epochs with
their start taken from the shared weights, to compare with 10 epochs from their own.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # the seconds of other threads would not be counted
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.fileio import write_json
from flow.network.datasets import load_dataset
from flow.network.network import Network, build_network
from flow.network.qat import QatNetwork
from flow.network.qkeras_model import build_model
from flow.network.reference import weight_shape
from flow.network.training import BETA1, BETA2, EPSILON, LEARNING_RATE, WARM_UP, _Run, accuracy, configure
from flow.search.check import checker_for
from flow.search.pareto import hypervolume, pareto_front
from flow.search.settings import SearchSettings, resolve
from flow.search.worker import candidate_seed
from flow.space.space import all_codes

FOLDER = Path(__file__).with_name("tables")
NAME = "shared weights"
FLOOR = 0.5
"""Accuracies above this count, as in ``bench_cost.py``."""
CALIBRATION = 512
"""Training samples that the means of a network's channels are taken from."""

Array = NDArray[np.float32]


@dataclass
class Adam:
    """A shared array and the state of its optimizer; of a step only the corner that was used is changed."""

    value: Array
    first: Array = field(init=False)
    second: Array = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.second = np.zeros_like(self.value), np.zeros_like(self.value)

    def step(self, corner: tuple[slice, ...], gradient: Array, rate: float, count: int) -> None:
        """One step; ``count`` from 1."""
        first = self.first[corner] = BETA1 * self.first[corner] + (1 - BETA1) * gradient
        second = self.second[corner] = BETA2 * self.second[corner] + (1 - BETA2) * gradient * gradient
        move = first / (1 - BETA1**count) / (np.sqrt(second / (1 - BETA2**count)) + EPSILON)
        self.value[corner] -= rate * move


@dataclass(frozen=True)
class Slot:
    """Where a layer finds its kernel, the shape of its corner of it, and the name of its gains and offsets."""

    kernel: str
    shape: tuple[int, ...]
    scale: str

    @property
    def corner(self) -> tuple[slice, ...]:
        """The part of the shared kernel that the layer uses."""
        return tuple(slice(0, size) for size in self.shape)


def slots(network: Network) -> list[Slot]:
    """One a weight layer. A dense layer behind an image has a kernel of (height, width, channels, units)."""
    found: list[Slot] = []
    image: tuple[int, ...] = network.input_shape
    for layer in network:
        if layer.op != "dense" and len(layer.out_shape) == 3:
            image = layer.out_shape
        if layer.weight is None:
            continue
        shape = weight_shape(layer)
        name = f"{layer.name} of {len(found) + 1}"
        if layer.op == "dense" and shape[0] == math.prod(image):
            shape = (*image, shape[-1])
            name += f" behind {image[:2]}"
        found.append(Slot(name, shape, f"{name}, {layer.weight}, {layer.in_format}, {shape[-2]}"))
    return found


class Shared:
    """The weights of all ``networks``. Deterministic in ``seed``."""

    def __init__(self, networks: Sequence[Network], x: Array, y: NDArray[Any], seed: int) -> None:
        self.rng = np.random.default_rng([seed, 0x5EED])
        self.x, self.y = x, y
        largest: dict[str, tuple[int, ...]] = {}
        for network in networks:
            for slot in slots(network):
                known = largest.get(slot.kernel, slot.shape)
                largest[slot.kernel] = tuple(map(max, known, slot.shape))
        self.kernels = {
            name: Adam((self.rng.standard_normal(s) / math.sqrt(math.prod(s[:-1]))).astype(np.float32))
            for name, s in largest.items()
        }
        self.scales: dict[str, tuple[Adam, Adam]] = {}
        self.temperature = Adam(np.zeros(1, np.float32))

    def parameters(self, qat: QatNetwork) -> Array:
        """The vector of one network. Gains that no network has had before start as in a training of its own."""
        found = slots(qat.network)
        if any(slot.scale not in self.scales for slot in found):
            start, _ = qat.initial(self.rng, self.x[self.rng.permutation(len(self.x))[:256]])
            parts = np.split(start, qat.ends)
            for index, slot in enumerate(found):
                if slot.scale not in self.scales:
                    gain, offset = parts[3 * index + 1 : 3 * index + 3]
                    size = self.kernels[slot.kernel].value.shape[-1]
                    pad = (0, size - len(gain))
                    self.scales[slot.scale] = Adam(np.pad(gain, pad, mode="mean")), Adam(np.pad(offset, pad))
        pieces = []
        for slot in found:
            kernel = self.kernels[slot.kernel].value[slot.corner]
            pieces += [kernel.ravel(), *(a.value[: slot.shape[-1]] for a in self.scales[slot.scale])]
        return np.concatenate([*pieces, self.temperature.value]).astype(np.float32)

    def train(self, networks: Sequence[Network], steps: int, batch: int) -> None:
        """``steps`` steps of a random network and a random batch each."""
        import tensorflow as tf
        from keras import ops

        qats = [QatNetwork(network) for network in networks]
        for number in range(steps):
            qat = qats[self.rng.integers(len(qats))]
            chosen = self.rng.integers(0, len(self.x), batch)
            at = tf.convert_to_tensor(self.parameters(qat))
            means = tf.zeros(sum(layer.out_shape[-1] for layer in qat.layers))
            with tf.GradientTape() as tape:
                tape.watch(at)
                logits, _ = qat.training_logits(at, means, False, tf.convert_to_tensor(self.x[chosen]))
                losses = ops.sparse_categorical_crossentropy(self.y[chosen], logits, from_logits=True)
                loss = ops.mean(losses)
            parts = np.split(np.asarray(tape.gradient(loss, at)), qat.ends)
            done = number / steps
            rate = LEARNING_RATE * min(1.0, (number + 1) / (WARM_UP * steps)) * 0.5 * (1 + math.cos(math.pi * done))
            for index, slot in enumerate(slots(qat.network)):
                w, gain, offset = parts[3 * index : 3 * index + 3]
                self.kernels[slot.kernel].step(slot.corner, w.reshape(slot.shape), rate, number + 1)
                units = (slice(0, slot.shape[-1]),)
                for adam, gradient in zip(self.scales[slot.scale], (gain, offset), strict=True):
                    adam.step(units, gradient, rate, number + 1)
            self.temperature.step((slice(0, 1),), parts[-1], rate, number + 1)

    def accuracy(self, network: Network, x: Array, y: NDArray[Any]) -> float:
        """Of a network with the shared weights, without training of its own."""
        import tensorflow as tf

        qat = QatNetwork(network)
        at = tf.convert_to_tensor(self.parameters(qat))
        nothing = tf.zeros(sum(layer.out_shape[-1] for layer in qat.layers))
        _, means = qat.training_logits(at, nothing, False, tf.convert_to_tensor(self.x[:CALIBRATION]))
        logits, _ = qat.training_logits(at, means, True, tf.convert_to_tensor(x))
        return float((np.argmax(np.asarray(logits), axis=-1) == y).mean())


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation, ties at their middle."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, place, count = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    ranks: NDArray[np.float64] = middle[place]
    return ranks


def in_order(judged: Sequence[float], costs: Sequence[float]) -> list[int]:
    """Front after front of what was judged, each from the most accurate on."""
    left, order = list(range(len(judged))), []
    while left:
        front = [left[i] for i in pareto_front([(judged[i], costs[i]) for i in left])]
        order += front[::-1]
        left = [i for i in left if i not in set(front)]
    return order


def main() -> None:
    """One set of shared weights a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=FOLDER / "digits.csv")
    parser.add_argument("--lut", type=float)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--inherit", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    configure(1)
    space = str(args.table.with_suffix(".yaml"))
    problem = resolve(SearchSettings("pynq-z2", "digits", space, lut=args.lut, estimator_only=True))
    codes = np.concatenate(list(all_codes(problem.space)))
    checked = checker_for(problem).check(codes)
    rows = {}
    for line in args.table.read_text(encoding="utf-8").splitlines()[1:]:
        name, *values = line.split(",")
        rows[name] = tuple(map(float, values))
    kept = [i for i in range(len(codes)) if checked.feasible[i]]
    table = [rows[".".join(map(str, codes[i].tolist()))] for i in kept]
    costs = [float(checked.cost[i]) for i in kept]
    candidates = [problem.space.candidate(codes[i], problem.task) for i in kept]
    networks = [build_network(c) for c in candidates]
    data = load_dataset("digits")
    short, full = [r[0] for r in table], [r[1] for r in table]
    limit = math.log10(problem.spec.budget.lut or 1e9)
    briefly = statistics.mean(r[2] for r in table)
    print(f"{len(networks)} networks; rho with full training: short training {spearman(short, full):.3f} "
          f"({briefly:.2f} CPU s a network), LUTs {spearman(costs, full):.3f} (free)")  # fmt: skip
    for seed in range(args.seeds):
        started = time.process_time()
        shared = Shared(networks, data.x_train, data.y_train, seed)
        shared.train(networks, args.steps, args.batch)
        trained = time.process_time() - started
        judged = [shared.accuracy(network, data.x_val, data.y_val) for network in networks]
        spent = time.process_time() - started
        print(f"seed {seed}: rho {spearman(judged, full):.3f}; {trained:.1f} CPU s to train, {spent - trained:.1f} to "
              f"judge; accuracies {min(judged):.3f} to {max(judged):.3f}", flush=True)  # fmt: skip
        points: list[tuple[float, float]] = []
        curve = []
        for i in in_order(judged, costs):
            spent += table[i][3]
            if spent > args.seconds:
                break
            points.append((full[i], math.log10(costs[i])))
            curve.append([round(spent, 2), round(hypervolume(points, (FLOOR, limit)), 6)])
        print(f"  {len(curve)} full trainings, {curve[-1] if curve else 'none'}", flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            write_json(args.out / f"{NAME.replace(' ', '-')}-{seed}.json", {"curve": curve})
        if args.inherit and seed == 0:
            inherit(shared, candidates, networks, data, table, args.inherit)


def inherit(
    shared: Shared, candidates: Sequence[Any], networks: Sequence[Network], data: Any, table: Sequence[Any], count: int
) -> None:
    """Short trainings that start from the shared weights."""
    from keras import ops

    chosen = np.random.default_rng(0).permutation(len(networks))[:count]
    found = []
    for i in chosen:
        network = networks[i]
        rng = np.random.default_rng(candidate_seed(0, candidates[i].digest))
        run = _Run(network, data, 10, 32, False, rng)
        run.state = (ops.convert_to_tensor(shared.parameters(run.qat)), *run.state[1:])
        for _ in range(10):
            run.epoch(rng)
        found.append(accuracy(build_model(network, run.codes()), data.x_val, data.y_val))
    full, short = [table[i][1] for i in chosen], [table[i][0] for i in chosen]
    print(f"{count} networks, mean accuracy and rho with 40 epochs: 10 epochs from shared weights "
          f"{statistics.mean(found):.4f}, {spearman(found, full):.3f}; 10 from their own start "
          f"{statistics.mean(short):.4f}, {spearman(short, full):.3f}; 40: {statistics.mean(full):.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
