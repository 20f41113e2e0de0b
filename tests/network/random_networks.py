"""Random QKeras models, for the property that QKeras, the integers and the hardware agree on every bit.

Every model is a function of its seed. Sizes are small: what is looked for is a rounding, a width or an index that is
wrong, and small tensors show those as well as large ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.network.fixed import FixedFormat
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_keras import Unconvertible, from_keras

KINDS = ("dense", "conv", "depthwise", "residual", "pooling", "conv1d", "separable", "concat", "folded")


@dataclass(frozen=True)
class Sample:
    """A model, the format of its input, and what it is made of in words."""

    model: Any
    input_format: FixedFormat
    title: str

    def inputs(self, count: int, seed: int) -> NDArray[np.int64]:
        """Random input codes, the extremes among them."""
        rng = np.random.default_rng(seed)
        shape = (count, *self.model.input_shape[1:])
        codes = rng.integers(self.input_format.low, self.input_format.high, size=shape, endpoint=True)
        codes[0], codes[-1] = self.input_format.low, self.input_format.high
        return codes

    def keras_output(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """What QKeras computes for input codes, in values."""
        values = (codes * self.input_format.step).astype(np.float32)
        return np.asarray(self.model(values, training=False), dtype=np.float64)


def random_model(seed: int, kind: str | None = None) -> Sample:
    """The model of a seed; kinds take turns if none is named."""
    return _Random(seed, kind or KINDS[seed % len(KINDS)]).build()


def random_network(seed: int, kind: str | None = None) -> tuple[Sample, QuantizedNetwork]:
    """A random model and its integers; what is senseless by chance, as rounding everything to 0, is not counted."""
    for attempt in range(10):
        sample = random_model(seed + 100_000 * attempt, kind or KINDS[seed % len(KINDS)])
        try:
            return sample, from_keras(sample.model, sample.input_format)
        except Unconvertible as error:
            if "to 0" not in str(error):
                raise
    raise AssertionError(f"seed {seed} gives nothing that makes sense")


class _Random:
    def __init__(self, seed: int, kind: str) -> None:
        self.rng = np.random.default_rng(seed)
        self.kind, self.seed, self.count = kind, seed, 0
        self.words: list[str] = []

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def weight_quantizer(self) -> Any:
        from qkeras import quantizers as q

        bits = int(self.rng.integers(1, 9))
        choice = self.pick("fixed", "fixed", "auto", "binary", "ternary")
        if choice == "fixed":
            made = q.quantized_bits(bits, int(self.rng.integers(0, 2)), alpha=self.pick(1, 1, 0.5, 2.0))
        elif choice == "auto":
            made = q.quantized_bits(max(bits, 2), 0, alpha="auto_po2")
        elif choice == "binary":
            made = q.binary(alpha=self.pick(1, 0.25, "auto_po2"))
        else:
            made = q.ternary(alpha=self.pick(1, 0.5, "auto_po2"))
        self.words.append(str(made))
        return made

    def bias_quantizer(self) -> Any:
        from qkeras import quantizers as q

        return q.quantized_bits(int(self.rng.integers(4, 9)), int(self.rng.integers(0, 4)), alpha=1)

    def activation(self) -> Any:
        from qkeras import quantizers as q

        bits = int(self.rng.integers(1, 9))
        choice = self.pick("relu", "relu", "relu", "bits", "tanh", "sigmoid", "binary", "ternary", "bound", "leaky")
        if choice == "relu":
            made = q.quantized_relu(bits, int(self.rng.integers(0, 4)))
        elif choice == "bits":
            made = q.quantized_bits(max(bits, 2), int(self.rng.integers(0, 3)), symmetric=self.pick(0, 1), alpha=1)
        elif choice == "tanh":
            made = q.quantized_tanh(max(bits, 2), symmetric=self.pick(False, True))
        elif choice == "sigmoid":
            made = q.quantized_sigmoid(bits)
        elif choice == "binary":
            made = q.binary(alpha=1)
        elif choice == "ternary":
            made = q.ternary(alpha=1, threshold=self.pick(0.33, 0.5, 0.7))
        elif choice == "bound":
            made = q.quantized_relu(max(bits, 4), 3, relu_upper_bound=self.pick(3.0, 6.0), is_quantized_clip=False)
        else:
            made = q.quantized_relu(max(bits, 4), 1, negative_slope=self.pick(0.25, 0.125))
        self.words.append(f"{made} {choice}")
        return made

    def act(self, x: Any) -> Any:
        from qkeras import QActivation

        return QActivation(self.activation(), name=self.name("act"))(x)

    def conv(self, x: Any, filters: int | None = None, *, stride: int | None = None, same: bool = False) -> Any:
        import qkeras

        rank = len(x.shape) - 2
        layer = qkeras.QConv2D if rank == 2 else qkeras.QConv1D
        kernel: Any = int(self.rng.integers(1, 4))
        if rank == 2 and kernel <= min(x.shape[1:3]):
            kernel = (kernel, self.pick(1, 2, kernel) if not same else kernel)
        return layer(
            filters or int(self.rng.integers(1, 5)), kernel, strides=stride or self.pick(1, 1, 2),
            padding="same" if same else self.pick("same", "valid"), use_bias=self.pick(True, True, False),
            kernel_quantizer=self.weight_quantizer(), bias_quantizer=self.bias_quantizer(), name=self.name("conv"),
        )(x)  # fmt: skip

    def dense(self, x: Any, units: int | None = None, activation: Any = None) -> Any:
        from qkeras import QDense

        return QDense(
            units or int(self.rng.integers(1, 9)), kernel_quantizer=self.weight_quantizer(), activation=activation,
            bias_quantizer=self.bias_quantizer(), use_bias=self.pick(True, True, False), name=self.name("dense"),
        )(x)  # fmt: skip

    def build(self) -> Sample:
        import keras

        input_format = self.pick(
            FixedFormat(8, 0, signed=False), FixedFormat(8, 1), FixedFormat(int(self.rng.integers(2, 9)), 2)
        )
        if self.kind == "dense":
            shape: tuple[int, ...] = (int(self.rng.integers(2, 13)),)
        elif self.kind == "conv1d":
            shape = (int(self.rng.integers(4, 9)), int(self.rng.integers(1, 4)))
        else:
            shape = (int(self.rng.integers(4, 8)), int(self.rng.integers(4, 8)), int(self.rng.integers(1, 4)))
        start = keras.Input(shape, name="net_input")
        end = getattr(self, f"make_{self.kind}")(start)
        model = keras.Model(start, end, name=f"net{self.seed}")
        self.fill(model)
        return Sample(model, input_format, f"{self.seed} {self.kind} {input_format} {shape}: {', '.join(self.words)}")

    def fill(self, model: Any) -> None:
        """Weights with values inside and outside what their quantizers can hold."""
        for variable in model.weights:
            name = variable.path
            values = self.rng.normal(0, 0.6, size=variable.shape)
            if "variance" in name:
                values = self.rng.uniform(0.5, 2, size=variable.shape)
            elif "gamma" in name:
                values = self.rng.uniform(0.5, 1.5, size=variable.shape)
            elif "iteration" in name or "seed" in name:
                continue
            variable.assign(values.astype("float32"))

    # The kinds

    def head(self, x: Any) -> Any:
        import keras

        if len(x.shape) > 2:
            x = keras.layers.Flatten(name=self.name("flat"))(x)
        return self.dense(x, self.pick(1, 3, 5))

    def make_dense(self, x: Any) -> Any:
        for _ in range(int(self.rng.integers(0, 3))):
            x = self.act(self.dense(x)) if self.pick(True, False) else self.dense(x, activation=self.activation())
        x = self.dense(x)
        return self.act(x) if self.pick(True, False) else x

    def make_conv(self, x: Any) -> Any:
        x = self.act(self.conv(x))
        if self.pick(True, False):
            x = self.act(self.conv(x, same=True))
        return self.head(x)

    def make_depthwise(self, x: Any) -> Any:
        from qkeras import QDepthwiseConv2D

        x = QDepthwiseConv2D(
            int(self.rng.integers(1, 4)), strides=self.pick(1, 2), padding=self.pick("same", "valid"),
            depthwise_quantizer=self.weight_quantizer(), bias_quantizer=self.bias_quantizer(), name=self.name("dw"),
        )(x)  # fmt: skip
        x = self.act(x)
        return self.act(self.conv(x, same=True, stride=1)) if self.pick(True, False) else self.head(x)

    def make_residual(self, x: Any) -> Any:
        import keras

        x = self.act(self.conv(x, 3, same=True, stride=1))
        y = self.act(self.conv(x, 3, same=True, stride=1))
        if self.pick(True, False):
            y = self.act(self.conv(y, 3, same=True, stride=1))
        merge = self.pick("Add", "Add", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
        self.words.append(merge)
        return self.head(self.act(getattr(keras.layers, merge)(name=self.name("merge"))([x, y])))

    def make_pooling(self, x: Any) -> Any:
        import keras

        x = self.act(self.conv(x, same=True, stride=1))
        pool = self.pick("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D")
        self.words.append(pool)
        if pool.startswith("Global"):
            x = getattr(keras.layers, pool)(name=self.name("pool"))(x)
        else:
            x = getattr(keras.layers, pool)(self.pick(2, 3, (1, 2)), name=self.name("pool"))(x)
        return self.head(self.act(x))

    def make_conv1d(self, x: Any) -> Any:
        import keras

        x = self.act(self.conv(x))
        if self.pick(True, False) and x.shape[1] >= 2:
            x = self.pick(keras.layers.MaxPooling1D, keras.layers.AveragePooling1D)(2, name=self.name("pool"))(x)
            x = self.act(x)
        return self.head(x)

    def make_separable(self, x: Any) -> Any:
        from qkeras import QSeparableConv2D

        x = QSeparableConv2D(
            int(self.rng.integers(1, 5)), int(self.rng.integers(1, 4)), padding=self.pick("same", "valid"),
            depthwise_quantizer=self.weight_quantizer(), pointwise_quantizer=self.weight_quantizer(),
            bias_quantizer=self.bias_quantizer(), name=self.name("sep"),
        )(x)  # fmt: skip
        return self.head(self.act(x))

    def make_concat(self, x: Any) -> Any:
        import keras

        a = self.act(self.conv(x, same=True, stride=1))
        b = self.act(self.conv(a, same=True, stride=1))
        parts = [a, b] if self.pick(True, False) else [x, a, b]
        x = keras.layers.Concatenate(name=self.name("cat"))(parts)
        if self.pick(True, False):
            x = keras.layers.ZeroPadding2D(((1, 0), (0, 2)), name=self.name("pad"))(x)
        return self.head(self.act(self.conv(x, stride=1)))

    def make_folded(self, x: Any) -> Any:
        import qkeras

        x = qkeras.QConv2DBatchnorm(
            int(self.rng.integers(1, 5)), int(self.rng.integers(1, 4)), padding=self.pick("same", "valid"),
            kernel_quantizer=self.weight_quantizer(), bias_quantizer=self.bias_quantizer(), name=self.name("convbn"),
        )(x)  # fmt: skip
        x = qkeras.QBatchNormalization(
            inverse_quantizer=qkeras.quantizers.quantized_bits(6, 2, alpha=1), gamma_quantizer=None,
            variance_quantizer=None, beta_quantizer=qkeras.quantizers.quantized_bits(6, 2, alpha=1),
            mean_quantizer=qkeras.quantizers.quantized_bits(6, 2, alpha=1), name=self.name("bn"),
        )(self.act(x))  # fmt: skip
        return self.head(self.act(x))
