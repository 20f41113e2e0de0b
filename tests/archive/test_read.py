"""A ``.keras`` file is read without a framework, and one that can't be is refused in one line that says why."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.archive.container import MAX_CONFIG
from flow.archive.read import read_archive
from flow.errors import InputError
from flow.estimate.table import table_of
from flow.network.fixed import FixedFormat
from tests.archive import builder as b


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return b.write_small(tmp_path / "m.keras")


def refusal(path: Path) -> str:
    """Why a file is not read; it is one line that starts with the file."""
    with pytest.raises(InputError) as caught:
        read_archive(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text.removeprefix(f"{path}: ")


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


def plain(activation: str = "relu") -> list[dict[str, Any]]:
    """A Keras model without quantizers."""
    same = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "data_format": "channels_last"}
    return [
        b.layer("Conv2D", "conv", filters=4, use_bias=False, activation="linear", **same),
        b.layer("BatchNormalization", "norm", axis=-1, epsilon=1e-3, center=True, scale=True),
        b.layer("ReLU", "relu", max_value=None, negative_slope=0.0, threshold=0.0),
        b.layer("Dropout", "drop", rate=0.5),
        b.layer("Flatten", "flat", data_format="channels_last"),
        b.layer("Dense", "fc", units=5, use_bias=True, activation=activation),
        b.layer("Dense", "out", units=3, use_bias=True, activation="softmax"),
    ]


PLAIN = {"conv": ((3, 3, 1, 4),), "norm": ((4,),) * 4, "fc": ((1024, 5), (5,)), "out": ((5, 3), (3,))}


def test_a_model_without_quantizers_has_the_precision_of_hls4ml_throughout(tmp_path: Path) -> None:
    variables = b.arrays(PLAIN)
    variables["norm"][3] = np.abs(variables["norm"][3]) + np.float32(0.5)  # a variance
    path = b.write(tmp_path / "m.keras", b.sequential(plain()), variables)
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


# What is refused


def one(tmp_path: Path, entry: dict[str, Any], *shapes: tuple[int, ...], shape: tuple[int, ...] = (16, 16, 1)) -> str:
    """Why a model of that one layer is refused."""
    variables = b.arrays({entry["config"]["name"]: shapes})
    return refusal(b.write(tmp_path / "m.keras", b.sequential([entry], shape), variables))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b.layer("Lambda", "l", function={}), "layer l: a Lambda layer is program code"),
        (b.layer("LSTM", "l", units=3), "layer l: layers of class LSTM are not supported"),
        (b.layer("QLSTM", "l", units=3), "layer l: layers of class QLSTM are not supported"),
        ({**b.layer("Mine", "l"), "module": "mine.layers"}, "layer l: class Mine is neither Keras' nor QKeras'"),
        ({**b.layer("Mine", "l"), "module": None}, "layer l: class Mine is neither Keras' nor QKeras'"),
        ({**b.layer("Add", "l"), "module": "keras.src.ops.numpy"}, "layer l: Add is an operation, not a layer"),
        (b.sequential([]) | {"config": {"name": "l"}}, "layer l: a model inside a model is not supported"),
        (b.conv("c", 4, dilation_rate=[2, 2]), "layer c: dilation (2, 2) is not supported"),
        (b.conv("c", 4, data_format="channels_first"), "layer c: only data_format='channels_last' is supported"),
        (b.conv("c", 4, padding="causal"), "layer c: padding causal is not supported"),
        (b.conv("c", 4, kernel_size=[20, 3], padding="valid"), "layer c: its window (20, 3) is larger than"),
        (b.conv("c", 4, strides=0), "layer c: strides must be a whole number from 1 to 1048576, not 0"),
        (b.conv("c", 4, kernel_quantizer=b.quantizer("bernoulli")), "layer c: quantizer bernoulli has no fixed-point"),
        (
            b.conv("c", 4, kernel_quantizer="quantized_bits(4)"),
            "layer c: its quantizer quantized_bits(4) is not underst",
        ),
        (
            b.conv("c", 4, kernel_quantizer=b.bits(99)),
            "layer c: quantized_bits: bits must be a whole number from 1 to 64",
        ),
        (b.conv("c", 4, activation="tanh"), "layer c: activation tanh has no exact fixed-point equivalent"),
        (b.layer("Flatten", "f"), "it has no dense layer and no convolution"),
        (b.layer("Reshape", "r", target_shape=[5, -1]), "layer r: (16, 16, 1) cannot be reshaped to (5, -1)"),
        (b.layer("ReLU", "r", max_value=6.0), "layer r: ReLU with max_value, negative_slope or threshold"),
        (b.layer("ZeroPadding2D", "p", padding=[[1, 1]]), "layer p: padding ((1, 1),) is not understood"),
        (b.layer("Softmax", "s", axis=1), "layer s: softmax is supported over the last axis only"),
    ],
)
def test_a_layer_that_has_no_equivalent_is_named_with_the_reason(
    tmp_path: Path, entry: dict[str, Any], reason: str
) -> None:
    assert one(tmp_path, entry, (3, 3, 1, 4), (4,)).startswith(reason)


def test_every_layer_that_is_not_supported_is_named(tmp_path: Path) -> None:
    entries = [b.layer("GRU", "a"), b.layer("Lambda", "b"), b.conv("c", 4)]
    config = b.functional([(entries[0], ["x"]), (entries[1], ["x"]), (b.layer("Add", "d"), ["a", "b"])], "d")
    text = refusal(b.write(tmp_path / "m.keras", config, {}))
    assert text == "layer a: layers of class GRU are not supported; layer b: a Lambda layer is program code"


def test_multiplying_two_tensors_has_no_prediction(tmp_path: Path) -> None:
    config = b.functional([(b.conv("a", 2), ["x"]), (b.layer("Multiply", "m"), ["a", "x"])], "m")
    variables = b.arrays({"a": ((3, 3, 2, 2), (2,))})
    assert refusal(b.write(tmp_path / "m.keras", config, variables)) == "layer m: there is no prediction for multiply"


def test_shared_layers_loops_and_several_inputs_are_refused(tmp_path: Path) -> None:
    config = b.functional([(b.dense("a", 2), ["x"]), (b.dense("c", 2), ["a"])], "c", shape=(2,))
    variables = b.arrays({"a": ((2, 2), (2,)), "c": ((2, 2), (2,))})

    def changed(change: Any) -> str:
        copy = json.loads(json.dumps(config))
        change(copy["config"]["layers"], copy["config"])
        return refusal(b.write(tmp_path / "m.keras", copy, variables))

    def share(layers: Any, body: Any) -> None:
        layers[1]["inbound_nodes"] *= 2

    def loop(layers: Any, body: Any) -> None:
        layers[1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "c"

    def nowhere(layers: Any, body: Any) -> None:
        layers[1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "z"

    def two(layers: Any, body: Any) -> None:
        body["input_layers"] = [["x", 0, 0], ["y", 0, 0]]

    def told(layers: Any, body: Any) -> None:
        layers[2]["inbound_nodes"][0]["args"][0]["config"]["shape"] = [None, 7]

    assert changed(share) == "layer a: it is used more than once: shared layers are not supported"
    assert changed(loop) == "its configuration is damaged: layer c depends on itself"
    assert changed(nowhere) == "its configuration is damaged: no layer z"
    assert changed(two) == "models with one input and one output are supported, not 2 inputs"
    assert "it says that it reads (7,), which is (2,)" in changed(told)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    assert refusal(path) == f"cannot read model {path}: No such file or directory"
    path.write_bytes(b"")
    assert refusal(path) == "not a Keras model: not a zip archive"
    path.write_text("a text")
    assert refusal(path) == "not a Keras model: not a zip archive"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    assert refusal(path) == "not a Keras model: no metadata.json in it"
    assert "only .keras files are read" in refusal(tmp_path / "m.h5")
    path.unlink()
    path.mkdir()
    assert refusal(path) == f"cannot read model {path}: Is a directory"


def test_a_file_of_keras_2_says_what_to_do(tmp_path: Path) -> None:
    path = b.write(tmp_path / "m.keras", b.sequential(b.small()), b.arrays(b.SHAPES), version="2.15.0")
    assert refusal(path) == "written by Keras 2.15.0: load it with Keras 3 and save it again"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{", "its config.json is not valid JSON: Expecting property name"),
        (b"[" * 100_000, "its config.json is not valid JSON: nested too deeply"),
        (b"[]", "its config.json is not valid: expected a mapping, found list"),
        (b'{"a": NaN}', "its config.json is not valid JSON: NaN in it"),
        (b"{}", "models of class None are not supported"),
        (b'{"class_name": "MyModel", "config": {}}', "models of class MyModel are not supported"),
        (b'{"class_name": "Sequential", "config": {}}', "its configuration is damaged: no list of layers"),
        (b'{"class_name": "Sequential", "config": {"layers": []}}', "input shape None is not fixed"),
    ],
)
def test_a_damaged_configuration_is_refused(tmp_path: Path, config: bytes, reason: str) -> None:
    path = b.write(tmp_path / "m.keras", b.sequential(b.small()), {}, config=config)
    assert refusal(path).startswith(reason)


def test_a_truncated_file_is_refused_wherever_it_ends(small: Path) -> None:
    whole = small.read_bytes()
    for end in [*range(0, len(whole), max(len(whole) // 40, 1)), len(whole) - 1]:
        small.write_bytes(whole[:end])
        assert refusal(small).startswith("not a Keras model: ")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0"}')
        archive.writestr("config.json", b" " * (MAX_CONFIG + 1))
        archive.writestr("model.weights.h5", b"")
    assert path.stat().st_size < 100_000
    assert refusal(path) == "its config.json is larger than 16,777,216 bytes"


def test_a_size_that_is_a_lie_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0"}')
        archive.writestr("config.json", b" " * (MAX_CONFIG + 1))
        archive.writestr("model.weights.h5", b"")
    data = path.read_bytes()
    size = (MAX_CONFIG + 1).to_bytes(4, "little")
    path.write_bytes(data.replace(size, (5).to_bytes(4, "little")))
    assert refusal(path).startswith(("its config.json", "not a Keras model"))


def h5(fill: Any) -> bytes:
    """A file of weights that ``fill`` fills."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def linked(file: Any) -> None:
    import h5py

    file["layers/q_dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout(shape=(4, 2), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4, 2))
    file.create_group("layers/q_dense/vars").create_virtual_dataset("0", layout)


def external(file: Any) -> None:
    group = file.create_group("layers/q_dense/vars")
    group.create_dataset("0", (4, 2), "f4", external=[("/etc/passwd", 0, 32)])


def objects(file: Any) -> None:
    import h5py

    file.create_group("layers/q_dense/vars").create_dataset("0", (4, 2), dtype=h5py.string_dtype())


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (b"nothing", "its model.weights.h5 cannot be read"),
        (h5(lambda f: None), "the weights of layer d are missing"),
        (h5(linked), "the weights of layer d are a link, which is not followed"),
        (h5(virtual), "the weights of layer d are in another file, which is not read"),
        (h5(external), "the weights of layer d are in another file, which is not read"),
        (h5(objects), "layer d has weights of type object, which is not supported"),
        (h5(lambda f: f.create_group("layers/q_dense/vars/0")), "the weights of layer d are not arrays"),
        (
            h5(lambda f: f.create_dataset("layers/q_dense/vars/0", (4, 3))),
            "layer d has weights of shape (4, 3), its co",
        ),
    ],
)
def test_weights_that_are_not_there_are_refused(tmp_path: Path, weights: bytes, reason: str) -> None:
    config = b.sequential([b.dense("d", 2)], (4,))
    assert refusal(b.write(tmp_path / "m.keras", config, {}, weights=weights)).startswith(reason)


