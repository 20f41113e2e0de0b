"""A QuantizedNetwork is a value: checked when made, saved without pickle, computed exactly."""

from __future__ import annotations

import io
import itertools
import json
import math
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.errors import InputError
from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, Inexact, QuantizedLayer, QuantizedNetwork, Rounding
from flow.network.quantized_assemble import AssemblyError, Step, assemble
from flow.network.quantized_io import load, save
from flow.network.quantized_reference import decode, encode, forward, requantize, shift_right, trace

F = FixedFormat
WORD = F(8, 4)


def codes(values: Any, form: FixedFormat = WORD, kind: Any = "fixed") -> Codes:
    return Codes(np.array(values, dtype=np.int64), form, kind)


def small_network() -> QuantizedNetwork:
    """A convolution, a ReLU, pooling and a dense layer, on random weights."""
    rng = np.random.default_rng(5)

    def draw(*shape: int) -> Codes:
        return codes(rng.integers(-8, 8, size=shape), F(4, 1))

    ones = {"kernel": (3, 3), "stride": (1, 1), "padding": ((1, 1), (1, 1))}
    steps = [
        Step("conv", "conv", "conv", ("x",), (4, 4, 3), weight=draw(3, 3, 2, 3), bias=draw(3), **ones),  # type: ignore[arg-type]
        Step(
            "relu", "relu", "conv", ("conv",), (4, 4, 3), format=F(4, 2, False), rounding="half_even", saturation="clip"
        ),
        Step("pool", "maxpool", "pool", ("relu",), (2, 2, 3), kernel=(2, 2), stride=(2, 2), padding=((0, 0), (0, 0))),
        Step("flat", "reshape", "flat", ("pool",), (12,)),
        Step("out", "dense", "out", ("flat",), (5,), weight=draw(12, 5)),
    ]
    return assemble("x", (4, 4, 2), F(8, 0, False), steps)


# The value


def test_codes_outside_their_format_are_refused() -> None:
    with pytest.raises(InputError, match=r"codes -9 to 7 are outside fixed<4,1>"):
        codes([-9, 7], F(4, 1))


def test_codes_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="read-only"):
        codes([1]).values[0] = 2


@pytest.mark.parametrize("name", ["a-b", "1a", "a b", "", 'a"; exit', "x" * 101])
def test_a_name_that_would_be_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not made of letters, digits and underscores"):
        QuantizedLayer(name, "relu", (-1,), (2,), (2,), WORD, "x")


def test_layers_are_in_order_and_fit_together() -> None:
    network = small_network()
    with pytest.raises(InputError, match="are not layers before it"):
        replace(network, layers=network.layers[::-1])
    with pytest.raises(InputError, match=r"its input has shape \(4, 4, 2\), not \(5,\)"):
        replace(network, layers=(replace(network.layers[0], in_shape=(5,)),))
    with pytest.raises(InputError, match="two layers have the same name"):
        replace(network, layers=(network.layers[0], replace(network.layers[1], name="conv")))


def test_equal_networks_have_equal_digests_and_any_change_gives_another() -> None:
    network = small_network()
    assert network == small_network()
    assert len(network.digest) == 16
    first = network.layers[0]
    assert first.weight is not None
    weights = first.weight.values.copy()
    weights[0, 0, 0, 0] = 7 if weights[0, 0, 0, 0] != 7 else 6
    others = [
        replace(network, input_format=F(8, 1, False)),
        replace(network, layers=(replace(first, weight=codes(weights, F(4, 1))), *network.layers[1:])),
        replace(network, layers=(replace(first, bias=None), *network.layers[1:])),
        replace(network, inexact=(Inexact("conv", "a reason", 0.5),)),
    ]
    assert len({network.digest, *(other.digest for other in others)}) == 5


# Files


def test_a_network_comes_back_from_its_file_and_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    network = replace(small_network(), inexact=(Inexact("out", "because", None),))
    save(network, tmp_path / "a.npz")
    save(replace(small_network(), inexact=network.inexact), tmp_path / "b.npz")
    assert load(tmp_path / "a.npz") == network
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["conv.weight"].dtype == np.int8


