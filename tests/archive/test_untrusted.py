"""A file that is damaged, or made to do harm, is refused in one line that says why; nothing in it is run."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.archive.container import MAX_CONFIG, MAX_CONTENTS, MAX_NUMBERS
from flow.archive.read import read_archive
from flow.errors import InputError
from flow.estimate.table import table_of
from tests.archive import builder as b
from tests.archive.builder import refusal


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return b.write_small(tmp_path / "m.keras")


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    assert refusal(path) == f"cannot read model {path}: No such file or directory"
    path.write_bytes(b"")
    assert refusal(path) == "not a Keras model: not a zip archive"
    path.write_text("a text")
    assert refusal(path) == "not a Keras model: not a zip archive"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    assert refusal(path) == "not a Keras model: no metadata.json in it"
    assert "only .keras files are read" in refusal(tmp_path / "m.h5")
    path.unlink()
    path.mkdir()
    assert refusal(path) == f"cannot read model {path}: Is a directory"


def test_a_file_of_keras_2_says_what_to_do(tmp_path: Path) -> None:
    path = b.write(tmp_path / "m.keras", b.sequential(b.small()), b.arrays(b.SHAPES), version="2.15.0")
    assert refusal(path) == "written by Keras 2.15.0: load it with Keras 3 and save it again"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{", "its config.json is not valid JSON: Expecting property name"),
        (b"[" * 100_000, "its config.json is not valid JSON: nested too deeply"),
        (b"[]", "its config.json is not valid: expected a mapping, found list"),
        (b'{"a": NaN}', "its config.json is not valid JSON: NaN in it"),
        (b"{}", "models of class None are not supported"),
        (b'{"class_name": "MyModel", "config": {}}', "models of class MyModel are not supported"),
        (b'{"class_name": "Sequential", "config": {}}', "its configuration is damaged: no list of layers"),
        (b'{"class_name": "Sequential", "config": {"layers": []}}', "input shape None is not fixed"),
    ],
)
def test_a_damaged_configuration_is_refused(tmp_path: Path, config: bytes, reason: str) -> None:
    path = b.write(tmp_path / "m.keras", b.sequential(b.small()), {}, config=config)
    assert refusal(path).startswith(reason)


def test_a_truncated_file_is_refused_wherever_it_ends(small: Path) -> None:
    whole = small.read_bytes()
    for end in [*range(0, len(whole), max(len(whole) // 40, 1)), len(whole) - 1]:
        small.write_bytes(whole[:end])
        assert refusal(small).startswith("not a Keras model: ")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0"}')
        archive.writestr("config.json", b" " * (MAX_CONFIG + 1))
        archive.writestr("model.weights.h5", b"")
    assert path.stat().st_size < 100_000
    assert refusal(path) == "its config.json is larger than 16,777,216 bytes"


def test_a_size_that_is_a_lie_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0"}')
        archive.writestr("config.json", b" " * (MAX_CONFIG + 1))
        archive.writestr("model.weights.h5", b"")
    data = path.read_bytes()
    size = (MAX_CONFIG + 1).to_bytes(4, "little")
    path.write_bytes(data.replace(size, (5).to_bytes(4, "little")))
    assert refusal(path).startswith(("its config.json", "not a Keras model"))


def h5(fill: Any) -> bytes:
    """A file of weights that ``fill`` fills."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def linked(file: Any) -> None:
    import h5py

    file["layers/q_dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout(shape=(4, 2), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4, 2))
    file.create_group("layers/q_dense/vars").create_virtual_dataset("0", layout)


def external(file: Any) -> None:
    group = file.create_group("layers/q_dense/vars")
    group.create_dataset("0", (4, 2), "f4", external=[("/etc/passwd", 0, 32)])


def objects(file: Any) -> None:
    import h5py

    file.create_group("layers/q_dense/vars").create_dataset("0", (4, 2), dtype=h5py.string_dtype())


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (b"nothing", "its model.weights.h5 cannot be read"),
        (h5(lambda f: None), "the weights of layer d are missing"),
        (h5(linked), "the weights of layer d are a link, which is not followed"),
        (h5(virtual), "the weights of layer d are in another file, which is not read"),
        (h5(external), "the weights of layer d are in another file, which is not read"),
        (h5(objects), "layer d has weights of type object, which is not supported"),
        (h5(lambda f: f.create_group("layers/q_dense/vars/0")), "the weights of layer d are not arrays"),
        (
            h5(lambda f: f.create_dataset("layers/q_dense/vars/0", (4, 3))),
            "layer d has weights of shape (4, 3), its co",
        ),
    ],
)
def test_weights_that_are_not_there_are_refused(tmp_path: Path, weights: bytes, reason: str) -> None:
    config = b.sequential([b.dense("d", 2)], (4,))
    assert refusal(b.write(tmp_path / "m.keras", config, {}, weights=weights)).startswith(reason)