def test_weights_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    """A data set without data may have any size; its fill value would be unpacked."""
    huge = h5(lambda f: f.create_dataset("layers/q_dense/vars/0", (1 << 20, 1 << 20), "f4", chunks=(64, 64)))
    config = b.sequential([b.dense("d", 1 << 20)], (1 << 20,))
    assert refusal(b.write(tmp_path / "m.keras", config, {}, weights=huge)).startswith("its weights are larger than")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    config = b.sequential([b.dense("d", 2)], (4,))
    for bad in (np.nan, np.inf, 1e300):
        variables = {"d": [np.full((4, 2), bad), np.zeros(2)]}
        text = refusal(b.write(tmp_path / "m.keras", config, variables))
        assert text == "layer d: its weights contain infinite or NaN values"


def test_floats_that_do_not_fit_the_precision_say_what_to_do(tmp_path: Path) -> None:
    config = b.sequential([b.layer("Dense", "d", units=2, use_bias=False, activation="linear")], (4,))
    path = b.write(tmp_path / "m.keras", config, {"d": [np.full((4, 2), 40.123, np.float32)]})
    assert refusal(path).endswith("do not fit fixed<16,6>: name another precision for floats")


NONSENSE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**40,
    1.5,
    "",
    "x",
    [],
    [1],
    [[1]],
    {},
    {"class_name": "x", "config": {}},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything is in nested data."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


