"""HLS projects: complete, told everything, the same every time, and never two designs in one folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.errors import InputError, ToolError
from flow.hls.convert import DEFAULT_TYPE, check_implementation, even_implementation
from flow.hls.csim import compile_simulation
from flow.hls.project import HlsProject, HlsTarget, open_project, project_digest, write_project
from flow.hls.written_project import read_project
from flow.implement.implementation import Implementation, LayerImplementation
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_keras import Unconvertible, from_keras
from flow.network.quantized_reference import decode, encode, forward

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("hls4ml")
from tests.network.gallery import INPUT, bits, dense, keras, q, qkeras, sequential  # noqa: E402

PART = "xc7z020clg400-1"
VITIS, VIVADO = HlsTarget("Vitis", PART), HlsTarget("Vivado", PART, uncertainty=10.0)


@pytest.fixture(scope="module")
def vector() -> tuple[Any, QuantizedNetwork]:
    """A multilayer perceptron and its integers."""
    model = sequential((8,), dense(6, "first", activation=q.quantized_relu(4, 1)), dense(4, "second"))
    return model, from_keras(model, INPUT)


@pytest.fixture(scope="module")
def residual() -> tuple[Any, QuantizedNetwork]:
    """An image network with a skip connection."""
    start = keras.Input((8, 8, 2), name="net_input")
    conv = {"padding": "same", "kernel_quantizer": bits(), "bias_quantizer": bits(8, 2)}
    x = qkeras.QConv2D(3, 3, name="conv_1", activation=q.quantized_relu(4, 1), **conv)(start)
    y = qkeras.QConv2D(3, 3, name="conv_2", activation=q.quantized_relu(4, 1), **conv)(x)
    x = keras.layers.MaxPooling2D(2, name="pool")(keras.layers.Add(name="sum")([x, y]))
    model = keras.Model(start, dense(4)(keras.layers.Flatten(name="flat")(x)))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.5, variable.shape).astype("float32"))
    return model, from_keras(model, INPUT)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("projects")


@pytest.fixture(scope="module")
def streamed(residual: tuple[Any, QuantizedNetwork], root: Path) -> HlsProject:
    model, network = residual
    return write_project(model, network, even_implementation(network, "io_stream", 125.0, reuse=9), VITIS, root)


@pytest.fixture(scope="module")
def parallel(vector: tuple[Any, QuantizedNetwork], root: Path) -> HlsProject:
    model, network = vector
    implementation = even_implementation(network, "io_parallel", 1000 / 3)
    return write_project(model, network, implementation, VIVADO, root, name="jets")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a project by name."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# The same every time


@pytest.mark.parametrize("kind", ["streamed", "parallel"])
def test_the_same_input_gives_the_same_bytes_anywhere(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    project: HlsProject = request.getfixturevalue(kind)
    model, network = request.getfixturevalue("residual" if kind == "streamed" else "vector")
    reuse, mhz = (9, 125.0) if kind == "streamed" else (1, 1000 / 3)
    implementation = even_implementation(network, "io_stream" if kind == "streamed" else "io_parallel", mhz, reuse)
    target = VITIS if kind == "streamed" else VIVADO
    again = write_project(model, network, implementation, target, tmp_path / "elsewhere", name=project.name)
    assert again.digest == project.digest
    assert again.folder.name == project.folder.name == f"{project.name}-{project.digest}"
    ours = {k: v for k, v in contents(project.folder).items() if not k.startswith("csim/")}
    assert contents(again.folder) == ours
    for name, data in ours.items():
        assert str(project.folder.parent).encode() not in data, name


def test_nothing_is_left_beside_the_projects(streamed: HlsProject, parallel: HlsProject, root: Path) -> None:
    assert {path.name for path in root.iterdir()} >= {streamed.folder.name, parallel.folder.name}
    assert not [path.name for path in root.iterdir() if path.name.startswith(".")]


def test_a_project_that_is_there_is_not_written_again(
    vector: tuple[Any, QuantizedNetwork], parallel: HlsProject, root: Path
) -> None:
    model, network = vector
    before = (parallel.folder / "project.json").stat()
    implementation = even_implementation(network, "io_parallel", 1000 / 3)
    again = write_project(model, network, implementation, VIVADO, root, name="jets")
    assert again.folder == parallel.folder
    assert (again.folder / "project.json").stat().st_mtime_ns == before.st_mtime_ns


def test_two_designs_never_share_a_folder(vector: tuple[Any, QuantizedNetwork]) -> None:
    _, network = vector
    implementation = even_implementation(network, "io_parallel", 100.0)
    inputs = np.zeros((1, 8), dtype=np.int64)
    first = network.layers[0]
    assert first.weight is not None
    other_weight = replace(first.weight, values=np.negative(np.abs(first.weight.values)))
    others = [
        (network, implementation, VITIS, "network", inputs),
        (replace(network, layers=(replace(first, weight=other_weight), *network.layers[1:])), implementation, VITIS,
         "network", inputs),
        (network, replace(implementation, clock_mhz=125.0), VITIS, "network", inputs),
        (network, even_implementation(network, "io_parallel", 100.0, reuse=2), VITIS, "network", inputs),
        (network, even_implementation(network, "io_stream", 100.0), VITIS, "network", inputs),
        (network, implementation, HlsTarget("Vivado", PART), "network", inputs),
        (network, implementation, HlsTarget("Vitis", "xc7z010clg400-1"), "network", inputs),
        (network, implementation, HlsTarget("Vitis", PART, 12.5), "network", inputs),
        (network, implementation, VITIS, "other", inputs),
        (network, implementation, VITIS, "network", inputs + 1),
    ]  # fmt: skip
    assert len({project_digest(*other) for other in others}) == len(others)


# What it says


def test_part_clock_and_uncertainty_reach_the_tool(streamed: HlsProject, parallel: HlsProject) -> None:
    vitis, vivado = read_project(streamed.folder), read_project(parallel.folder)
    assert (vitis.backend, vitis.part, vitis.clock_ns, vitis.name) == ("Vitis", PART, 8.0, "network")
    assert (vivado.backend, vivado.part, vivado.clock_ns, vivado.name) == ("Vivado", PART, 3.0, "jets")
    assert "set clock_uncertainty 27%" in (streamed.folder / "project.tcl").read_text()
    assert "set clock_uncertainty 10%" in (parallel.folder / "project.tcl").read_text()


def test_every_type_is_set_and_none_is_the_default(streamed: HlsProject, parallel: HlsProject) -> None:
    width = DEFAULT_TYPE.split("<")[1]
    for project in (streamed, parallel):
        assert f"ap_u{'fixed'}<{width}" not in (project.folder / "firmware" / "defines.h").read_text()
        config = (project.folder / "hls4ml_config.yml").read_text()
        assert config.count(DEFAULT_TYPE) == 1
    defines = (parallel.folder / "firmware" / "defines.h").read_text()
    for layer in parallel.network.weight_layers:
        assert layer.weight is not None
        assert layer.bias is not None
        for form in (layer.weight.format, layer.bias.format, layer.output):
            assert f"ap_{form}".replace(" ", "") in defines.replace(" ", "")


def test_the_manifest_says_what_the_project_is_made_of(streamed: HlsProject) -> None:
    manifest = json.loads((streamed.folder / "project.json").read_text())
    assert manifest == streamed.manifest
    assert manifest["network"] == streamed.network.digest
    assert (manifest["backend"], manifest["part"], manifest["io_type"]) == ("Vitis", PART, "io_stream")
    assert (manifest["clock_mhz"], manifest["clock_ns"], manifest["clock_uncertainty_percent"]) == (125.0, 8.0, 27.0)
    assert {"fpga-nas-flow", "python", "hls4ml", "qkeras-v3", "keras"} <= manifest["versions"].keys()
    chosen = {la["name"]: (la["strategy"], la["reuse_factor"]) for la in manifest["layers"] if "strategy" in la}
    assert chosen == {"conv_1": ("Resource", 9), "conv_2": ("Resource", 9), "out": ("Resource", 8)}
    assert manifest["inexact"] == []
    assert open_project(streamed.folder).network == streamed.network


def test_fifos_are_as_deep_as_the_schedule_needs(streamed: HlsProject) -> None:
    depths = streamed.manifest["fifo_depths"]
    source = (streamed.folder / "firmware" / "network.cpp").read_text()
    found = [int(line.split("depth=")[1]) for line in source.splitlines() if "#pragma HLS STREAM" in line]
    assert sorted(found) == sorted(depths.values())
    # Past the convolution goes what it holds back, at least a row and two pixels; hls4ml would make all of them 64.
    copies = sorted(depth for name, depth in depths.items() if "_cpy" in name)
    assert copies[-1] >= 8 + 2
    assert max(depths.values()) < 64


def test_the_test_bench_has_inputs_and_the_results_that_are_right_for_them(
    streamed: HlsProject, parallel: HlsProject
) -> None:
    for project in (streamed, parallel):
        network = project.network
        data = project.folder / "tb_data"
        inputs = np.loadtxt(data / "tb_input_features.dat").reshape(-1, *network.input_shape)
        results = np.loadtxt(data / "tb_output_predictions.dat")
        codes = encode(inputs, network.input_format)
        assert np.array_equal(decode(codes, network.input_format), inputs)
        assert len(inputs) == project.manifest["test_images"] == 10
        assert {network.input_format.low, network.input_format.high} <= set(codes.ravel().tolist())
        assert np.array_equal(results, decode(forward(network, codes), network.output_format))


def test_given_inputs_go_into_the_test_bench(vector: tuple[Any, QuantizedNetwork], tmp_path: Path) -> None:
    model, network = vector
    inputs = np.arange(16).reshape(2, 8)
    implementation = even_implementation(network, "io_parallel", 100.0)
    project = write_project(model, network, implementation, VITIS, tmp_path, test_inputs=inputs)
    lines = (project.folder / "tb_data" / "tb_input_features.dat").read_text().splitlines()
    assert [float(v) for v in lines[1].split()] == [v / 32 for v in range(8, 16)]


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="needs tclsh")
def test_its_tcl_runs(streamed: HlsProject, parallel: HlsProject) -> None:
    for project in (streamed, parallel):
        script = f'source {{{project.folder / "project.tcl"}}}; puts "$project_name $part $clock_period"'
        done = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [project.name, PART, str(project.manifest["clock_ns"])]


# What is refused


def implementation_with(network: QuantizedNetwork, **changes: tuple[str, int]) -> Implementation:
    """Reuse factor 1 everywhere but for some layers."""
    even = even_implementation(network, "io_stream", 100.0)
    layers = [
        LayerImplementation(la.name, changes[la.name][1], changes[la.name][0]) if la.name in changes else la  # type: ignore[arg-type]
        for la in even.layers
    ]
    return replace(even, layers=tuple(layers))


@pytest.mark.parametrize(
    ("strategy", "reuse", "reason"),
    [
        ("Resource", 5, r"conv_2: reuse factor 5 is not valid for 27 x 3 weights, nearest valid: 3 and 9"),
        ("Resource", 0, r"conv_2: reuse factor 0 is not valid for 27 x 3 weights, nearest valid: 1"),
        ("Resource", 1000, r"conv_2: reuse factor 1000 is not valid for 27 x 3 weights, nearest valid: 81"),
        ("Unrolled", 1, r"conv_2: unknown strategy 'Unrolled', known: Latency, Resource"),
    ],
)
def test_an_invalid_implementation_is_refused_before_anything_is_written(
    residual: tuple[Any, QuantizedNetwork], tmp_path: Path, strategy: str, reuse: int, reason: str
) -> None:
    model, network = residual
    implementation = implementation_with(network, conv_2=(strategy, reuse))
    with pytest.raises(InputError, match=reason):
        write_project(model, network, implementation, VITIS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_implementation_of_another_network_is_refused(
    residual: tuple[Any, QuantizedNetwork], vector: tuple[Any, QuantizedNetwork]
) -> None:
    refusal = check_implementation(residual[1], even_implementation(vector[1], "io_stream", 100.0))
    assert refusal is not None
    assert refusal.sentence == (
        "the implementation names the layers first, second, the network has conv_1, conv_2, out"
    )


def test_unrolled_convolutions_reuse_multipliers_within_a_window_only(residual: tuple[Any, QuantizedNetwork]) -> None:
    network = residual[1]
    implementation = replace(implementation_with(network, conv_2=("Resource", 81)), io_type="io_parallel")
    refusal = check_implementation(network, implementation)
    assert refusal is not None
    assert refusal.sentence == "conv_2: reuse factor 81 of a convolution is at most 27 with io_parallel"


@pytest.mark.parametrize(
    ("target", "name", "reason"),
    [
        (HlsTarget("Quartus", PART), "network", "unknown HLS backend 'Quartus', known: Vivado, Vitis"),  # type: ignore[arg-type]
        (HlsTarget("Vitis", "x; exec rm"), "network", "is no name of an FPGA part"),
        (HlsTarget("Vitis", PART, 100.0), "network", "the clock uncertainty is 100%"),
        (VITIS, "../x", r"project name '\.\./x' is not made of letters, digits and underscores only"),
        (VITIS, "double", r"project name 'double' is not made of .*, or a word of C\+\+"),
    ],
)
def test_names_that_would_reach_tcl_are_checked(
    vector: tuple[Any, QuantizedNetwork], tmp_path: Path, target: HlsTarget, name: str, reason: str
) -> None:
    model, network = vector
    with pytest.raises(InputError, match=reason):
        write_project(model, network, even_implementation(network, "io_parallel", 100.0), target, tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


def test_images_are_not_unrolled_by_accident(residual: tuple[Any, QuantizedNetwork], tmp_path: Path) -> None:
    model, network = residual
    with pytest.raises(Unconvertible, match="conv_1: io_parallel unrolls images completely, use io_stream"):
        write_project(model, network, even_implementation(network, "io_parallel", 100.0), VITIS, tmp_path)


# When hls4ml does something else, or fails


def test_a_reuse_factor_that_hls4ml_changes_is_an_error(
    vector: tuple[Any, QuantizedNetwork], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    model, network = vector
    even = even_implementation(network, "io_parallel", 100.0, reuse=4)
    # As a release would that finds other factors valid.
    monkeypatch.setattr(FPGABackend, "get_valid_reuse_factors", lambda self, n_in, n_out: [1, 2])
    with pytest.raises(ToolError, match="hls4ml changed what was asked: WARNING: Invalid ReuseFactor="):
        write_project(model, network, even, VITIS, tmp_path)
    # And without the warning.
    monkeypatch.setattr(
        FPGABackend, "set_closest_reuse_factor", lambda self, layer, *_, **__: layer.set_attr("reuse_factor", 2)
    )
    with pytest.raises(
        ToolError, match="first: hls4ml chose strategy resource with reuse factor 2, not Resource with 4"
    ):
        write_project(model, network, even, VITIS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_another_model_is_refused(
    vector: tuple[Any, QuantizedNetwork], residual: tuple[Any, QuantizedNetwork], tmp_path: Path
) -> None:
    network = vector[1]
    with pytest.raises(InputError, match="conv_1: it is not part of the network that is converted"):
        write_project(residual[0], network, even_implementation(network, "io_parallel", 100.0), VITIS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(vector: tuple[Any, QuantizedNetwork], tmp_path: Path) -> None:
    model, network = vector
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ToolError, match=r"cannot write the project .*file"):
        write_project(
            model, network, even_implementation(network, "io_parallel", 100.0), VITIS, tmp_path / "file" / "runs"
        )


def test_a_damaged_project_is_named(parallel: HlsProject, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(parallel.folder, copy)
    manifest = json.loads((copy / "project.json").read_text())
    (copy / "project.json").write_text(json.dumps(manifest | {"network": "0" * 16}))
    with pytest.raises(InputError, match=r"quantized\.npz beside it is another network's"):
        open_project(copy)
    (copy / "project.json").write_text("[]")
    with pytest.raises(InputError, match="not the description of an HLS project"):
        open_project(copy)
    with pytest.raises(InputError, match="cannot read HLS project"):
        open_project(tmp_path)


# Speed


def test_converting_and_writing_five_layers_takes_less_than_two_seconds(tmp_path: Path) -> None:
    def conv(name: str, filters: int) -> Any:
        return qkeras.QConv2D(
            filters, 3, padding="same", kernel_quantizer=bits(), bias_quantizer=bits(8, 2),
            activation=q.quantized_relu(4, 1), name=name,
        )  # fmt: skip

    pools = [keras.layers.MaxPooling2D(2, name=f"pool_{i}") for i in range(2)]
    model = sequential(
        (32, 32, 3), conv("a", 16), conv("b", 32), pools[0], conv("c", 32), conv("d", 64), pools[1],
        keras.layers.Flatten(name="flat"), dense(10),
    )  # fmt: skip
    seconds = []
    for attempt in range(3):  # the first one imports
        started = time.perf_counter()
        network = from_keras(model, INPUT)
        implementation = even_implementation(network, "io_stream", 100.0, reuse=64)
        write_project(model, network, implementation, VITIS, tmp_path / str(attempt))
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 2


# Simulation


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler")
def test_a_simulation_is_compiled_once_and_agrees(parallel: HlsProject) -> None:
    network = parallel.network
    codes = np.random.default_rng(3).integers(-64, 64, size=(50, 8))
    first = compile_simulation(parallel.folder, parallel.name, network, optimize="-O0")
    made = first.program.stat().st_mtime_ns
    again = compile_simulation(parallel.folder, parallel.name, network, optimize="-O0")
    assert again.program == first.program
    assert again.program.stat().st_mtime_ns == made
    assert np.array_equal(first.run(codes), forward(network, codes))
    with pytest.raises(InputError, match="expected input codes of shape"):
        first.run(codes[:, :7])


def test_without_a_compiler_it_says_what_to_install(parallel: HlsProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolError, match=r"no C\+\+ compiler found: install g\+\+"):
        compile_simulation(parallel.folder, parallel.name, parallel.network)
