"""Training of a candidate, and the accuracy of a trained model.

The whole of an epoch is one call of a compiled function: a small network's step takes about a millisecond, much of
which Keras' ``fit`` spends outside of it (``benchmarks/bench_training.py`` measures both). Nothing random happens in
the framework: start values and the order of the samples come from numpy, so that a seed means the same on every
backend, and gives the same result again on the same machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError, ToolError
from flow.network.datasets.types import Dataset, class_weights
from flow.network.fixed import FixedFormat
from flow.network.model_file import load_model
from flow.network.network import Network, build_network
from flow.network.qat import QatNetwork
from flow.network.qkeras_model import build_model, import_qkeras
from flow.network.reference import NetworkCodes

if TYPE_CHECKING:
    from flow.space.candidate import Candidate

LEARNING_RATE = 0.04
"""Largest step of Adam (arXiv:1412.6980). Latent weights must cross from one code to the next: 0.001 is too slow."""
WARM_UP = 0.1
"""Share of the steps in which the rate grows from 0; it falls to 0 along a cosine afterwards (arXiv:1608.03983)."""
FROZEN = 0.3
"""Share of the steps, the last ones, that use the means gathered before instead of those of the batch."""
MEAN_MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7
START_SAMPLES = 256
"""Samples the start values are fitted to, at most; fewer where their outputs would exceed BATCH_ELEMENTS."""
BATCHES = (16, 256)
"""Smallest and largest batch chosen by itself, where the data allows it."""
BATCH_ELEMENTS = 1 << 23
"""Most elements of all layers' outputs a batch may have: 32 MiB in float32, of which gradients keep several copies."""

Progress = Callable[[int, float], None]
Split = Literal["train", "val", "test"]


class TrainingFailed(ToolError):
    """Training gave no usable network; ``str`` says why."""


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained candidate. ``val_accuracy`` is that of the last epoch's QKeras model on the validation samples.

    The last epoch, not the best one: the learning rate has ended there, and to choose among 40 epochs by 360
    validation samples would flatter every number. ``seconds`` is the time of this call, compilation included;
    ``loss`` the mean training loss of the last epoch.
    """

    val_accuracy: float
    epochs: int
    seconds: float
    loss: float
    codes: NetworkCodes


def default_batch(network: Network, samples: int) -> int:
    """Samples a step: a power of two that gives about 32 steps an epoch, small enough for the memory of two workers.

    The digits get 32, MNIST 256; accuracies after the same number of epochs are alike from 64 to 256 there.
    """
    least, most = BATCHES
    wanted = min(max(samples // 32, 32), most, BATCH_ELEMENTS // _elements(network))
    return min(samples, max(least, 1 << wanted.bit_length() - 1))


def _elements(network: Network) -> int:
    """Elements of all outputs of all layers for one sample."""
    return sum(math.prod(layer.out_shape) for layer in network)


def configure(threads: int | None = None) -> None:
    """Make the backend deterministic; with ``threads``, limit it to as many, if it has not computed yet.

    The number of threads may change the order of sums, and so the result of a seed. Raises MissingDependency.
    """
    import_qkeras()
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()


def train(
    candidate: Candidate,
    dataset: Dataset,
    *,
    epochs: int,
    seed: int,
    class_weights: bool = False,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a candidate from the start.

    ``class_weights``: weigh the loss so that every class counts the same; accuracies stay shares of samples.
    ``progress`` is called with the epoch (from 1) and its mean loss. The test samples are not looked at.
    Raises InputError if data set and candidate do not fit, TrainingFailed if the loss stops being a number.
    """
    started = time.perf_counter()
    configure()
    network = build_network(candidate)
    _check(network, candidate.classes, dataset, epochs)
    rng = np.random.default_rng(seed)
    run = _Run(network, dataset, epochs, batch_size or default_batch(network, len(dataset.x_train)), class_weights, rng)
    loss = math.nan
    for epoch in range(1, epochs + 1):
        loss = run.epoch(rng)
        if not math.isfinite(loss):
            raise TrainingFailed(f"the loss became {loss} in epoch {epoch} of {epochs}")
        if progress is not None:
            progress(epoch, loss)
    codes = run.codes()
    val = accuracy(build_model(network, codes), dataset.x_val, dataset.y_val)
    return TrainResult(val, epochs, time.perf_counter() - started, loss, codes)


