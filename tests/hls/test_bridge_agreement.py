"""QKeras, the integer reference and hls4ml's C simulation agree on every bit.

Random networks of every kind, with weights of 1 to 8 bits, binary and ternary; io_parallel and io_stream; the Vivado
and the Vitis backend; reuse factors at random. 20 networks, or as many as FLOW_SLOW says (``FLOW_SLOW=200``).
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from flow.hls.convert import even_implementation
from flow.hls.csim import compile_simulation
from flow.hls.project import HlsTarget, write_project
from flow.implement.rules import IoType
from flow.network.fixed import FixedFormat
from flow.network.quantized_keras import from_keras
from flow.network.quantized_reference import decode, forward

pytestmark = pytest.mark.slow

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("hls4ml")
if shutil.which(os.environ.get("CXX", "g++")) is None:
    pytest.skip("needs a C++ compiler", allow_module_level=True)
from tests.hls.agreement import disagreements, prepare  # noqa: E402
from tests.network.gallery import GALLERY, INPUT  # noqa: E402
from tests.network.random_networks import KINDS, Sample  # noqa: E402

COUNT = int(os.environ.get("FLOW_SLOW", "20"))
WORKERS = 2


def test_random_networks_agree_on_every_bit(tmp_path: Path) -> None:
    found: list[str] = []
    titles: list[str] = []
    # Models are made here, compilations and simulations are processes of their own: they run side by side.
    with ThreadPoolExecutor(WORKERS) as pool:
        for first in range(0, COUNT, 20):
            batch = [prepare(seed, tmp_path) for seed in range(first, min(first + 20, COUNT))]
            titles += [prepared.title for prepared in batch]
            for texts in pool.map(disagreements, batch):
                found += texts
            for prepared in batch:
                shutil.rmtree(prepared.project.folder)
    assert found == []
    assert len(titles) == COUNT
    if COUNT >= 20:
        everything = " ".join(titles)
        for word in (
            *KINDS,
            "io_parallel",
            "io_stream",
            "Vivado",
            "Vitis",
            "binary",
            "ternary",
            "auto_po2",
            " L1",
            " R",
        ):
            assert word in everything, f"no network has {word}"


def simulate(title: str, root: Path) -> list[str]:
    """The differences of one gallery model; io types and backends take turns."""
    model = GALLERY[title]()
    network = from_keras(model, INPUT, float_format=FixedFormat(12, 4))
    number = list(GALLERY).index(title)
    io_type: IoType = "io_stream" if number % 2 else "io_parallel"
    target = HlsTarget("Vivado" if number // 2 % 2 else "Vitis", "xc7z020clg400-1")
    implementation = even_implementation(network, io_type, 100.0, reuse=1 + 3 * (io_type == "io_stream"))
    project = write_project(model, network, implementation, target, root, unrolled_images=True)
    codes = Sample(model, INPUT, title).inputs(16, seed=4)
    reference = forward(network, codes)
    found = compile_simulation(project.folder, project.name, network, optimize="-O0").run(codes)
    texts = []
    if not np.array_equal(found, reference):
        texts.append(f"{title}: C simulation differs in {(found != reference).sum()} codes")
    keras = Sample(model, INPUT, title).keras_output(codes)
    difference = float(np.abs(keras - decode(found, network.output_format)).max())
    bound = 0.0
    if title.startswith("softmax"):  # the only layer that is not exact is the last one: its bound is the network's
        bound = network.inexact[0].bound or 0.0
    if difference > bound and (bound or not network.inexact):
        texts.append(f"{title}: QKeras differs by {difference}, at most {bound} is allowed")
    return texts


def test_every_kind_of_layer_agrees_on_every_bit_and_softmax_within_its_bound(tmp_path: Path) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        found = [text for texts in pool.map(lambda title: simulate(title, tmp_path), GALLERY) for text in texts]
    assert found == []
