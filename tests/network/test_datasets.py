"""Data sets: what a user gets from a name or a file, and what a wrong file gets."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flow.errors import FlowError, InputError, ToolError
from flow.network.datasets import Dataset, class_weights, dataset_info, download, load_dataset
from flow.network.datasets.prepare import quantize, stratified
from flow.network.fixed import FixedFormat

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
"""An optional folder beside the clone with real data sets."""


def save(folder: Path, **arrays: Any) -> Path:
    """An .npz file of the given arrays."""
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


def blobs(samples: int = 60, features: int = 4, classes: int = 3, seed: int = 1) -> dict[str, Any]:
    """Gaussian features around one centre a class, scaled to about +-3."""
    rng = np.random.default_rng(seed)
    y = np.arange(samples) % classes
    return {"x_train": rng.normal(size=(samples, features)) / 2 + y[:, None], "y_train": y}


def assert_sound(data: Dataset) -> None:
    """What holds for every data set: types, shapes, the grid, labels, classes, and the counts told."""
    fmt = data.info.input_format
    for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test)):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.shape == (len(y), *data.info.shape)
        assert len(y) > 0
        codes = x.astype(np.float64) / fmt.step
        assert np.array_equal(codes, np.rint(codes))
        assert codes.min() >= fmt.low
        assert codes.max() <= fmt.high
        assert y.min() >= 0
        assert y.max() < data.info.classes
    assert set(data.y_train) == set(range(data.info.classes)) == set(data.y_val)
    assert len(data.info.class_names) == data.info.classes
    for count, part in (
        (len(data.y_train), "train"),
        (len(data.y_val), "validation"),
        (len(data.y_test), "test"),
    ):
        assert f"{count} {part}" in data.info.split


# --- the named ones


def test_digits_are_the_pixels_of_scikit_learn_divided_by_16() -> None:
    from sklearn.datasets import load_digits

    data = load_dataset("digits")
    assert_sound(data)
    assert data.info == dataset_info("digits")
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [1078, 360, 359]
    ours = np.concatenate([data.x_train, data.x_val, data.x_test]).reshape(1797, 64) * 16
    theirs = load_digits().data
    # every image exactly once: the splits do not overlap and nothing is lost or rounded
    assert sorted(map(bytes, ours.astype(np.uint8))) == sorted(map(bytes, theirs.astype(np.uint8)))
    assert np.array_equal(ours, np.rint(ours))
    assert ours.max() == 16
    for y in (data.y_val, data.y_test):
        share = np.bincount(y) / np.bincount(load_digits().target)
        assert np.abs(share - 0.2).max() < 0.01


def test_digits_are_the_same_every_time_whatever_the_global_seed() -> None:
    np.random.seed(1)
    first = load_dataset("digits")
    np.random.seed(2)
    second = load_dataset("digits")
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64
    assert np.array_equal(first.x_train, second.x_train)
    assert np.array_equal(first.y_val, second.y_val)


def test_describing_the_named_data_sets_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flow.network.datasets import dataset_info, list_datasets\n"
        "from flow.report.datasets import datasets_table\n"
        "assert [dataset_info(i.name) for i in list_datasets()] == list_datasets()\n"
        "datasets_table(list_datasets())\n"
        "assert not {'numpy', 'sklearn', 'keras', 'rich'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("as_path", [True, False])
def test_mnist_loads_from_the_cache_or_as_a_path(as_path: bool) -> None:
    if not (SHARED / "mnist.npz").exists():
        pytest.skip("no ../shared/data/mnist.npz")
    data = load_dataset(SHARED / "mnist.npz") if as_path else load_dataset("mnist", cache_dir=SHARED)
    assert_sound(data)
    assert data.info.shape == (28, 28, 1)
    assert data.info.input_format == FixedFormat(8, 0, signed=False)
    assert len(data.y_val) == (12000 if as_path else 10000)
    assert len(data.y_test) == 10000
    with np.load(SHARED / "mnist.npz") as raw:
        assert np.array_equal(data.x_test[..., 0] * 256, raw["x_test"])
        assert len(data.y_train) + len(data.y_val) == len(raw["y_train"])
    if not as_path:
        named = dataset_info("mnist")
        assert (named.shape, named.classes, named.split) == (
            data.info.shape,
            data.info.classes,
            data.info.split,
        )
        assert "not recorded" in data.info.source


@pytest.mark.slow
def test_cifar10_as_unpacked_from_the_shared_file(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="unpacking the shared CIFAR-10 needs Pillow")
    if not (SHARED / "unpack_cifar10.py").exists():
        pytest.skip("no ../shared/data/unpack_cifar10.py")
    target = tmp_path / "cifar10.npz"
    subprocess.run([sys.executable, str(SHARED / "unpack_cifar10.py"), str(target)], check=True, timeout=300)
    data = load_dataset("cifar10", cache_dir=tmp_path)
    assert_sound(data)
    assert data.info.split == dataset_info("cifar10").split
    with np.load(target) as raw:
        assert np.array_equal(data.x_test * 256, raw["x_test"])
        assert np.array_equal(data.y_test, raw["y_test"])


def test_jets_are_standardised_by_the_training_split_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    spread = 10.0 ** np.arange(-3, 5, 0.5)
    x = rng.normal(size=(2000, 16)) * spread + 7
    x[:, 5] = 4.0  # a constant feature
    x[0, 0] = 1e6  # an outlier of more than 32 standard deviations
    np.savez(tmp_path / "jets.npz", x_train=x.astype(np.float32), y_train=np.arange(2000) % 5)
    data = load_dataset("jets", cache_dir=tmp_path)
    assert_sound(data)
    assert data.info.input_format == FixedFormat(16, 6) == dataset_info("jets").input_format
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [1280, 320, 400]
    inner = [i for i in range(1, 16) if i != 5]
    assert np.abs(data.x_train.mean(axis=0)[inner]).max() < 1e-3
    assert np.abs(data.x_train.std(axis=0)[inner] - 1).max() < 1e-3
    assert not np.array_equal(data.x_test.mean(axis=0), data.x_train.mean(axis=0))
    assert not data.x_train[:, 5].any()
    assert max(data.x_train.max(), data.x_val.max(), data.x_test.max()) <= 32 - 2**-10
    # offset and scale reproduce the preparation from the raw samples
    again = quantize(x.astype(np.float32), data.info.input_format, data.offset, data.scale)
    rows = {row.tobytes() for row in again}
    assert all(row.tobytes() in rows for row in data.x_test)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "jets"])
def test_offline_says_where_to_put_which_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.datasets._openml as openml

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(openml, "urlopen", offline)
    monkeypatch.setenv("FLOW_DATA", str(tmp_path / "data"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ToolError) as caught:
            load_dataset(name)
    text = str(caught.value)
    assert str(tmp_path / "data" / f"{name}.npz") in text
    assert "name resolution" in text
    assert "x_train" in text
    assert "FLOW_DATA" in text
    assert "\n" not in text
    assert not (tmp_path / "data").exists()


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b"something else"))
    with pytest.raises(ToolError, match="checksum"):
        load_dataset("mnist", cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_downloaded_file_is_kept_and_read_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    if not (SHARED / "mnist.npz").exists():
        pytest.skip("no ../shared/data/mnist.npz")
    content = (SHARED / "mnist.npz").read_bytes()
    calls = []

    def serve(url: str, timeout: float) -> io.BytesIO:
        calls.append(url)
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    monkeypatch.setattr(download, "MNIST_SHA256", hashlib.sha256(content).hexdigest())
    first = load_dataset("mnist", cache_dir=tmp_path)
    second = load_dataset("mnist", cache_dir=tmp_path)
    assert calls == [download.MNIST_URL] == [first.info.source]
    assert first.fingerprint == second.fingerprint == load_dataset("mnist", cache_dir=SHARED).fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["mnist.npz"]


def test_the_binary_cifar10_archive_is_unpacked_channels_last() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for batch, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
            records = [bytes([i % 10]) + images[i].transpose(2, 0, 1).tobytes() for i in (2 * batch, 2 * batch + 1)]
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = sum(map(len, records))
            tar.addfile(member, io.BytesIO(b"".join(records)))
    arrays = download.unpack_cifar10(buffer.getvalue())
    assert np.array_equal(arrays["x_train"], images[:10])
    assert np.array_equal(arrays["x_test"], images[10:])
    assert arrays["y_train"].tolist() == list(range(10))
    assert arrays["y_test"].tolist() == [0, 1]
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w:gz").close()
    with pytest.raises(ValueError, match="six batches"):
        download.unpack_cifar10(empty.getvalue())


def test_another_file_under_the_name_of_a_data_set_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", **blobs())
    with pytest.raises(InputError, match=r"mnist\.npz is not MNIST: it must hold x_train \(60000"):
        load_dataset("mnist", cache_dir=tmp_path)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown data set 'cifar': did you mean cifar10"):
        dataset_info("cifar")
    with pytest.raises(InputError, match=r"an \.npz with x_train"):
        load_dataset("folder/data.csv")


# --- files of a user


def test_a_file_without_test_samples_is_split_60_20_20_without_overlap(tmp_path: Path) -> None:
    arrays = blobs(500)
    path = save(tmp_path, **arrays)
    data = load_dataset(path)
    assert_sound(data)
    assert data.info == dataset_info(path)
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [320, 80, 100]
    assert "validation and test split off the training data, stratified, seed 0" in data.info.split
    rows = [set(map(bytes, x)) for x in (data.x_train, data.x_val, data.x_test)]
    assert not (rows[0] & rows[1])
    assert not (rows[0] & rows[2])
    assert not (rows[1] & rows[2])
    assert sum(map(len, rows)) == 500


def test_given_validation_and_test_samples_are_taken_as_they_come(tmp_path: Path) -> None:
    a, b, c = blobs(seed=1), blobs(30, seed=2), blobs(20, seed=3)
    path = save(
        tmp_path, **a, x_val=b["x_train"], y_val=b["y_train"], x_test=c["x_train"], y_test=c["y_train"],
        input_format=np.array([20, 8, 1]), title="My blobs", source="made up",
        class_names=["one", "two", "three"],
    )  # fmt: skip
    data = load_dataset(path)
    assert_sound(data)
    assert data.info.input_format == FixedFormat(20, 8)
    assert (data.info.title, data.info.source) == ("My blobs", "made up")
    assert data.info.class_names == ("one", "two", "three")
    assert data.info.split == "60 train, 30 validation, 20 test"
    assert np.array_equal(data.y_train, a["y_train"])
    assert np.array_equal(data.y_val, b["y_train"])
    assert np.abs(data.x_test - c["x_train"]).max() <= 2.0**-13


LABELS = np.arange(30) % 3
NOISE = np.random.default_rng(5).uniform(size=(30, 8, 8))


@pytest.mark.parametrize(
    ("x", "fmt", "raw_to_value"),
    [
        ((NOISE * 255).astype(np.uint8), FixedFormat(8, 0, signed=False), 1 / 256),
        (np.rint(NOISE * 255), FixedFormat(8, 0, signed=False), 1 / 256),
        (np.rint(NOISE * 16).astype(np.int64), FixedFormat(5, 0, signed=False), 1 / 32),
        (NOISE > 0.5, FixedFormat(1, 1, signed=False), 1.0),
        (NOISE.astype(np.float16), FixedFormat(8, 0, signed=False), 1.0),
        (NOISE * 2 - 1, FixedFormat(11, 1), 1.0),
        (NOISE * 30, FixedFormat(16, 6), 1.0),
        (NOISE[:, 0] * 7 - 1, FixedFormat(14, 4), 1.0),
    ],
)
def test_the_input_format_follows_the_values(
    x: np.ndarray, fmt: FixedFormat, raw_to_value: float, tmp_path: Path
) -> None:
    data = load_dataset(save(tmp_path, x_train=x, y_train=LABELS, x_test=x[:6], y_test=LABELS[:6]))
    assert_sound(data)
    assert data.info.input_format == fmt
    assert data.info.shape == (x.shape[1:] if x.ndim == 2 else (8, 8, 1))
    assert data.scale.tolist() == [raw_to_value]
    raw = np.sort(x.astype(np.float64).ravel()) * raw_to_value
    low, high = raw.min(), raw.max()
    assert abs(min(data.x_train.min(), data.x_val.min()) - low) <= fmt.step
    assert abs(max(data.x_train.max(), data.x_val.max()) - high) <= fmt.step


@pytest.mark.parametrize("factor", [1e-6, 1e6, 1e30])
def test_floats_out_of_range_are_standardised(factor: float, tmp_path: Path) -> None:
    arrays = blobs(400)
    data = load_dataset(save(tmp_path, x_train=arrays["x_train"] * factor, y_train=arrays["y_train"]))
    assert_sound(data)
    assert data.info.input_format == FixedFormat(16, 6)
    assert "standardised" in data.info.preparation
    assert np.abs(data.x_train.mean(axis=0)).max() < 1e-3
    assert np.abs(data.x_train.std(axis=0) - 1).max() < 1e-3


def test_one_hot_and_column_labels_are_understood(tmp_path: Path) -> None:
    arrays = blobs()
    plain = load_dataset(save(tmp_path, **arrays))
    for y in (np.eye(3)[arrays["y_train"]], arrays["y_train"][:, None], arrays["y_train"].astype(np.float32)):
        same = load_dataset(save(tmp_path, x_train=arrays["x_train"], y_train=y))
        assert same.fingerprint == plain.fingerprint


def test_the_fingerprint_tells_data_sets_apart(tmp_path: Path) -> None:
    arrays = blobs()
    first = load_dataset(save(tmp_path, **arrays)).fingerprint
    arrays["x_train"][7, 2] += 0.01
    assert load_dataset(save(tmp_path, **arrays)).fingerprint != first


def _with(**changes: Any) -> dict[str, Any]:
    return {**blobs(), **changes}


X, Y = blobs()["x_train"], blobs()["y_train"]
BAD = {
    "y_train is missing": {"x_train": X, "y": Y},
    "y_test is missing": _with(x_test=X[:9] + 1),
    "x_val is missing": _with(y_val=Y[:9]),
    "rank 1": _with(x_train=X[:, 0]),
    "rank 5": _with(x_train=np.zeros((60, 1, 1, 1, 1))),
    "60 samples but y_train has 59": _with(y_train=Y[:59]),
    "samples of x_test have shape": _with(x_test=X[:9, :2], y_test=Y[:9]),
    "Python objects": _with(x_train=np.array([[object()]] * 60)),
    "x_train has type <U": _with(x_train=X.astype(str)),
    "x_train has type complex": _with(x_train=X * 1j),
    "y_train has type <U": _with(y_train=Y.astype(str)),
    "NaN or infinity": _with(x_train=np.where(X > 2, np.nan, X)),
    "x_test holds NaN or infinity": _with(x_test=X[:9] * np.inf, y_test=Y[:9]),
    "range of 32-bit": _with(x_train=X * 1e39),
    "single class, 0": _with(y_train=Y * 0),
    "not integers": _with(y_train=Y + 0.5),
    "labels 1, 2, 3: renumber them 0 to 2": _with(y_train=Y + 1),
    "labels -1, 0, 1": _with(y_train=Y - 1),
    "y_test has label 3": _with(x_test=X[:3] + 1, y_test=np.array([0, 1, 3])),
    "not one-hot": _with(y_train=np.ones((60, 3))),
    "y_train has shape": _with(y_train=np.zeros((60, 1, 1))),
    "x_train is empty": _with(x_train=X[:, :0]),
    "y_train has shape \\(0,\\)": _with(y_train=Y[:0]),
    "nothing to learn": _with(x_train=X * 0),
    "same as x_train": _with(x_test=X, y_test=Y),
    "class 2 has 2 training samples: at least 3": _with(y_train=np.where(np.arange(60) < 2, 2, Y % 2)),
    "\\[width, integer bits, signed\\]": _with(input_format=np.array([8, 0])),
    "expected integers": _with(input_format=np.array([8.5, 0, 1])),
    "width 60 must be": _with(input_format=np.array([60, 6, 1])),
    "beyond input_format ufixed<8,0>": _with(input_format=np.array([8, 0, 0])),
    "class_names must hold 3": _with(class_names=np.array(["a", "b"])),
    "title must hold": _with(title=np.array("red\x1b[31m")),
}


@pytest.mark.parametrize("message", BAD)
def test_a_wrong_file_gets_one_clear_line(message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **BAD[message])
    for read in (load_dataset, dataset_info):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(InputError, match=r"cannot read data set .*x\.npz: No such file"):
        load_dataset(path)
    path.mkdir()
    with pytest.raises(InputError, match=r"cannot read data set .*Is a directory"):
        load_dataset(path)
    path.rmdir()
    for content in (b"", b"x_train,y_train\n1,2\n", b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"not an \.npz file"):
            load_dataset(path)
    with pytest.raises(InputError, match="cannot read data set"):
        load_dataset("a\0b.npz")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), compressed=st.booleans())
def test_a_damaged_file_never_gets_through_with_a_traceback(
    data: st.DataObject, compressed: bool, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **blobs(12))
    content = bytearray(buffer.getvalue())
    kind = data.draw(st.sampled_from(["cut", "flip", "both"]))
    if kind != "cut":
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    if kind != "flip":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path = tmp_path / "damaged.npz"
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy and zipfile remark on odd headers
            assert_sound(load_dataset(path))  # a flip in the directory's unused fields does no harm
    except InputError as caught:
        message = str(caught)
        assert "damaged.npz" in message
        assert "\n" not in message


NUMBERS = (
    hnp.integer_dtypes()
    | hnp.floating_dtypes(sizes=(16, 32, 64))
    | hnp.boolean_dtypes()
    | hnp.unsigned_integer_dtypes()
)
ANY_ARRAY = hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6))


FITTING = hnp.arrays(
    NUMBERS, st.tuples(st.just(12), st.integers(1, 3)) | st.just((12, 2, 2, 3)), fill=st.nothing()
) | hnp.arrays(np.float32, (12, 3), elements=st.floats(-50, 50, width=32), fill=st.nothing())
LABELLING = st.permutations([0, 1, 2] * 4).map(np.array)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=ANY_ARRAY | FITTING | FITTING | FITTING,
    y=ANY_ARRAY | LABELLING | LABELLING | LABELLING,
    extra=st.just({})
    | st.dictionaries(st.sampled_from(["x_test", "y_test", "x_val", "input_format", "title"]), ANY_ARRAY),
)
def test_any_numbers_are_a_sound_data_set_or_an_input_error(
    x: np.ndarray, y: np.ndarray, extra: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = save(tmp_path, x_train=x, y_train=y, **extra)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = load_dataset(path)
    except InputError as caught:
        message = str(caught)
        assert "mine.npz" in message
        assert "\n" not in message
        event("refused")
    else:
        assert_sound(data)
        event(f"sound, {data.info.input_format}")


@settings(max_examples=100, deadline=None)
@given(
    x=hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6)),
    width=st.integers(1, 24),
    integer=st.integers(-8, 24),
    signed=st.booleans(),
)
def test_quantization_is_exact_nearest_and_saturating(x: np.ndarray, width: int, integer: int, signed: bool) -> None:
    fmt = FixedFormat(width, integer, signed)
    got = quantize(x, fmt, np.zeros(1), np.ones(1))
    low, high = fmt.low * fmt.step, fmt.high * fmt.step
    codes = got.astype(np.float64) / fmt.step
    assert np.array_equal(codes, np.rint(codes))
    assert codes.min() >= fmt.low
    assert codes.max() <= fmt.high
    assert (np.abs(got - np.clip(x, low, high)) <= fmt.step / 2).all()
    assert np.array_equal(quantize(got, fmt, np.zeros(1), np.ones(1)), got)
    assert not np.signbit(got[got == 0]).any()


@settings(max_examples=100, deadline=None)
@given(counts=st.lists(st.integers(3, 40), min_size=2, max_size=6), share=st.floats(0.05, 0.5))
def test_a_stratified_split_keeps_the_shares_of_the_classes(counts: list[int], share: float) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    kept, held = stratified(y, share, 2, np.random.RandomState(0))
    assert sorted([*kept, *held]) == list(range(len(y)))
    for label, count in enumerate(counts):
        taken = int((y[held] == label).sum())
        assert 1 <= taken <= count - 2
        assert abs(taken - np.clip(share * count, 1, count - 2)) < 1


def test_class_weights_balance_the_classes() -> None:
    y = np.array([0] * 6 + [1] * 3 + [2])
    weights = class_weights(y, 3)
    assert weights == {0: 10 / 18, 1: 10 / 9, 2: 10 / 3}
    assert np.allclose([weights[c] * (y == c).sum() for c in range(3)], 10 / 3)
    for labels, classes in ((y, 4), (y, 2), (y - 1, 3), (y.astype(float), 3), (y, 1)):
        with pytest.raises(InputError):
            class_weights(labels, classes)


def test_a_description_is_a_value() -> None:
    info = dataset_info("digits")
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.classes = 3  # type: ignore[misc]
    assert hash(info) == hash(dataset_info("digits"))
    assert issubclass(InputError, FlowError)