def rewrite(path: Path, member: str, data: bytes | None) -> None:
    """Replace or remove one member of an archive."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != member}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (kept | ({} if data is None else {member: data})).items():
            archive.writestr(name, content)


def test_a_pickle_in_place_of_codes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save(small_network(), path)
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([print], dtype=object), allow_pickle=True)
    rewrite(path, "conv.weight.npy", member.getvalue())
    with pytest.raises(InputError, match=r"a\.npz: not a quantized network: .*allow_pickle=False"):
        load(path)


@pytest.mark.parametrize(
    ("member", "data", "reason"),
    [
        ("network.json", None, "no network.json in it"),
        ("network.json", b"{", "network.json is not valid JSON"),
        ("network.json", b"[]", "expected a mapping of fields, found list"),
        ("network.json", b'{"schema": 2}', "schema 2 is not known"),
        ("conv.weight.npy", None, "conv.weight.npy is missing"),
    ],
)
def test_a_damaged_file_is_named_with_the_reason(tmp_path: Path, member: str, data: bytes | None, reason: str) -> None:
    path = tmp_path / "a.npz"
    save(small_network(), path)
    rewrite(path, member, data)
    with pytest.raises(InputError, match=reason):
        load(path)


def change(meta: dict[str, Any], keys: tuple[Any, ...], value: Any) -> None:
    for key in keys[:-1]:
        meta = meta[key]
    meta[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        (("layers", 0, "op"), "lambda", r"layers\[0\]: op must be one of dense, conv"),
        (("layers", 0, "name"), "../x", "is not made of letters"),
        (("layers", 0, "output"), "fixed<8>", "not a fixed-point format: 'fixed<8>'"),
        (("layers", 0, "weight", "shape"), [1 << 40], "must be whole numbers from 0"),
        (("layers", 0, "weight", "shape"), [1 << 20, 1 << 20], "codes are more than the 268,435,456 accepted"),
        (("layers", 0, "weight", "shape"), [3, 3, 6], r"expected integers of shape \(3, 3, 6\)"),
        (("layers", 0, "inputs"), [3], "are not layers before it"),
        (("layers", 0, "stride"), [1, True], "must be whole numbers"),
        (("layers", 2, "kernel"), [1, 1], "damaged: its content has digest"),
        (("input_shape",), [4, 4, 3], "its input has shape"),
    ],
)
def test_every_field_of_a_file_is_checked(tmp_path: Path, keys: tuple[Any, ...], value: Any, reason: str) -> None:
    path = tmp_path / "a.npz"
    save(small_network(), path)
    with zipfile.ZipFile(path) as archive:
        meta = json.loads(archive.read("network.json"))
    change(meta, keys, value)
    rewrite(path, "network.json", json.dumps(meta).encode())
    with pytest.raises(InputError, match=reason):
        load(path)


@given(position=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_a_file_with_damaged_bytes_gives_one_clear_error_or_the_same_network(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, cut: bool
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    save(small_network(), path)
    data = bytearray(path.read_bytes())
    position %= len(data)
    data[position] = value
    path.write_bytes(data[:position] if cut else data)
    message = ""
    try:
        same = load(path) == small_network()
    except InputError as error:
        message = str(error)
    assert str(path) in message or same


# Arithmetic


@given(st.integers(-(10**6), 10**6), st.integers(-5, 30), st.sampled_from(["half_even", "toward_zero"]))
def test_rounding_agrees_with_fractions(value: int, bits: int, rounding: Rounding) -> None:
    exact = Fraction(value) / Fraction(2) ** bits
    expected = round(exact) if rounding == "half_even" else math.trunc(exact)  # round() of a Fraction: ties to even
    assert shift_right(np.array([value]), bits, rounding)[0] == expected


@given(
    st.integers(-(2**40), 2**40), st.integers(-10, 50), st.integers(1, 16), st.integers(-8, 8), st.booleans(),
    st.sampled_from(["clip", "symmetric"]),
)  # fmt: skip
def test_requantization_agrees_with_fractions(
    value: int, fraction: int, width: int, integer: int, signed: bool, saturation: Any
) -> None:
    to = F(width, integer, signed)
    exact = Fraction(value) * Fraction(2) ** (to.fraction - fraction)
    low = to.low + (saturation == "symmetric")
    expected = min(max(round(exact), low), to.high)
    assert requantize(np.array([value]), fraction, to, "half_even", saturation)[0] == expected


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.integers(1, 20), st.integers(-4, 12), st.booleans())
def test_encoding_takes_the_nearest_code_and_decoding_gives_its_value(
    values: list[float], width: int, integer: int, signed: bool
) -> None:
    form = F(width, integer, signed)
    found = encode(np.array(values), form)
    for value, code in zip(values, found.tolist(), strict=True):
        assert code == min(max(round(Fraction(value) * Fraction(2) ** form.fraction), form.low), form.high)
    assert np.array_equal(encode(decode(found, form), form), found)


def naive_convolution(x: Any, layer: QuantizedLayer) -> Any:
    """One multiplication at a time, by the definition."""
    assert layer.weight is not None
    w = layer.weight.values
    (top, _), (left, _) = layer.padding
    out = np.zeros((len(x), *layer.out_shape), dtype=object)
    for n, oy, ox, c in itertools.product(*(range(s) for s in out.shape)):
        for ky, kx, i in itertools.product(*(range(s) for s in w.shape[:3])):
            y, z = oy * layer.stride[0] + ky - top, ox * layer.stride[1] + kx - left
            if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]:
                out[n, oy, ox, c] += int(x[n, y, z, i]) * int(w[ky, kx, i, c])
        if layer.bias is not None:
            shift = layer.output.fraction - layer.bias.format.fraction
            out[n, oy, ox, c] += int(layer.bias.values[c]) << shift
    return out


def test_a_convolution_is_what_its_definition_says() -> None:
    network = small_network()
    x = np.random.default_rng(1).integers(0, 256, size=(3, 4, 4, 2))
    layer = network.layers[0]
    # Products have 8 + 3 fraction bits, the bias 3: the sum keeps 11.
    assert layer.output.fraction == 11
    assert np.array_equal(trace(network, x)[0], naive_convolution(x, layer).astype(np.int64))


def test_no_sum_leaves_its_accumulator_and_the_format_is_as_narrow_as_that_allows() -> None:
    network = small_network()
    layer = network.layers[0]
    assert layer.weight is not None
    # The worst input for each filter: the largest code where the weight is positive, or where it is negative.
    flat = layer.weight.values.reshape(-1, 3)
    bias = layer.bias.values << 8 if layer.bias is not None else 0
    highs, lows = np.maximum(flat, 0).sum(axis=0) * 255 + bias, np.minimum(flat, 0).sum(axis=0) * 255 + bias
    form = layer.output
    assert form.low <= lows.min()
    assert highs.max() <= form.high
    assert max(highs.max(), -lows.min() - 1) > form.high // 2
    assert layer.accumulator == layer.output


def test_wide_products_do_not_lose_bits() -> None:
    # 2**30 * 2**30 is beyond float64's 53 bits: integers are used.
    step = Step("d", "dense", "d", ("x",), (1,), weight=codes([[2**29 + 1], [1]], F(31, 31)))
    network = assemble("x", (2,), F(31, 31), [step])
    assert forward(network, np.array([[2**29 + 1, 3]]))[0, 0] == (2**29 + 1) ** 2 + 3
    assert network.inexact[0].layer == "d"
    assert "its sums need 60 bits, float32 has 24" in network.inexact[0].reason


def test_an_accumulator_over_the_limit_is_refused_with_the_layer() -> None:
    step = Step("d", "dense", "the_layer", ("x",), (1,), weight=codes([[2**39]], F(41, 41)))
    with pytest.raises(AssemblyError, match="the_layer: its accumulator needs 71 bits, at most 62 are supported"):
        assemble("x", (1,), F(32, 32), [step])


def test_a_mean_is_cut_off_so_that_the_quantizer_behind_it_rounds_like_the_exact_one() -> None:
    quantizer = {"format": F(4, 4, False), "rounding": "half_even", "saturation": "clip"}
    steps = [
        Step("mean", "avgpool", "mean", ("x",), (1,), kernel=(3, 3), stride=(3, 3), padding=((0, 0), (0, 0))),
        Step("q", "relu", "q", ("mean",), (1,), **quantizer),  # type: ignore[arg-type]
    ]
    network = assemble("x", (3, 3, 1), F(4, 4, False), steps)
    assert not network.inexact
    for total in range(9 * 15 + 1):
        image = np.full(9, total // 9)
        image[: total % 9] += 1
        assert forward(network, image.reshape(1, 3, 3, 1))[0, 0] == round(Fraction(total, 9))


def test_a_mean_without_a_quantizer_is_called_inexact_with_a_bound() -> None:
    steps = [Step("mean", "avgpool", "mean", ("x",), (1,), kernel=(3, 3), stride=(3, 3), padding=((0, 0), (0, 0)))]
    network = assemble("x", (3, 3, 1), F(4, 4, False), steps)
    (item,) = network.inexact
    assert "a mean of 9 values has no exact fixed-point value" in str(item)
    assert item.bound is not None
    image = np.arange(9).reshape(1, 3, 3, 1) + 1
    assert abs(decode(forward(network, image), network.output_format)[0, 0] - 45 / 9) <= item.bound


def test_a_quantizer_that_rounds_everything_away_is_refused() -> None:
    # HLS' ap_fixed aborts in simulation there; it is a mistake in any case.
    step = Step("q", "relu", "q", ("x",), (1,), format=F(2, 10, False), rounding="half_even", saturation="clip")
    with pytest.raises(AssemblyError, match=r"q: it rounds all values of format fixed<4,1> to 0"):
        assemble("x", (1,), F(4, 1), [step])


def test_a_network_that_contradicts_itself_is_named_with_the_layer() -> None:
    network = small_network()
    coarse = replace(network.layers[0], output=F(8, 8))
    with pytest.raises(InputError, match="conv: its result has fewer fraction bits than its values"):
        forward(replace(network, layers=(coarse, *network.layers[1:])), np.ones((1, 4, 4, 2), dtype=np.int64))


def test_wrong_input_codes_are_refused() -> None:
    network = small_network()
    with pytest.raises(InputError, match="expected integer codes of shape"):
        forward(network, np.zeros((1, 4, 4, 3), dtype=np.int64))
    with pytest.raises(InputError, match="expected integer codes"):
        forward(network, np.zeros((1, 4, 4, 2)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"input codes 0 to 256 are outside ufixed<8,0>"):
        forward(network, np.full((1, 4, 4, 2), 256) * np.array([0, 1]))
