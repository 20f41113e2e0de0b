"""Networks: shapes, counts and accumulators that can neither overflow nor waste a bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat, accumulator, smallest_format
from flow.network.network import InvalidCandidate, Network, build_network, sum_format, widest
from flow.space.candidate import Candidate, LayerChoice

W4, A4 = WeightFormat.parse("fixed<4,1>"), FixedFormat.parse("ufixed<4,2>")
formats = st.builds(FixedFormat, st.integers(1, 10), st.integers(-2, 6), st.booleans())
weights = st.one_of(
    st.sampled_from([WeightFormat.parse("binary"), WeightFormat.parse("ternary")]),
    st.builds(lambda w, i: WeightFormat("fixed", w, i), st.integers(1, 8), st.integers(-1, 4)),
)


def network(*layers: LayerChoice, head: Literal["flatten", "gap"] = "flatten") -> Network:
    return build_network(Candidate((8, 8, 1), FixedFormat.parse("ufixed<5,1>"), 10, layers, W4, head))


@given(x=formats, w=weights, terms=st.integers(1, 40), bias=st.one_of(st.none(), formats), seed=st.integers(0, 99))
def test_accumulators_hold_every_sum_and_their_extremes_need_every_bit(
    x: FixedFormat, w: WeightFormat, terms: int, bias: FixedFormat | None, seed: int
) -> None:
    found = accumulator(x, w, terms, bias)
    rng = np.random.default_rng(seed)
    codes = [c for c in range(w.low, w.high + 1) if w.kind != "binary" or c]
    values = []
    for choose in (lambda low, high: rng.integers(low, high + 1, terms), *_extremes(terms)):
        xs = choose(x.low, x.high).astype(object)
        for ws in (rng.choice(codes, terms), np.full(terms, w.low), np.full(terms, w.high)):
            total = int(sum(a * int(b) for a, b in zip(xs, ws, strict=True)))
            for b in (0,) if bias is None else (bias.low, bias.high):
                shift = found.fraction - x.fraction - w.fraction
                values.append((total << shift) + (b << (found.fraction - bias.fraction) if bias else 0))
    assert found.low <= min(values)
    assert max(values) <= found.high
    half = smallest_format(min(values), max(values), found.fraction)
    assert half.width == found.width or (half.signed, found.signed) == (False, True)


def _extremes(terms: int) -> tuple[Callable[[int, int], Any], ...]:
    return (lambda low, high: np.full(terms, low), lambda low, high: np.full(terms, high))


@given(low=st.integers(-(2**40), 2**40), span=st.integers(0, 2**40), fraction=st.integers(0, 8))
def test_the_smallest_format_is_smallest(low: int, span: int, fraction: int) -> None:
    high = low + span
    found = smallest_format(low, high, fraction)
    assert found.low <= low <= high <= found.high
    if found.width > 1:
        smaller = FixedFormat(found.width - 1, found.integer - 1, found.signed)
        assert low < smaller.low or high > smaller.high


def test_shapes_macs_and_parameters() -> None:
    net = network(
        LayerChoice("conv2d", 6, W4, A4, (3, 3), (2, 2)),
        LayerChoice("depthwise", 0, W4, A4, (3, 3), residual=True, pool=2),
        LayerChoice("dense", 16, W4, A4),
    )
    by_name = {layer.name: layer for layer in net}
    assert by_name["conv2d1"].out_shape == (4, 4, 6)
    assert by_name["conv2d1"].macs == 4 * 4 * 6 * 9
    assert by_name["depthwise2"].macs == 4 * 4 * 6 * 9
    assert by_name["depthwise2_pool"].out_shape == (2, 2, 6)
    assert by_name["dense3"].fan_in == 24
    assert net.macs == 864 + 864 + 24 * 16 + 160
    assert net.parameters == (9 * 6 + 6) + (9 * 6 + 6) + (24 * 16 + 16) + 170


def test_the_last_accumulator_and_global_pooling_formats() -> None:
    net = network(LayerChoice("conv2d", 4, W4, A4, (3, 3)), head="gap")
    gap = next(layer for layer in net if layer.op == "global_avgpool")
    assert gap.output == FixedFormat(4 + 6, 2, signed=False)
    assert net.layers[-1].name == "output"


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ([LayerChoice("dense", 4, W4, A4), LayerChoice("conv2d", 4, W4, A4)], "order"),
        ([LayerChoice("dense", 4, W4, A4, pool=2)], "dense block"),
        ([LayerChoice("conv2d", 4, W4, A4, residual=True)], "residual shape"),
        ([LayerChoice("conv2d", 4, W4, A4, pool=9)], "pooling"),
        ([LayerChoice("conv2d", 4, W4, FixedFormat(4, 2))], "format"),
        ([LayerChoice("conv2d", 4, W4, A4, concat=(3,))], "skip source"),
        ([LayerChoice("conv2d", 4, W4, A4, pool=2), LayerChoice("conv2d", 4, W4, A4, pool=2),
          LayerChoice("conv2d", 4, W4, A4, concat=(0,))], "skip shape"),
    ],
)  # fmt: skip
def test_validity_rules(layers: list[LayerChoice], rule: str) -> None:
    with pytest.raises(InvalidCandidate) as caught:
        network(*layers)
    assert caught.value.rule == rule


@given(a=formats, b=formats)
def test_sums_and_unions_of_formats(a: FixedFormat, b: FixedFormat) -> None:
    total, union = sum_format(a, b), widest([a, b])
    for x in (a.low, a.high):
        assert union.low * union.step <= x * a.step <= union.high * union.step
        for y in (b.low, b.high):
            assert total.low * total.step <= x * a.step + y * b.step <= total.high * total.step


def test_formats_refuse_nonsense() -> None:
    for text in ("fixed<0,0>", "fixed<65,3>", "ufixed<3>", "", "fixed<4,1> "[:-2]):
        with pytest.raises(InputError):
            FixedFormat.parse(text)
    with pytest.raises(InputError, match="unknown weight kind"):
        WeightFormat("float", 8, 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="binary weights have"):
        WeightFormat("binary", 3, 1)
