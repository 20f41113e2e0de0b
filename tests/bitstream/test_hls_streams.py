"""The C++ around hls4ml's network, compiled and run: values, order, and where a batch ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.bitstream.hls_ip import hls_accelerator
from flow.bitstream.host.codec import Side
from flow.hls.convert import even_implementation
from flow.hls.project import HlsProject, HlsTarget, write_project
from flow.hls.samples import random_samples
from flow.network.quantized_keras import from_keras
from flow.network.quantized_reference import forward

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import, g++ takes some more

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("hls4ml")
from tests.network.gallery import INPUT, bits, dense, keras, q, qkeras, sequential  # noqa: E402

# Words come as "data last"; so do results.
MAIN = """
#include <cstdio>
#include "flow_accelerator.cpp"
int main() {
    hls::stream<flow_in_word> in("in");
    hls::stream<flow_out_word> out("out");
    unsigned long long data;
    int last;
    while (std::scanf("%llu %d", &data, &last) == 2) {
        flow_in_word word;
        word.data = data;
        word.last = last;
        in.write(word);
    }
    while (!in.empty()) flow_accelerator(in, out);
    while (!out.empty()) {
        flow_out_word word = out.read();
        std::printf("%llu %d\\n", (unsigned long long)word.data.to_uint64(), (int)word.last.to_uint());
    }
}
"""
# Vitis has this header, hls4ml does not bring it.
AXI = """
#include "ap_int.h"
template <int D, int U, int I, int T> struct ap_axiu {
    ap_uint<D> data;
    ap_uint<D / 8> keep, strb;
    ap_uint<1> last;
};
"""


def image_model() -> Any:
    conv = {"padding": "same", "kernel_quantizer": bits(), "bias_quantizer": bits(8, 2)}
    start = keras.Input((4, 4, 2), name="net_input")
    x = qkeras.QConv2D(3, 3, name="conv", activation=q.quantized_relu(4, 1), **conv)(start)
    model = keras.Model(start, dense(5)(keras.layers.Flatten(name="flat")(x)))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.5, variable.shape).astype("float32"))
    return model


def written(root: Path, backend: Any, io_type: Any) -> HlsProject:
    """A project of a small network: an image for streams, a vector for wires."""
    if io_type == "io_stream":
        model = image_model()
    else:
        model = sequential((8,), dense(6, "first", activation=q.quantized_relu(4, 1)), dense(4, "second"))
    network = from_keras(model, INPUT)
    implementation = even_implementation(network, io_type, 100.0)
    return write_project(model, network, implementation, HlsTarget(backend, "xc7z020clg400-1"), root)


@pytest.mark.parametrize(
    ("backend", "io_type"), [("Vitis", "io_parallel"), ("Vitis", "io_stream"), ("Vivado", "io_stream")]
)
def test_batches_come_out_right_and_end_with_their_last_result(backend: str, io_type: str, tmp_path: Path) -> None:
    project = written(tmp_path, backend, io_type)
    a = hls_accelerator(project)
    for path, content in a.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    folder = tmp_path / "hls"
    (folder / "main.cpp").write_text(MAIN, encoding="utf-8")
    (folder / "ap_axi_sdata.h").write_text(AXI, encoding="utf-8")
    types = project.folder / "firmware" / "ap_types"
    argv = [
        "g++",
        "-std=c++14",
        "-O1",
        "-w",
        '-DWEIGHTS_DIR="firmware/weights"',
        f"-I{types}",
        "-I.",
        "-Ifirmware",
        "main.cpp",
        "-o",
        "net",
    ]
    subprocess.run([*argv, f"firmware/{project.name}.cpp"], cwd=folder, check=True, timeout=300)
    codes = random_samples(project.network, 7).codes
    side_in, side_out = Side.from_dict(a.input.to_dict()), Side.from_dict(a.output.to_dict())
    words = side_in.pack(codes).reshape(-1, side_in.beat_bytes)
    # Batches of 2, 3 and 1, and one that breaks off in the middle of its image: the rest of that is zeros.
    sent = side_in.beats - side_in.beats // 2
    words = words[: 6 * side_in.beats + sent]
    codes[6].reshape(side_in.beats, -1)[sent:] = 0
    ends = {2 * side_in.beats - 1, 5 * side_in.beats - 1, 6 * side_in.beats - 1, len(words) - 1}
    lines = [f"{int.from_bytes(word.tobytes(), 'little')} {int(i in ends)}" for i, word in enumerate(words)]
    done = subprocess.run(
        ["./net"], cwd=folder, input="\n".join(lines), capture_output=True, text=True, check=True, timeout=60
    )
    results = [line.split() for line in done.stdout.splitlines()]
    data = b"".join(int(value).to_bytes(side_out.beat_bytes, "little") for value, _ in results)
    found = side_out.unpack(np.frombuffer(data, np.uint8).reshape(7, -1))
    assert np.array_equal(found, forward(project.network, codes))
    lasts = [i for i, (_, last) in enumerate(results) if last == "1"]
    assert lasts == [batch * side_out.beats - 1 for batch in (2, 5, 6, 7)]