def test_weights_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    """A data set without data may have any size; its fill value would be unpacked."""
    huge = h5(lambda f: f.create_dataset("layers/q_dense/vars/0", (1 << 20, 1 << 20), "f4", chunks=(64, 64)))
    config = b.sequential([b.dense("d", 1 << 20)], (1 << 20,))
    assert refusal(b.write(tmp_path / "m.keras", config, {}, weights=huge)).startswith(
        "it has more than 16,777,216 weights"
    )


def test_a_list_of_many_files_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1 + MAX_CONTENTS // 1000):
            archive.writestr(f"{number:01000d}", "")
    assert refusal(path) == "not a Keras model: its list of files is larger than 1,048,576 bytes"


def test_names_that_lead_out_of_the_archive_lead_nowhere(tmp_path: Path) -> None:
    path = b.write_small(tmp_path / "m.keras")
    before = sorted(tmp_path.parent.rglob("*"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../out.txt", "out")
        archive.writestr("assets/weights.pkl", b"cos\nsystem\n(S'touch out.txt'\ntR.")
    assert len(read_archive(path).network.layers) == 13
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_pieces_that_unpack_to_much_more_than_the_weights_are_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        group = file.create_group("layers/q_dense/vars")
        group.create_dataset("0", (4, 2), "f4", maxshape=(None, None), chunks=(1 << 13, 1 << 13), compression="gzip")

    config = b.sequential([b.dense("d", 2)], (4,))
    text = refusal(b.write(tmp_path / "m.keras", config, {}, weights=h5(fill)))
    assert text == "the weights of layer d are packed in pieces of (8192, 8192)"


def test_many_small_numbers_are_as_many_as_large_ones(tmp_path: Path) -> None:
    """A weight takes four bytes when it is read, however few it has in the file."""
    huge = h5(lambda f: f.create_dataset("layers/q_dense/vars/0", (1 << 12, 1 << 13), "i1", chunks=(64, 64)))
    config = b.sequential([b.dense("d", 1 << 13, use_bias=False)], (1 << 12,))
    text = refusal(b.write(tmp_path / "m.keras", config, {}, weights=huge))
    assert text == f"it has more than {MAX_NUMBERS:,} weights"


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    config = b.sequential([b.dense("d", 2)], (4,))
    for bad in (np.nan, np.inf, 1e300):
        variables = {"d": [np.full((4, 2), bad), np.zeros(2)]}
        text = refusal(b.write(tmp_path / "m.keras", config, variables))
        assert text == "layer d: its weights contain infinite or NaN values"


NONSENSE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**40,
    1.5,
    "",
    "x",
    [],
    [1],
    [[1]],
    {},
    {"class_name": "x", "config": {}},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything is in nested data."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


def changed_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Nested data with something else at one place."""
    copy = deepcopy(value)
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return copy


MODELS = (
    (b.sequential(b.small()), b.arrays(b.SHAPES)),
    (b.sequential(b.plain()), b.arrays(b.PLAIN)),
    (
        b.functional(
            [
                (b.conv("a", 2, kernel_quantizer=b.quantizer("binary", use_01=False, alpha="auto_po2")), ["x"]),
                (b.layer("QActivation", "r", activation=b.relu()), ["a"]),
                (b.layer("Concatenate", "c", axis=-1), ["r", "x"]),
                (b.layer("GlobalAveragePooling2D", "g", data_format="channels_last", keepdims=False), ["c"]),
                (b.dense("d", 3, kernel_quantizer=b.quantizer("ternary", alpha=1.0, threshold=0.5)), ["g"]),
            ],
            "d",
        ),
        b.arrays({"a": ((3, 3, 2, 2), (2,)), "d": ((4, 3), (3,))}),
    ),
)


@settings(max_examples=300, deadline=None)
@given(number=st.integers(0, len(MODELS) - 1), data=st.data())
def test_whatever_is_changed_in_a_configuration_it_is_read_or_refused(number: int, data: st.DataObject) -> None:
    config, variables = MODELS[number]
    where = data.draw(st.sampled_from([p for p in places(config) if p[0] != "module"]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.keras"
        changed = changed_at(config, where, data.draw(st.sampled_from(NONSENSE)))
        b.write(path, changed, {}, weights=b.hdf5(config, variables))
        with contextlib.suppress(InputError):
            network = read_archive(path).network
            assert table_of([network]).macs.sum() == network.macs


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_in_the_weights_they_are_read_or_refused(data: st.DataObject) -> None:
    weights = bytearray(b.hdf5(MODELS[2][0], MODELS[2][1]))
    for _ in range(data.draw(st.integers(1, 8))):
        weights[data.draw(st.integers(0, len(weights) - 1))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = b.write(Path(folder) / "m.keras", MODELS[2][0], {}, weights=bytes(weights))
        with contextlib.suppress(InputError):
            read_archive(path)
