"""Model files are opened safely: nothing in them runs, and every kind of QKeras layer comes back as it was."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.network.model_file import check_archive, load_model
from flow.network.quantized_keras import from_keras

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from tests.network.gallery import GALLERY, INPUT, bits, dense, keras, q, qkeras, sequential  # noqa: E402


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved QKeras model."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    sequential((6,), dense(4, "a", activation=q.quantized_relu(4)), dense(2, "b")).save(path)
    return path


def with_config(saved: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a saved model, its configuration changed."""
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(path, "w") as changed:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            changed.writestr(name, data)
    return path


MORE: dict[str, Callable[[], Any]] = {
    "convolution with folded batch normalization": lambda: sequential(
        (5, 5, 2), qkeras.QConv2DBatchnorm(3, 3, kernel_quantizer=bits(), bias_quantizer=bits(8, 2), name="a")
    ),
    "quantized batch normalization": lambda: sequential((6,), dense(4, "a"), qkeras.QBatchNormalization(name="b")),
    "separable 2D": lambda: sequential(
        (5, 5, 2),
        qkeras.QSeparableConv2D(
            3, 3, depthwise_quantizer=bits(), pointwise_quantizer=bits(), bias_quantizer=bits(8, 2), name="a"
        ),
    ),
}


@pytest.mark.parametrize("title", [*GALLERY, *MORE])
def test_a_model_comes_back_from_its_file_and_computes_the_same(title: str, tmp_path: Path) -> None:
    model = {**GALLERY, **MORE}[title]()
    path = tmp_path / "model.keras"
    model.save(path)
    again = load_model(path)
    x = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])).astype("float32")
    assert np.array_equal(np.asarray(again(x)), np.asarray(model(x)))
    assert {type(layer).__module__.split(".")[0] for layer in again.layers} <= {"keras", "qkeras"}


def test_a_model_gives_the_same_integers_every_time_it_is_loaded(saved: Path) -> None:
    assert from_keras(load_model(saved), INPUT) == from_keras(load_model(saved), INPUT)


def test_a_lambda_layer_is_refused_by_name_and_nothing_of_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "evil.keras"
    sequential((3,), keras.layers.Lambda(lambda x: x * 2, name="code")).save(path)
    with pytest.raises(InputError, match=r"evil\.keras: layer code: a Lambda layer is program code and is not loaded"):
        load_model(path)


def test_a_class_of_somebody_elses_is_refused_by_name(tmp_path: Path) -> None:
    class Mine(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    path = tmp_path / "mine.keras"
    sequential((3,), Mine(name="own")).save(path)
    with pytest.raises(InputError, match="layer own: class Mine is neither Keras' nor QKeras', and is not loaded"):
        load_model(path)


@pytest.mark.parametrize("registered", [None, "qkeras>QDense"])
def test_a_module_named_in_the_file_is_not_imported(saved: Path, tmp_path: Path, registered: str | None) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1] |= {"module": "os", "class_name": "system", "registered_name": registered}

    path = with_config(saved, tmp_path / "module.keras", change)
    with pytest.raises(InputError, match="layer a: class system is neither Keras' nor QKeras'"):
        load_model(path)


def test_what_keras_says_is_cut_to_the_innermost_reason(saved: Path, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"]["no_such_argument"] = 1

    path = with_config(saved, tmp_path / "odd.keras", change)
    with pytest.raises(InputError) as caught:
        load_model(path)
    reason = "Unrecognized keyword arguments passed to QDense: {'no_such_argument': 1}"
    assert str(caught.value) == f"cannot read model {path}: {reason}"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.h5", b"", r"only \.keras files are read"),
        ("missing.keras", None, "cannot read model .*: No such file"),
        ("text.keras", b"hello", "not a Keras model: File is not a zip file"),
    ],
)
def test_something_that_is_no_model_is_refused(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@given(position=st.integers(0, 100_000), value=st.integers(0, 255))
def test_damaged_archives_give_one_clear_error(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    data = bytearray(saved.read_bytes())
    data[position % len(data)] = value
    path = tmp_path_factory.mktemp("damaged") / "model.keras"
    path.write_bytes(data)
    message = str(path)
    try:
        check_archive(path)
    except InputError as error:
        message = str(error)
    assert message.count("\n") == 0
    assert str(path) in message
