"""From raw arrays to a Dataset: stratified splits, the input format, and rounding to its grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.network.datasets.arrays import RawData
from flow.network.datasets.types import SPLIT_SEED, Dataset, DatasetInfo
from flow.network.fixed import FixedFormat

STANDARD = FixedFormat(16, 6)
"""Format of standardised features: hls4ml's default ``ap_fixed<16,6>``, +-32 standard deviations."""

SMALLEST_PEAK = 0.25
"""Floats that never reach this are standardised: as they are, they would use few codes of their format."""

_SLAB = 4096  # samples rounded at a time, to bound the float64 temporaries


@dataclass(frozen=True)
class InputRule:
    """How raw values become values of ``format``: ``(raw - offset) * scale``, rounded and saturated."""

    format: FixedFormat
    scale: float = 1.0  # unused when standardising
    standardise: bool = False  # offset and scale per feature or channel, from the training split
    text: str = ""


def input_rule(raw: RawData) -> InputRule:
    """The rule for a user's file, in this order:

    1. ``input_format`` in the file: values as they are; the training values must lie within the format.
    2. whole numbers 0 and 1: ufixed<1,1>. Whole numbers 0 to 255, as pixels are: divided by 2**bits,
       ufixed<bits,0>; 8 bits for uint8 arrays, else as many as the largest training value needs.
    3. floats in [0, 1]: as they are, ufixed<8,0> (1.0 becomes 255/256).
    4. floats within [-32, 32): as they are, fixed<10+I,I>, I the fewest bits that hold the training values.
    5. all else, and floats that stay below 0.25: standardised by the training split, fixed<16,6>.

    Rules 3 and 4 hold if the largest magnitude is at least 0.25. Raises InputError if rule 1 is broken.
    """
    x = raw.x["train"]
    low, high = float(x.min()), float(x.max())
    if raw.input_format is not None:
        fmt = raw.input_format
        # one step beyond the ends saturates: 1.0 in ufixed<8,0> is customary
        if low < (fmt.low - 1) * fmt.step or high > (fmt.high + 1) * fmt.step:
            raise InputError(
                f"{raw.where}: x_train goes from {low:g} to {high:g}, beyond input_format {fmt} "
                f"({fmt.low * fmt.step:g} to {fmt.high * fmt.step:g}): widen it or scale the data"
            )
        return InputRule(fmt, text=f"as they are in {fmt}, as the file asks")
    if low >= 0 and high <= 255 and (x.dtype.kind in "biu" or bool((x == np.floor(x)).all())):
        if high <= 1:
            return InputRule(FixedFormat(1, 1, signed=False), text="0 and 1 as they are")
        bits = 8 if x.dtype == np.uint8 else int(high).bit_length()
        return InputRule(
            FixedFormat(bits, 0, signed=False), scale=2.0**-bits, text=f"whole numbers divided by {2**bits}"
        )
    peak = max(-low, high)
    if low >= 0 and SMALLEST_PEAK <= high <= 1:
        return InputRule(FixedFormat(8, 0, signed=False), text="values in [0, 1] as they are")
    if peak >= SMALLEST_PEAK and low >= -32 and high < 32:
        integer = next(i for i in range(1, 7) if low >= -(2.0 ** (i - 1)) and high < 2.0 ** (i - 1))
        return InputRule(FixedFormat(integer + 10, integer), text="values as they are")
    what = "feature" if x.ndim == 2 else "channel"
    return InputRule(STANDARD, standardise=True, text=f"each {what} standardised by the training split")


def quantize(x: NDArray[Any], fmt: FixedFormat, offset: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.float32]:
    """``(x - offset) * scale`` rounded to the nearest value of ``fmt`` (ties to even), saturated; float32."""
    out = np.empty(x.shape, np.float32)
    for start in range(0, len(x), _SLAB):
        values = (x[start : start + _SLAB].astype(np.float64) - offset) * scale
        codes = np.clip(np.rint(values / fmt.step), fmt.low, fmt.high)
        out[start : start + _SLAB] = codes * fmt.step + 0.0  # + 0.0: no negative zeros
    return out