def accuracy(model: Any, x: NDArray[Any], y: NDArray[Any]) -> float:
    """Share of the samples whose largest logit is that of their class (the first one if several are as large)."""
    from keras import ops

    largest = max(math.prod(layer.output.shape[1:]) for layer in model.layers)
    batch = max(1, min(1024, BATCH_ELEMENTS // largest))
    right = 0
    for start in range(0, len(x), batch):
        logits = ops.convert_to_numpy(model(x[start : start + batch], training=False))
        if not np.isfinite(logits).all():
            raise TrainingFailed("the model's outputs are no numbers")
        right += int((np.argmax(logits, axis=-1) == y[start : start + batch]).sum())
    return right / len(x)


def evaluate(path: Path, dataset: Dataset, split: Split) -> float:
    """The accuracy of a saved model on one part of a data set. Raises InputError if it can't be read or doesn't fit."""
    x, y = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
    model = load_model(path)
    if tuple(model.input_shape[1:]) != dataset.info.shape or model.output_shape[-1] != dataset.info.classes:
        raise InputError(
            f"{path} is a model of inputs {model.input_shape[1:]} and {model.output_shape[-1]} classes, "
            f"data set {dataset.info.name} has {dataset.info.shape} and {dataset.info.classes}"
        )
    return accuracy(model, x, y)


def _check(network: Network, classes: int, dataset: Dataset, epochs: int) -> None:
    info = dataset.info
    if network.input_shape != info.shape or network.input_format != info.input_format or classes != info.classes:
        raise InputError(
            f"the candidate takes {network.input_shape} of {network.input_format} and has {classes} classes, data set "
            f"{info.name} has {info.shape} of {info.input_format} and {info.classes}"
        )
    if epochs < 1:
        raise InputError(f"epochs must be at least 1, not {epochs}")


class _Run:
    """One training under way: data and state as tensors of the backend, and the compiled epoch."""

    def __init__(
        self, network: Network, dataset: Dataset, epochs: int, batch: int, weighted: bool, rng: np.random.Generator
    ) -> None:
        from keras import ops

        self.samples, self.batch = len(dataset.x_train), min(batch, len(dataset.x_train))
        self.steps = self.samples // self.batch
        self.total = self.steps * epochs
        self.done = 0
        self.qat = QatNetwork(network)
        weights = np.ones(dataset.info.classes, np.float32)
        if weighted:
            weights[:] = list(class_weights(dataset.y_train, dataset.info.classes).values())
        count = min(START_SAMPLES, max(BATCHES[0], BATCH_ELEMENTS // _elements(network)))
        first = rng.permutation(self.samples)[:count]
        parameters, means = self.qat.initial(rng, dataset.x_train[first])
        self.step_size, x = _compact(dataset.x_train, dataset.info.input_format)
        labels = dataset.y_train.astype(np.int32)
        self.data = tuple(ops.convert_to_tensor(v) for v in (x, labels, weights))
        zeros = np.zeros_like(parameters)
        self.state = tuple(ops.convert_to_tensor(v) for v in (parameters, zeros, zeros, means))
        self.compiled = compiled(self._epoch)

    def epoch(self, rng: np.random.Generator) -> float:
        """Train one epoch; every sample at most once, those beyond a whole number of batches left out. Its loss."""
        from keras import ops

        order = rng.permutation(self.samples)[: self.steps * self.batch].reshape(self.steps, self.batch)
        first = ops.convert_to_tensor(np.int32(self.done))
        loss, self.state = self.compiled(self.state, first, ops.convert_to_tensor(order.astype(np.int32)), *self.data)
        self.done += self.steps
        return float(loss) / self.steps

    def codes(self) -> NetworkCodes:
        from keras import ops

        return self.qat.codes(ops.convert_to_numpy(self.state[0]), ops.convert_to_numpy(self.state[3]))

    def _epoch(self, state: Any, first: Any, order: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        from keras import ops

        def step(index: Any, carried: Any) -> Any:
            loss, inner = carried
            chosen = order[index]
            inputs = ops.cast(ops.take(x, chosen, axis=0), "float32") * self.step_size
            more, inner = self._step(inner, first + index, inputs, ops.take(y, chosen), weights)
            return loss + more, inner

        loss, state = ops.fori_loop(0, self.steps, step, (ops.zeros(()), state))
        return loss, state

    def _step(self, state: Any, number: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        """One step of Adam; ``number`` counts from 0."""
        from keras import ops

        parameters, first, second, means = state
        done = ops.cast(number, "float32") / self.total
        frozen = done >= 1 - FROZEN

        def loss_of(values: Any) -> tuple[Any, Any]:
            logits, found = self.qat.training_logits(values, means, frozen, x)
            losses = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
            share = ops.take(weights, y)
            return ops.sum(losses * share) / ops.sum(share), found

        loss, found, gradient = value_and_gradient(loss_of, parameters)
        count = ops.cast(number, "float32") + 1
        first = BETA1 * first + (1 - BETA1) * gradient
        second = BETA2 * second + (1 - BETA2) * gradient * gradient
        rate = LEARNING_RATE * ops.minimum(1.0, count / (WARM_UP * self.total)) * 0.5 * (1 + ops.cos(math.pi * done))
        move = first / (1 - ops.power(BETA1, count)) / (ops.sqrt(second / (1 - ops.power(BETA2, count))) + EPSILON)
        means = ops.where(frozen, means, MEAN_MOMENTUM * means + (1 - MEAN_MOMENTUM) * found)
        return loss, (parameters - rate * move, first, second, means)


def _compact(x: NDArray[np.float32], form: FixedFormat) -> tuple[float, NDArray[Any]]:
    """(step, codes) with ``x = codes * step``, in the smallest type: images take a quarter of the memory of floats."""
    kinds = (np.int8, np.int16) if form.signed else (np.uint8, np.uint16)
    for kind in kinds:
        if np.iinfo(kind).min <= form.low and form.high <= np.iinfo(kind).max:
            return form.step, np.rint(x / np.float32(form.step)).astype(kind)
    return 1.0, x


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, compiled by the backend."""
    import keras

    if keras.backend.backend() == "jax":
        import jax  # type: ignore[import-not-found,unused-ignore]

        fast: Callable[..., Any] = jax.jit(function)
    else:
        import tensorflow as tf

        fast = tf.function(function, autograph=False, jit_compile=False)
    return fast


def value_and_gradient(function: Callable[[Any], tuple[Any, Any]], at: Any) -> tuple[Any, Any, Any]:
    """(value, other result, gradient of the value) of ``function`` at a tensor."""
    import keras

    if keras.backend.backend() == "jax":
        import jax  # type: ignore[import-not-found,unused-ignore]

        (value, other), gradient = jax.value_and_grad(function, has_aux=True)(at)
        return value, other, gradient
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(at)
        value, other = function(at)
    return value, other, tape.gradient(value, at)
