"""The data sets that have a name: their descriptions (light), and how each is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flow.errors import InputError, MissingDependency
from flow.network.datasets.types import Dataset, DatasetInfo
from flow.network.fixed import FixedFormat

_DIGITS = tuple("0123456789")
_PIXELS = FixedFormat(8, 0, signed=False)

NAMED: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            name="digits",
            title="Handwritten digits",
            shape=(8, 8, 1),
            classes=10,
            # pixels are 0 to 16: 16/16 = 1.0 needs the integer bit, and every value is exact
            input_format=FixedFormat(5, 1, signed=False),
            class_names=_DIGITS,
            source="scikit-learn's load_digits, the test part of UCI's optical digits (CC BY 4.0)",
            split="1078 train, 360 validation, 359 test; stratified, seed 0",
            preparation="pixels 0 to 16 divided by 16",
        ),
        DatasetInfo(
            name="mnist",
            title="MNIST",
            shape=(28, 28, 1),
            classes=10,
            input_format=_PIXELS,
            class_names=_DIGITS,
            source="LeCun, Cortes, Burges (CC BY-SA 3.0), as Keras distributes it",
            split="50000 train, 10000 validation, 10000 test; validation split off the training data, "
            "stratified, seed 0",
            preparation="pixels 0 to 255 divided by 256",
        ),
        DatasetInfo(
            name="cifar10",
            title="CIFAR-10",
            shape=(32, 32, 3),
            classes=10,
            input_format=_PIXELS,
            class_names=(
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            source="Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html (no licence stated)",
            split="45000 train, 5000 validation, 10000 test; validation split off the training data, "
            "stratified, seed 0",
            preparation="pixels 0 to 255 divided by 256",
        ),
        DatasetInfo(
            name="jets",
            title="LHC jets, high-level features",
            shape=(16,),
            classes=5,
            # hls4ml's tutorial format for these features
            input_format=FixedFormat(16, 6),
            class_names=("g", "q", "t", "w", "z"),
            source="OpenML 42468, hls4ml_lhc_jets_hlf",
            split="64% train, 16% validation, 20% test; stratified, seed 0",
            preparation="each feature standardised by the training split, values beyond +-32 saturate",
        ),
    )
}

_CONTENTS = {
    "mnist": "x_train (60000, 28, 28), y_train, x_test (10000, 28, 28), y_test, all uint8",
    "cifar10": "x_train (50000, 32, 32, 3), y_train, x_test (10000, 32, 32, 3), y_test, all uint8",
    "jets": "x_train (samples, 16) unscaled and y_train with g, q, t, w, z as 0 to 4",
}
_SAMPLES = {"mnist": [60000, 10000], "cifar10": [50000, 10000]}
_VAL_SHARE = {"mnist": 1 / 6, "cifar10": 0.1, "jets": 0.2}


def load_named(name: str, cache_dir: Path | str | None) -> Dataset:
    """A data set of ``NAMED``. Raises InputError if its cached file is wrong, ToolError if it is nowhere."""
    return _load_digits() if name == "digits" else _load_cached(name, cache_dir)


def _load_digits() -> Dataset:
    from flow.network.datasets import prepare
    from flow.network.datasets.arrays import check_arrays

    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependency("scikit-learn", "search") from error
    bunch = load_digits()
    info = NAMED["digits"]
    raw = check_arrays({"x_train": bunch.images, "y_train": bunch.target}, "scikit-learn's digits")
    splits = prepare.make_splits(raw, val_share=0.25, test_share=0.2)
    rule = prepare.InputRule(info.input_format, scale=1 / 16, text=info.preparation)
    return prepare.build(info, raw, rule, replace(splits, text=info.split))


def _load_cached(name: str, cache_dir: Path | str | None) -> Dataset:
    from flow.network.datasets import prepare
    from flow.network.datasets.arrays import read_npz
    from flow.network.datasets.download import cache_folder, cached_file

    info = NAMED[name]
    path = cached_file(name, _CONTENTS[name], cache_folder(cache_dir))
    raw = read_npz(path)
    pixels = name != "jets"
    if (
        raw.shape != info.shape
        or raw.classes != info.classes
        or (pixels and (raw.x["train"].dtype.kind != "u" or [len(x) for x in raw.x.values()] != _SAMPLES[name]))
    ):
        raise InputError(f"{path} is not {info.title}: it must hold {_CONTENTS[name]}; remove it or give it as a path")
    rule = prepare.InputRule(info.input_format, scale=1 / 256, standardise=not pixels, text=info.preparation)
    splits = prepare.make_splits(raw, val_share=_VAL_SHARE[name])
    source = raw.source or f"{path.name} as found in the cache, its origin is not recorded"
    return prepare.build(replace(info, source=source, title=raw.title or info.title), raw, rule, splits)