def stratified(
    y: NDArray[np.int64], share: float, leave: int, rng: np.random.RandomState
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), shuffled: ``share`` of every class is held out, at least 1; ``leave`` stay.

    The total is round(share * samples) (largest remainders) unless those minima forbid it.
    Every class needs ``leave + 1`` samples.
    """
    counts = np.bincount(y)
    exact = counts * share
    take = np.floor(exact).astype(np.int64)
    missing = round(len(y) * share) - int(take.sum())
    take[np.argsort(take - exact, kind="stable")[: max(missing, 0)]] += 1
    take = np.clip(take, 1, counts - leave)
    kept, held = [], []
    for label, number in enumerate(take):
        order = rng.permutation(np.flatnonzero(y == label))
        held.append(order[:number])
        kept.append(order[number:])
    return rng.permutation(np.concatenate(kept)), rng.permutation(np.concatenate(held))


@dataclass(frozen=True, eq=False)
class Splits:
    """Indices into the raw training arrays; None where the file brings that part itself."""

    train: NDArray[np.int64]
    val: NDArray[np.int64] | None
    test: NDArray[np.int64] | None
    text: str


def make_splits(raw: RawData, val_share: float = 0.2, test_share: float = 0.2) -> Splits:
    """Split off the parts that are missing, stratified, always the same: seed 0.

    test_share: of the training arrays; val_share: of what then remains. Raises InputError if a class is tiny.
    """
    y = raw.y["train"]
    given = [part for part in ("val", "test") if part in raw.y]
    needed = 3 - len(given)
    counts = np.bincount(y)
    if counts.min() < needed:
        raise InputError(
            f"{raw.where}: class {int(counts.argmin())} has {counts.min()} training samples: "
            f"at least {needed} are needed to split off what the file does not bring"
        )
    # RandomState: its streams are frozen for good (NEP 19), those of default_rng may change with numpy
    rng = np.random.RandomState(SPLIT_SEED)
    train = np.arange(len(y))
    val = test = None
    if "test" not in raw.y:
        train, test = stratified(y, test_share, needed - 1, rng)
    if "val" not in raw.y:
        keep, hold = stratified(y[train], val_share, 1, rng)
        train, val = train[keep], train[hold]
    sizes = {
        "validation": len(raw.y["val"] if val is None else val),
        "test": len(raw.y["test"] if test is None else test),
    }
    made = [name for name, indices in (("validation", val), ("test", test)) if indices is not None]
    how = f"; {' and '.join(made)} split off the training data, stratified, seed {SPLIT_SEED}" if made else ""
    text = f"{len(train)} train, {sizes['validation']} validation, {sizes['test']} test{how}"
    return Splits(train, val, test, text)


def build(info: DatasetInfo, raw: RawData, rule: InputRule, splits: Splits) -> Dataset:
    """The Dataset of ``raw``. Standardisation uses the training split only."""
    where = {"train": splits.train, "val": splits.val, "test": splits.test}
    x, y = {}, {}
    for part, indices in where.items():
        if indices is None:
            x[part], y[part] = raw.x[part], raw.y[part]
        elif part == "train" and len(indices) == len(raw.y["train"]):
            x[part], y[part] = raw.x["train"], raw.y["train"]
        else:
            x[part], y[part] = raw.x["train"][indices], raw.y["train"][indices]
    offset, scale = np.zeros(1), np.full(1, rule.scale)
    if rule.standardise:
        offset, scale = _statistics(x["train"])
    final = {part: quantize(values, rule.format, offset, scale) for part, values in x.items()}
    info = replace(info, input_format=rule.format, split=splits.text)
    digest = hashlib.sha256(str(rule.format).encode())
    for part in where:
        for array in (final[part], y[part]):
            digest.update(f"{part} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return Dataset(
        info, final["train"], y["train"], final["val"], y["val"], final["test"], y["test"], offset, scale,
        digest.hexdigest(),
    )  # fmt: skip


def _statistics(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and 1 / standard deviation of each feature or channel; a constant one is only shifted to 0."""
    values = x.reshape(-1, x.shape[-1])
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    return mean, 1.0 / np.where(deviation > 0, deviation, 1.0)
