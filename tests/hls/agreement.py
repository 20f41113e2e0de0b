"""One random network through all three: QKeras, the integer reference, and hls4ml's C simulation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flow.hls.bridge.check import io_problems
from flow.hls.convert import rule_layer
from flow.hls.csim import compile_simulation
from flow.hls.project import HlsProject, HlsTarget, write_project
from flow.implement.implementation import Implementation, LayerImplementation
from flow.implement.rules import IoType, layer_reuse_factors
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_reference import decode, forward
from tests.network.random_networks import Sample, random_network

IMAGES = 12


@dataclass(frozen=True)
class Prepared:
    """A written project of a sample, and what else is needed to compare."""

    sample: Sample
    network: QuantizedNetwork
    project: HlsProject
    title: str


def random_implementation(network: QuantizedNetwork, seed: int, io_type: IoType) -> Implementation:
    """Valid reuse factors at random: the smallest, the largest and those between, both strategies for 1."""
    rng = np.random.default_rng(seed + 10_000)
    layers = []
    for layer in network.weight_layers:
        factors: tuple[int, ...] = layer_reuse_factors(rule_layer(layer))
        if io_type == "io_parallel" and layer.op != "dense":
            factors = tuple(f for f in factors if f <= layer.fan_in) if layer.op == "conv" else (1,)
        reuse = int(rng.choice(factors))
        latency = bool(rng.integers(2)) if reuse == 1 else False
        latency = latency or (io_type == "io_parallel" and layer.op == "depthwise")
        layers.append(LayerImplementation(layer.name, reuse, "Latency" if latency else "Resource"))
    return Implementation(io_type, 100.0, tuple(layers))


def prepare(seed: int, root: Path) -> Prepared:
    """The project of a seed: backends, io types and reuse factors vary with it."""
    sample, network = random_network(seed)
    # Each of the 9 kinds meets all four combinations within 36 seeds.
    io_type: IoType = "io_stream" if (seed // 9) % 2 == 0 else "io_parallel"
    if io_problems(network, io_type, unrolled_images=True):
        io_type = "io_parallel"
    backend = "Vivado" if (seed // 18 + seed) % 2 == 0 else "Vitis"
    implementation = random_implementation(network, seed, io_type)
    target = HlsTarget("Vivado" if backend == "Vivado" else "Vitis", "xc7z020clg400-1")
    project = write_project(sample.model, network, implementation, target, root, unrolled_images=True)
    reuse = [f"{la.strategy[0]}{la.reuse}" for la in implementation.layers]
    return Prepared(sample, network, project, f"{sample.title} {io_type} {backend} {' '.join(reuse)}")


def disagreements(prepared: Prepared, optimize: str = "-O0") -> list[str]:
    """Where the three differ on random inputs; empty if they agree on every bit."""
    network, sample = prepared.network, prepared.sample
    codes = sample.inputs(IMAGES, seed=1)
    reference = forward(network, codes)
    found = []
    keras = sample.keras_output(codes)
    difference = float(np.abs(keras - decode(reference, network.output_format)).max())
    if difference and not network.inexact:
        found.append(f"QKeras differs from the integers by {difference}: {prepared.title}")
    simulated = compile_simulation(prepared.project.folder, prepared.project.name, network, optimize=optimize).run(
        codes
    )
    wrong = int((simulated != reference).sum())
    if wrong:
        found.append(f"C simulation differs from the integers in {wrong} of {reference.size} codes: {prepared.title}")
    return found
