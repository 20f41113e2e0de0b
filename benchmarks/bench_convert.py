"""Converting, writing and simulating a five-layer network, beside hls4ml's own way in the same run.

    python benchmarks/bench_convert.py

Ours: the QKeras model in memory becomes integers, then a graph whose every precision, reuse factor and FIFO is set and
checked, then a project on disk; its C simulation is compiled and run, and run again. hls4ml's own: the same layers of
plain Keras (hls4ml 1.3 has no Keras 3 handlers for QKeras), ``config_from_keras_model``, ``convert_from_keras_model``,
``write``, ``compile``, ``predict``.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

from flow.hls.convert import even_implementation
from flow.hls.csim import compile_simulation
from flow.hls.project import HlsProject, HlsTarget, write_project
from flow.network.fixed import FixedFormat
from flow.network.qkeras_model import import_qkeras
from flow.network.quantized import IntArray
from flow.network.quantized_keras import from_keras
from flow.network.quantized_reference import decode, forward

PART = "xc7z020clg400-1"
INPUT = FixedFormat(8, 0, signed=False)
SHAPE = (16, 16, 3)
FILTERS = (8, 16, 16, 32)
IMAGES = 50
RUNS = 3
REUSE = 24


def qkeras_model() -> Any:
    """Four convolutions and a dense layer of 4-bit weights and activations."""
    qkeras = import_qkeras()
    import keras

    q = qkeras.quantizers
    x = start = keras.Input(SHAPE, name="image")
    for number, filters in enumerate(FILTERS):
        x = qkeras.QConv2D(
            filters, 3, padding="same", kernel_quantizer=q.quantized_bits(4, 0, alpha=1),
            bias_quantizer=q.quantized_bits(8, 2, alpha=1), activation=q.quantized_relu(4, 1), name=f"conv{number}",
        )(x)  # fmt: skip
        if number % 2:
            x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = qkeras.QDense(
        10, kernel_quantizer=q.quantized_bits(4, 0, alpha=1), bias_quantizer=q.quantized_bits(8, 2, alpha=1), name="out"
    )(x)
    return keras.Model(start, x)


def keras_model() -> Any:
    """The same without quantizers."""
    import keras

    x = start = keras.Input(SHAPE, name="image")
    for number, filters in enumerate(FILTERS):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        if number % 2:
            x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = keras.layers.Dense(10, name="out")(keras.layers.Flatten(name="flat")(x))
    return keras.Model(start, x)


def ours(model: Any, folder: Path) -> HlsProject:
    """Convert and write."""
    network = from_keras(model, INPUT)
    implementation = even_implementation(network, "io_stream", 100.0, reuse=REUSE)
    return write_project(model, network, implementation, HlsTarget("Vitis", PART), folder)


def theirs(model: Any, folder: Path) -> Any:
    """Convert and write as hls4ml's documentation does."""
    import hls4ml

    config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
    for name, layer in config["LayerName"].items():
        if name.startswith(("conv", "out")):
            layer |= {"Strategy": "Resource", "ReuseFactor": REUSE}
    graph = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, output_dir=str(folder), backend="Vitis", io_type="io_stream", part=PART
    )
    graph.write()
    return graph


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result); what libraries print is dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        result = function()
        return time.perf_counter() - started, result


def main() -> None:
    """Measure and print."""
    imported, _ = timed(import_qkeras)
    import hls4ml  # noqa: F401  (its import is not what is measured)

    quantized, plain = qkeras_model(), keras_model()
    rng = np.random.default_rng(0)
    codes: IntArray = rng.integers(INPUT.low, INPUT.high, size=(IMAGES, *SHAPE), endpoint=True)
    images = np.ascontiguousarray(decode(codes, INPUT), dtype=np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        written = [timed(lambda n=n: ours(quantized, root / f"ours{n}")) for n in range(RUNS)]
        converted = [timed(lambda n=n: theirs(plain, root / f"theirs{n}")) for n in range(RUNS)]
        project, graph = written[-1][1], converted[-1][1]

        def simulate() -> IntArray:
            return compile_simulation(project.folder, project.name, project.network).run(codes)

        first, found = timed(simulate)
        second, again = timed(simulate)
        expected = forward(project.network, codes)
        assert np.array_equal(found, expected)
        assert np.array_equal(again, expected)
        compiled, _ = timed(graph.compile)
        predicted, _ = timed(lambda: graph.predict(images))
    mine, other = (statistics.median(seconds for seconds, _ in runs) for runs in (written, converted))
    print(
        f"five layers, {'x'.join(map(str, SHAPE))}, io_stream; importing TensorFlow and QKeras took {imported:.1f} s\n"
    )
    print("| | ours, s | hls4ml's own, s | ratio |")
    print("|---|---|---|---|")
    rows = [
        (f"convert and write, median of {RUNS}", mine, other),
        ("convert and write, the first time", written[0][0], converted[0][0]),
        (f"C simulation of {IMAGES} images from scratch", first, compiled + predicted),
        ("the same again (hls4ml: in another process, which compiles again)", second, compiled + predicted),
    ]
    for name, a, b in rows:
        print(f"| {name} | {a:.2f} | {b:.2f} | {a / b:.2f} |")
    print(f"\nevery one of the {expected.size} outputs is that of the integer reference")


if __name__ == "__main__":
    main()