def changed_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Nested data with something else at one place."""
    copy = deepcopy(value)
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return copy


MODELS = (
    (b.sequential(b.small()), b.arrays(b.SHAPES)),
    (b.sequential(plain()), b.arrays(PLAIN)),
    (
        b.functional(
            [
                (b.conv("a", 2, kernel_quantizer=b.quantizer("binary", use_01=False, alpha="auto_po2")), ["x"]),
                (b.layer("QActivation", "r", activation=b.relu()), ["a"]),
                (b.layer("Concatenate", "c", axis=-1), ["r", "x"]),
                (b.layer("GlobalAveragePooling2D", "g", data_format="channels_last", keepdims=False), ["c"]),
                (b.dense("d", 3, kernel_quantizer=b.quantizer("ternary", alpha=1.0, threshold=0.5)), ["g"]),
            ],
            "d",
        ),
        b.arrays({"a": ((3, 3, 2, 2), (2,)), "d": ((4, 3), (3,))}),
    ),
)


@settings(max_examples=300, deadline=None)
@given(number=st.integers(0, len(MODELS) - 1), data=st.data())
def test_whatever_is_changed_in_a_configuration_it_is_read_or_refused(number: int, data: st.DataObject) -> None:
    config, variables = MODELS[number]
    where = data.draw(st.sampled_from([p for p in places(config) if p[0] != "module"]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.keras"
        changed = changed_at(config, where, data.draw(st.sampled_from(NONSENSE)))
        b.write(path, changed, {}, weights=b.hdf5(config, variables))
        with contextlib.suppress(InputError):
            network = read_archive(path).network
            assert table_of([network]).macs.sum() == network.macs


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_in_the_weights_they_are_read_or_refused(data: st.DataObject) -> None:
    weights = bytearray(b.hdf5(MODELS[2][0], MODELS[2][1]))
    for _ in range(data.draw(st.integers(1, 8))):
        weights[data.draw(st.integers(0, len(weights) - 1))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = b.write(Path(folder) / "m.keras", MODELS[2][0], {}, weights=bytes(weights))
        with contextlib.suppress(InputError):
            read_archive(path)
