"""The accelerator between its two AXI-Streams, simulated: values, order, and where a batch ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flow.bitstream.accelerator import Accelerator, rtl_accelerator
from flow.bitstream.host.codec import Side
from flow.hls.samples import random_samples
from flow.network.quantized import QuantizedNetwork
from flow.network.quantized_reference import forward
from flow.rtl.folding import Fold, Folding
from flow.rtl.simulate import Stalls, run_beats
from flow.rtl.verilator import Source, Verilator, find_verilator
from tests.rtl.builder import conv_network, dense_network

HARNESS = """`default_nettype none
module harness (
    input  wire clk, input wire rst,
    input  wire in_valid, output wire in_ready, input wire [{i}:0] in_data,
    output wire out_valid, input wire out_ready, output wire [{o}:0] out_data
);
    wire [{k}:0] keep;
    flow_accelerator accelerator (
        .ap_clk(clk), .ap_rst_n(!rst),
        .s_axis_tvalid(in_valid), .s_axis_tready(in_ready), .s_axis_tlast(in_data[{i}]), .s_axis_tdata(in_data[{im}:0]),
        .m_axis_tvalid(out_valid), .m_axis_tready(out_ready), .m_axis_tlast(out_data[{o}]), .m_axis_tkeep(keep),
        .m_axis_tdata(out_data[{om}:0])
    );
    // verilator lint_off UNUSEDSIGNAL
    wire unused = &keep;
    // verilator lint_on UNUSEDSIGNAL
endmodule
`default_nettype wire
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("axis")


@pytest.fixture(scope="module")
def verilator() -> Verilator:
    return find_verilator()


def source(a: Accelerator) -> Source:
    files = {path.removeprefix("rtl/"): text for path, text in a.files.items() if isinstance(text, str)}
    files["harness.v"] = HARNESS.format(
        i=a.input.tdata, im=a.input.tdata - 1, o=a.output.tdata, om=a.output.tdata - 1, k=a.output.tdata // 8 - 1
    )
    return Source(files, "harness", a.input.tdata + 1, a.output.tdata + 1)


def beats(data: NDArray[np.uint8], tdata: int, ends: list[int]) -> NDArray[np.uint32]:
    """Words of a stream with TLAST above their data, as the simulation takes them; ``ends``: words with TLAST."""
    rows = data.reshape(-1, tdata // 8)
    words = -(-(tdata + 1) // 32)
    wide = np.zeros((len(rows), words * 4), np.uint8)
    wide[:, : tdata // 8] = rows
    wide[ends, tdata // 8] |= 1
    return wide.view("<u4").reshape(-1)


def run(
    a: Accelerator,
    data: NDArray[np.uint8],
    ends: list[int],
    results: int,
    cache: Path,
    stalls: Stalls,
    tools: Verilator,
) -> tuple[NDArray[np.uint8], list[int]]:
    """(bytes that came out, words with TLAST)."""
    count = results * a.output.beats * a.output.words
    words, _, _ = run_beats(source(a), beats(data, a.input.tdata, ends), count, cache, stalls, tools)
    raw = words.view(np.uint8).reshape(count, -1)
    lasts = [i for i in range(count) if raw[i, a.output.tdata // 8] & 1]
    return raw[:, : a.output.tdata // 8].reshape(results, -1), lasts


CASES = {
    "a value a beat": (dense_network(), Folding({})),
    "eight lanes in, four out": (dense_network(), Folding({"fc1": Fold(4, 8), "fc2": Fold(4, 4)}, 8)),
    "an image of two channels": (conv_network(), Folding({"conv": Fold(4, 2), "fc": Fold(3, 4)}, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stalls", [Stalls(), Stalls(40, 40, seed=1)], ids=["no stalls", "stalls"])
def test_batches_come_out_right_and_end_with_their_last_result(
    name: str, stalls: Stalls, cache: Path, verilator: Verilator
) -> None:
    network, folding = CASES[name]
    a = rtl_accelerator(network, 100.0, folding, "axis")
    codes = random_samples(network, 9).codes
    inp, out = Side.from_dict(a.input.to_dict()), Side.from_dict(a.output.to_dict())
    per = a.input.beats * a.input.words
    # Batches of 1, 5 and 3 images.
    ends = [per - 1, 6 * per - 1, 9 * per - 1]
    data, lasts = run(a, inp.pack(codes), ends, 9, cache, stalls, verilator)
    assert np.array_equal(out.unpack(data), forward(network, codes))
    results = a.output.beats * a.output.words
    assert lasts == [results - 1, 6 * results - 1, 9 * results - 1]


@pytest.mark.slow
def test_beats_wider_than_a_word_take_several(
    cache: Path, verilator: Verilator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow.bitstream.layout.MAX_TDATA", 32)
    network, folding = CASES["eight lanes in, four out"]
    a = rtl_accelerator(network, 100.0, folding, "axis")
    assert (a.input.words, a.output.words) == (2, 2)
    codes = random_samples(network, 5).codes
    inp, out = Side.from_dict(a.input.to_dict()), Side.from_dict(a.output.to_dict())
    per = a.input.beats * a.input.words
    data, lasts = run(a, inp.pack(codes), [5 * per - 1], 5, cache, Stalls(30, 30, seed=2), verilator)
    assert np.array_equal(out.unpack(data), forward(network, codes))
    assert lasts == [5 * a.output.beats * a.output.words - 1]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [1, 7, 15])
def test_a_batch_that_breaks_off_leaves_nothing_behind(sent: int, cache: Path, verilator: Verilator) -> None:
    network, folding = CASES["a value a beat"]
    a = rtl_accelerator(network, 100.0, folding, "axis")
    codes = random_samples(network, 3).codes
    inp, out = Side.from_dict(a.input.to_dict()), Side.from_dict(a.output.to_dict())
    packed = inp.pack(codes).reshape(3, -1)
    cut = np.concatenate([packed[0], packed[1, :sent], packed[2]])  # the second image is short of some values
    data, lasts = run(a, cut, [15 + sent, 15 + sent + 16], 3, cache, Stalls(), verilator)
    short = codes.copy()
    short[1, sent:] = 0
    assert np.array_equal(out.unpack(data), forward(network, short))
    results = a.output.beats
    assert lasts == [2 * results - 1, 3 * results - 1]


def test_the_interval_counts_words_that_are_wider_than_the_stream() -> None:
    wide: QuantizedNetwork = dense_network()
    a = rtl_accelerator(wide, 100.0, Folding({"fc1": Fold(8, 16), "fc2": Fold(4, 8)}, 16), "axis")
    assert a.interval_cycles == 1
