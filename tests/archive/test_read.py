"""A ``.keras`` file is read without a framework: its layers, formats and weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flow.archive.read import read_archive
from flow.estimate.table import table_of
from flow.network.fixed import FixedFormat
from tests.archive import builder as b


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return b.write_small(tmp_path / "m.keras")


def test_a_small_cnn_is_read(small: Path) -> None:
    found = read_archive(small, FixedFormat(8, 0, signed=False))
    layers = {layer.name: layer for layer in found.network}
    assert list(layers) == [
        "conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3", "pool3", "flat", "fc", "relu4", "out"
    ]  # fmt: skip
    assert found.floats == ()
    assert layers["conv1"].in_format == FixedFormat(8, 0, signed=False)
    assert layers["conv3"].fan_in == 72
    assert str(layers["conv3"].weight) == "fixed<6,1>"
    assert layers["relu1"].output == FixedFormat(4, 2, signed=False)
    assert layers["pool3"].out_shape == (2, 2, 16)
    assert layers["flat"].out_shape == (64,)
    assert found.network.parameters == sum(int(np.prod(s)) for shapes in b.SHAPES.values() for s in shapes)


def test_no_framework_is_imported(small: Path, repository: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from flow.archive.read import read_archive\n"
        f"read_archive(Path({str(small)!r}))\n"
        "print([m for m in ('tensorflow', 'keras', 'qkeras', 'jax', 'scipy', 'hls4ml') if m in sys.modules])"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_statistics_are_those_of_the_weights(tmp_path: Path) -> None:
    half = read_archive(b.write_small(tmp_path / "half.keras", zeros=0.5))
    none = read_archive(b.write_small(tmp_path / "none.keras"))
    for sparse, dense in zip(half.network, none.network, strict=True):
        if sparse.weight is not None:
            assert sparse.statistics is not None
            assert dense.statistics is not None
            assert 0.3 < sparse.statistics.density < 0.65 < dense.statistics.density
    assert half.network == none.network  # it is the same network all the same


def test_a_residual_network_is_read(tmp_path: Path) -> None:
    config = b.functional(
        [
            (b.conv("a", 4), ["x"]),
            (b.layer("QActivation", "a_relu", activation=b.relu()), ["a"]),
            (b.conv("c", 4), ["a_relu"]),
            (b.layer("QActivation", "c_relu", activation=b.relu()), ["c"]),
            (b.layer("Add", "sum"), ["a_relu", "c_relu"]),
            (b.layer("GlobalAveragePooling2D", "gap", data_format="channels_last", keepdims=False), ["sum"]),
            (b.dense("out", 3), ["gap"]),
        ],
        "out",
    )
    shapes = {"a": ((3, 3, 2, 4), (4,)), "c": ((3, 3, 4, 4), (4,)), "out": ((4, 3), (3,))}
    network = read_archive(b.write(tmp_path / "m.keras", config, b.arrays(shapes))).network
    joined = next(layer for layer in network if layer.name == "sum")
    assert [network.layers[i].name for i in joined.inputs] == ["a_relu", "c_relu"]
    assert joined.output == FixedFormat(5, 3, signed=False)
    gap = next(layer for layer in network if layer.name == "gap")
    assert gap.output == FixedFormat(11, 3, signed=False)  # a sum of 64 values, no bit lost


def test_a_model_without_quantizers_has_the_precision_of_hls4ml_throughout(tmp_path: Path) -> None:
    variables = b.arrays(b.PLAIN)
    variables["norm"][3] = np.abs(variables["norm"][3]) + np.float32(0.5)  # a variance
    path = b.write(tmp_path / "m.keras", b.sequential(b.plain()), variables)
    found = read_archive(path)
    assert found.floats == ("conv", "fc", "out")
    default = FixedFormat(16, 6)
    assert {str(layer.weight) for layer in found.network if layer.weight} == {"fixed<16,6>"}
    assert {layer.output for layer in found.network if layer.op != "softmax"} == {default}
    # The batch normalization is in the convolution's weights, the dropout is nothing.
    assert [layer.name for layer in found.network] == [
        "conv", "relu", "flat", "fc", "fc_relu", "out", "out_softmax"
    ]  # fmt: skip
    assert next(iter(found.network)).bias == default
    other = read_archive(path, float_format=FixedFormat(12, 4))
    assert {str(layer.weight) for layer in other.network if layer.weight} == {"fixed<12,4>"}


def test_a_batch_normalization_behind_quantized_weights_is_a_layer_of_its_own(tmp_path: Path) -> None:
    norm = b.layer("BatchNormalization", "norm", axis=-1, epsilon=1e-3, center=True, scale=True)
    config = b.sequential([b.conv("conv", 4), norm, b.layer("Flatten", "flat"), b.dense("out", 2)])
    variables = b.arrays({"conv": ((3, 3, 1, 4), (4,)), "norm": ((4,),) * 4, "out": ((1024, 2), (2,))})
    variables["norm"][3] = np.abs(variables["norm"][3]) + np.float32(0.5)
    found = read_archive(b.write(tmp_path / "m.keras", config, variables))
    assert [(layer.name, layer.op) for layer in found.network][:2] == [("conv", "conv2d"), ("norm", "batchnorm")]
    assert found.floats == ("norm",)


def test_a_bias_that_is_not_there_is_no_parameter(tmp_path: Path) -> None:
    config = b.sequential([b.dense("a", 3, use_bias=False), b.dense("c", 2)], (4,))
    path = b.write(tmp_path / "m.keras", config, b.arrays({"a": ((4, 3),), "c": ((3, 2), (2,))}))
    network = read_archive(path).network
    assert network.parameters == 4 * 3 + 3 * 2 + 2
    assert [layer.bias is None for layer in network] == [True, False]


def test_a_sequence_is_an_image_of_height_1(tmp_path: Path) -> None:
    conv = b.layer(
        "QConv1D", "a", filters=4, kernel_size=[3], strides=[2], padding="causal", data_format="channels_last",
        dilation_rate=[1], groups=1, activation="linear", use_bias=False, kernel_quantizer=b.bits(),
    )  # fmt: skip
    config = b.sequential([conv, b.layer("Flatten", "f"), b.dense("d", 2)], (9, 3))
    path = b.write(tmp_path / "m.keras", config, b.arrays({"a": ((3, 3, 4),), "d": ((20, 2), (2,))}))
    layer = read_archive(path).network.layers[0]
    assert (layer.op, layer.kernel, layer.stride, layer.in_shape, layer.out_shape) == (
        "conv2d", (1, 3), (1, 2), (9, 3), (5, 4)
    )  # fmt: skip
    table = table_of([read_archive(path).network])
    assert (table.in_h[0], table.in_w[0], table.out_h[0], table.out_w[0]) == (1, 9, 1, 5)
