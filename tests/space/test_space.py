"""Search spaces: the shipped ones, a user's own, and mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import InputError
from flow.estimate.table import COLUMNS, table_of
from flow.network import FixedFormat, build_network
from flow.network.network import InvalidCandidate
from flow.space.batch import RULES, batch_table
from flow.space.space import PRESETS, Task, all_codes, list_spaces, load_space

IMAGES = Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10)
SMALL = Task((8, 8, 1), FixedFormat(5, 1, signed=False), 10)
VECTORS = Task((16,), FixedFormat(8, 3), 5)


def test_the_papers_space_has_the_papers_size() -> None:
    assert load_space("paper-iccad19").size == (4**3 * 2 * (4 * 7) ** 2) ** 6
    assert load_space("paper-iccad19+stride").size == (4**3 * 2 * (4 * 7) ** 2 * 9) ** 6
    # of 15 skips, 5 name the layer just before
    assert load_space("paper-iccad19+skip").size == load_space("paper-iccad19").size * 2**10


@pytest.mark.parametrize("name", list_spaces())
def test_size_counts_canonical_codes(name: str) -> None:
    space = load_space(name)
    assert space.size <= int(np.prod(space.sizes.astype(object)))


def test_size_of_a_small_space_is_the_number_of_its_codes(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "schema: 1\nname: s\nhead: [flatten, gap]\nlayers:\n"
        "  - {kind: [conv2d, depthwise], repeat: [1, 2, 3], units: [2, 4, 6], pool: [1, 2], concat: true,\n"
        "     weight: [binary], activation: ['ufixed<1,1>']}\n"
    )
    space = load_space(str(path))
    codes = np.concatenate(list(all_codes(space)))
    assert len({c.tobytes() for c in codes}) == len(codes)
    # 8 choices a block; only the third has a block to join that is not its input anyway
    assert len(codes) == space.size == 2 * (8 + 8**2 + 8**3 * 2)


@pytest.mark.parametrize("name", list_spaces())
@pytest.mark.parametrize("task", [IMAGES, SMALL, VECTORS], ids=["images", "small", "vectors"])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_batch_path_equals_the_object_path(name: str, task: Task, seed: int) -> None:
    if len(task.input_shape) == 1 and not name.startswith("mlp"):
        return
    space = load_space(name, task)
    codes = space.sample(np.random.default_rng(seed), 12)
    batch = batch_table(space, codes, task)
    for number, code in enumerate(codes):
        rule, network = "", None
        try:
            network = build_network(space.candidate(code, task))
        except InvalidCandidate as error:
            rule = error.rule
        assert RULES[batch.broken[number]] == rule
        if network is None:
            continue
        expected = table_of([network])
        rows = batch.table.select(batch.table.network == number)
        for column in COLUMNS[1:]:
            np.testing.assert_array_equal(getattr(rows, column), getattr(expected, column), err_msg=column)


@given(seed=st.integers(0, 2**32 - 1))
def test_canonical_codes_are_stable_and_decode_alike(seed: int) -> None:
    space = load_space("paper-iccad19+skip")
    raw = np.random.default_rng(seed).integers(0, space.sizes, size=(4, len(space.sizes)))
    codes = space.canonical(raw)
    np.testing.assert_array_equal(space.canonical(codes), codes)


def test_sampling_is_seeded() -> None:
    space = load_space("cnn-small")
    first, second = (space.sample(np.random.default_rng(3), 20) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_convolutions_need_images() -> None:
    with pytest.raises(InputError, match=r"needs images.*mlp-tiny"):
        load_space("cnn-small", VECTORS)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean cnn-small"):
        load_space("cnn-smal")
    with pytest.raises(InputError, match="unknown variant 'strid': did you mean stride"):
        load_space("paper-iccad19+strid")


def _write(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    data = yaml.safe_load((PRESETS / "cnn-small.yaml").read_text())
    change(data)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return str(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["layers"][0].update(unts=[3]), "unknown field, did you mean units?"),
        (lambda d: d["layers"][0].update(units=[4, 4]), "4 is listed twice"),
        (lambda d: d["layers"][0].update(units=[]), "the list of choices is empty"),
        (lambda d: d["layers"][0].update(units=[-1]), "expected a whole number from 1"),
        (lambda d: d["layers"][0].update(weight=["fixed<a>"]), "not a fixed-point format"),
        (lambda d: d["layers"][0].update(activation=["fixed<4,1>"]), "ReLU activations are unsigned"),
        (lambda d: d["layers"][0].update(kind="lstm"), "'lstm' is not one of conv2d, depthwise, dense"),
        (lambda d: d["layers"].reverse(), "a convolution cannot follow a dense layer"),
        (lambda d: d["layers"][1].update(pool=[2]), "a dense layer has no such choice"),
        (lambda d: d.update(schema=2), "2 is not supported"),
        (lambda d: d.update(layers=[]), "at least one group"),
        (lambda d: d.update(head=["mean"]), "'mean' is not one of flatten, gap"),
        (lambda d: d["layers"][0].pop("weight"), "field 'weight' is missing"),
        (lambda d: d["layers"][0].update(kernel=[[3]]), r"expected a number or [height, width]"),
        (lambda d: d["layers"][0].update(weight={"integer": [1], "bits": [2]}), "unknown field"),
    ],
)
def test_a_mistake_names_file_line_and_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_space(_write(tmp_path, change))
    text = str(caught.value)
    assert message in text
    assert text.startswith(f"{tmp_path / 'mine.yaml'}:"), "file and line come first"
    assert text.split(":")[1].isdigit()


def test_unparsable_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("schema: 1\nname: [oops\nlayers: 3\n")
    with pytest.raises(InputError, match=r"bad\.yaml:\d+: not valid YAML"):
        load_space(str(path))
    path.write_text("- 1\n")
    with pytest.raises(InputError, match="expected a mapping"):
        load_space(str(path))
    with pytest.raises(InputError, match="cannot read search space"):
        load_space(str(tmp_path / "none.yaml"))
