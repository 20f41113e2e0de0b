"""Adder graphs: the product with the weights, within the promised ranges and levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedLayer
from flow.rtl.adder_graph import digits, graph_levels, graph_of, matrix_of
from flow.rtl.folding import MAX_UNROLLED_WEIGHTS, Fold, Folding, check_folding, fold_options, unrolled
from flow.rtl.mac import STYLES
from flow.rtl.plan import build_plan
from tests.rtl.builder import conv_network, dense_network, weights


def layer_with(values: np.ndarray, bits: int) -> QuantizedLayer:
    """A dense layer with the given weights."""
    layer = dense_network(weight=weights((16, 8), 4)).layers[0]
    of = FixedFormat(bits, bits)
    return replace(layer, weight=Codes(values, of), in_shape=(values.shape[0],), out_shape=(values.shape[1],))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("shape", "bits"), [((1, 1), 2), ((3, 5), 8), ((24, 6), 4), ((40, 3), 2), ((300, 4), 5)])
def test_a_graph_is_the_product_within_its_ranges_and_levels(shape: tuple[int, int], bits: int, signed: bool) -> None:
    rng = np.random.default_rng(bits)
    values = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)
    values[:, 0] = 0 if shape[1] > 2 else values[:, 0]
    x = FixedFormat(5, 5, signed)
    layer = layer_with(values, bits)
    graph = graph_of(layer, x)
    codes = rng.integers(x.low, x.high + 1, (50, shape[0]))
    codes[0], codes[1] = x.low, x.high
    assert (graph(codes) == codes @ values).all()
    assert max(item.level for item in graph.sums) <= graph_levels(layer)
    assert graph.adders <= max(int(digits(values).sum()) - int(np.count_nonzero(values.any(axis=0))), 0)


def test_shared_sums_are_made_once() -> None:
    columns = np.tile(np.array([[1], [1], [1], [1]]), (1, 6)) * np.array([1, 2, 4, 1, 2, 4])
    assert graph_of(layer_with(columns, 4), FixedFormat(4, 4)).adders == 3


def test_a_depthwise_layer_is_a_diagonal() -> None:
    layer = replace(conv_network().layers[0], op="depthwise", weight=weights((3, 3, 2), 4))
    matrix = matrix_of(layer)
    assert matrix.shape == (18, 2)
    assert not matrix[0::2, 1].any()
    assert not matrix[1::2, 0].any()


def test_what_cannot_be_unrolled_is_refused() -> None:
    wide = layer_with(np.full((2, 2), 1 << 22), 24)
    with pytest.raises(InputError, match="more than 20 bits"):
        graph_of(wide, FixedFormat(4, 4))
    network = dense_network(weight=weights((16, 8), 4))
    first = network.layers[0]
    with pytest.raises(InputError, match="all its channels at once"):
        check_folding(network, Folding({first.name: Fold(1, 1, "", "unrolled")}))
    with pytest.raises(InputError, match="unknown style"):
        check_folding(network, Folding({first.name: replace(unrolled(first), engine="folded")}))
    big = layer_with(np.ones((MAX_UNROLLED_WEIGHTS + 1, 1), dtype=np.int64), 2)
    assert all(fold.engine == "folded" and fold.style in STYLES for fold in fold_options(big))


def test_the_module_says_what_it_is() -> None:
    network = dense_network(weight=weights((16, 8), 4))
    first = network.layers[0]
    plan = build_plan(network, Folding({first.name: unrolled(first)}, 16))
    text = plan.files[f"layer_{first.name}.v"]
    graph = graph_of(first, network.input_format)
    assert f"128 of them as {graph.adders:,} adders in" in " ".join(text.replace("//", "").split())
    assert plan.schedule.busy[first.name] == 1
