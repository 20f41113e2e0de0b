"""Windows and memories, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes
from flow.rtl.design import Stream, build_design
from flow.rtl.mac import WeightCode, pack_words, weight_code
from flow.rtl.pool_layer import reciprocal
from flow.rtl.simulate import from_words, to_words
from tests.rtl.random_networks import random_folding, random_network


@given(st.integers(1, 70), st.integers(1, 24))
def test_a_reciprocal_divides_exactly(count: int, bits: int) -> None:
    factor, shift = reciprocal(count, bits)
    top = (1 << bits) - 1
    candidates = {0, 1, top, top - 1, count, count - 1, top // count * count, top // count * count - 1}
    for value in (v for v in candidates if 0 <= v <= top):
        assert (value * factor) >> shift == value // count


@given(st.integers(1, 9), st.integers(1, 13), st.integers(0, 2**32 - 1), st.booleans())
def test_codes_survive_the_way_through_beats(lanes: int, width: int, seed: int, signed: bool) -> None:
    of = FixedFormat(width, 0, signed)
    codes = np.random.default_rng(seed).integers(of.low, of.high, size=lanes * 6, endpoint=True)
    stream = Stream(6, lanes, lanes, of)
    assert (from_words(to_words(codes, stream), stream) == codes).all()


@given(st.integers(1, 9), st.integers(1, 11))
def test_words_hold_the_first_code_in_the_lowest_bits(count: int, bits: int) -> None:
    words = np.random.default_rng(count).integers(0, 1 << bits, size=(5, count))
    expected = [sum(int(code) << (bits * i) for i, code in enumerate(row)) for row in words]
    assert [int(text, 16) for text in pack_words(words, bits)] == expected


def test_weights_get_the_narrowest_code() -> None:
    def code(values: list[int]) -> WeightCode:
        return weight_code(Codes(np.array(values), FixedFormat(8, 1)))

    assert code([-1, 1]) == WeightCode(1, binary=True)
    assert code([-1, 0, 1]) == WeightCode(2, binary=False)
    assert code([-8, 7]) == WeightCode(4, binary=False)
    assert code([0, 0]) == WeightCode(1, binary=False)
    assert (code([-1, 1]).encode(np.array([1, -1])) == [1, 0]).all()
    assert (code([-2, 1]).encode(np.array([-2, 1, -1])) == [2, 1, 3]).all()


@pytest.mark.parametrize("seed", range(40))
def test_a_window_waits_for_what_it_reads_and_frees_what_no_other_needs(seed: int) -> None:
    network = random_network(seed)
    for node in build_design(network, random_folding(network, seed)).nodes:
        window = node.window
        if window is None:
            continue
        bases, needed, freed = window.bases(), window.last_needed(), window.freed()
        row = window.width * window.beats
        for position, base in enumerate(bases):
            y, x = divmod(position, window.out_width)
            rows = [y * window.stride[0] - window.padding[0][0] + k for k in range(window.kernel[0])]
            columns = [x * window.stride[1] - window.padding[1][0] + k for k in range(window.kernel[1])]
            read = [
                r * row + c * window.beats + window.beats - 1
                for r in rows if 0 <= r < window.height for c in columns if 0 <= c < window.width
            ]  # fmt: skip
            assert max(read) <= needed[position] < window.frame
            assert min(read) + 1 - window.beats >= base
        assert (np.diff(bases) == freed[:-1]).all()
        assert freed.sum() == window.frame
        assert (freed >= 0).all()


def test_a_stream_too_wide_for_any_device_is_refused() -> None:
    network = random_network(0)
    design = build_design(network, random_folding(network, 0))
    assert design.nodes[-1].stream.channels == network.output_shape[-1]
    with pytest.raises(InputError, match="lanes do not divide"):
        build_design(network, type(random_folding(network, 0))(input_lanes=1000))
