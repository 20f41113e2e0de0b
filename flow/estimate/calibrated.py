"""The calibrated estimator: the terms of ``calibrated_terms`` times coefficients fitted to reports of HLS.

It predicts what HLS reports (csynth). It needs numpy only; the coefficients are JSON, fitted by
``flow.estimate.calibration`` and shipped in ``coefficients/``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import InputError
from flow.estimate.calibrated_terms import (
    CELLS,
    REGIMES,
    cells,
    dsps,
    memories,
    regimes_of,
    shared_cycles,
    terms_of,
)
from flow.estimate.features import DEFAULT, Details, Features, features_of
from flow.estimate.structural import (
    TOP_FF,
    TOP_LUT,
    Bools,
    Estimate,
    Floats,
    Ints,
    add_fifo,
    dsp_tiles,
)
from flow.estimate.table import KnownTable, LayerTable
from flow.resources import RESOURCE_NAMES

SCHEMA = 1
VARIABLE = "FLOW_COEFFICIENTS"
"""Environment variable with the file of a user's own coefficients, as ``flow calibrate`` writes it."""
NOTE = "calibrated to csynth reports of Vivado HLS and Vitis HLS 2018.3 to 2022.2"

FITTED = ("lut", "ff", "cycles")
"""Targets with coefficients; DSPs, memories and intervals follow rules."""

FEW = 64
"""Rows up to which all regimes are computed for all rows."""

OFFSET = {"lut": 20.0, "ff": 20.0, "bram18": 1.0, "uram": 1.0, "dsp": 1.0, "cycles": 1.0, "interval": 1.0}
"""Added to both sides of a ratio, so that one block more or less than none is no infinite error."""
OFFSETS = np.array([OFFSET[name] for name in RESOURCE_NAMES])

Band = tuple[float, float]


@dataclass(frozen=True)
class Coefficients:
    """What was fitted. ``terms``: regime, target, term -> coefficient. ``bands``: cell, target -> the 5% and 95%
    quantiles of log((reported + offset) / (predicted + offset)). ``scale``: factor a target, of a user's own tool and
    board. ``synthesis``: resource -> 5%, 50% and 95% quantiles of the log ratio of logic synthesis to HLS."""

    terms: Mapping[str, Mapping[str, Mapping[str, float]]]
    bands: Mapping[str, Mapping[str, Band]]
    synthesis: Mapping[str, tuple[float, float, float]]
    scale: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def ends(self) -> Floats:
        """Factors from a prediction to the ends of its interval: shape (2, cells, resources), low and high."""
        ratios = [[self.bands[c].get(name, (0.0, 0.0)) for name in RESOURCE_NAMES] for c in CELLS]
        return np.ascontiguousarray(np.exp(np.array(ratios)).transpose(2, 0, 1))

    def to_json(self) -> str:
        """Stable text: sorted, 7 significant digits."""
        body = {"schema": SCHEMA, "terms": self.terms, "bands": self.bands, "synthesis": self.synthesis,
                "scale": self.scale, "data": self.data}  # fmt: skip
        return json.dumps(_rounded(body), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Coefficients:
        """Inverse of ``to_json``. Raises InputError naming ``where``."""
        try:
            body = json.loads(text)
            if body["schema"] != SCHEMA:
                raise InputError(f"{where}: coefficients of schema {body['schema']}, this version reads {SCHEMA}")
            for terms in body["terms"].values():
                for group in terms.values():
                    if any(not (0 <= float(v) < float("inf")) for v in group.values()):
                        raise InputError(f"{where}: a coefficient is negative or not finite")
            bands = {c: {t: (float(b[0]), float(b[1])) for t, b in g.items()} for c, g in body["bands"].items()}
            synthesis = {n: (float(q[0]), float(q[1]), float(q[2])) for n, q in body["synthesis"].items()}
            scale = {str(n): float(v) for n, v in body["scale"].items()}
            if any(not (0 < v < float("inf")) for v in scale.values()):
                raise InputError(f"{where}: a scale is not a positive number")
            return cls(body["terms"], bands, synthesis, scale, dict(body["data"]))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(f"{where}: not a file of coefficients: {error!r}") from error


@dataclass(frozen=True, eq=False)
class Module:
    """Prediction of the HLS report of each layer's module: without FIFOs, by row, not rounded but where exact."""

    lut: Floats
    ff: Floats
    bram18: Floats
    dsp: Floats
    interval: Floats
    cycles: Floats


@dataclass
class CalibratedEstimator:
    """Estimator with fitted coefficients; ``load`` is called on first use, so importing this costs nothing."""

    coefficients: Coefficients | None = None
    clock_ns: float = 5.0
    name: str = "hls4ml calibrated model"
    version: str = "1"

    @cached_property
    def fitted(self) -> Coefficients:
        """The coefficients given, else those the user chose, else those shipped."""
        return self.coefficients or chosen()

    @property
    def note(self) -> str:
        """See ``Estimator.note``."""
        own = self.fitted.data.get("adapted to")
        return NOTE if own is None else f"{NOTE}, scaled to {own:,} own report{'s' if own != 1 else ''}"

    def at_clock(self, clock_ns: float) -> CalibratedEstimator:
        """See ``Estimator.at_clock``."""
        if clock_ns == self.clock_ns:
            return self
        return CalibratedEstimator(self.fitted, clock_ns, self.name, self.version)

    def rows(self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str) -> Estimate:
        """See ``Estimator.rows``. Weights the table knows nothing of are taken as trained ones usually are."""
        details = DEFAULT if self.clock_ns == DEFAULT.clock_ns else replace(DEFAULT, clock_ns=self.clock_ns)
        if isinstance(table, KnownTable):
            details = replace(details, density=table.density, hard=table.hard, digits=table.digits)
        return self.detailed(table, reuse, stream, latency, family, details)

    def detailed(
        self, table: LayerTable, reuse: Ints, stream: Bools | bool, latency: Bools | bool, family: str, details: Details
    ) -> Estimate:
        """As ``rows``, with what is known of the weights, the clock and DSPs."""
        rows = len(table)
        streams = np.broadcast_to(np.asarray(stream, dtype=bool), (rows,))
        f = features_of(table, np.asarray(reuse), streams, np.asarray(latency, dtype=bool), is_ultra(family), details)
        module = predict_modules(self.fitted, f, family)
        out = np.zeros((7, rows))
        out[0], out[1], out[2], out[4] = module.lut, module.ff, module.bram18, module.dsp
        out[5], out[6] = module.interval, _fill(f, module)
        out[:3] += fifos(f)
        return Estimate(*np.ceil(out - 1e-6))

    def top(self) -> Floats:
        """See ``Estimator.top``."""
        return np.array([TOP_LUT, TOP_FF, 0.0, 0.0, 0.0])

    def bounds(
        self, table: LayerTable, reuse: Ints, stream: Bools, latency: Bools, family: str, estimate: Estimate
    ) -> tuple[Floats, Floats]:
        """90% intervals of ``estimate.resources()``: low and high, each of shape (rows, 5).

        Errors of layers of one project go the same way, so the interval of a network is the sum of its layers'.
        """
        values = estimate.resources()
        offset = OFFSETS * (values > 0)
        least, most = self.fitted.ends[:, cells(table, reuse, stream, latency, is_ultra(family))]
        low, high = (values + offset) * least - offset, (values + offset) * most - offset
        return np.floor(np.clip(low, 0, values)), np.ceil(np.maximum(high, values))

    def synthesized(self, resources: Floats) -> tuple[Floats, Floats, Floats]:
        """Logic synthesis from HLS amounts, shape (..., 5): middle, low and high of a 90% interval."""
        ratios = np.ones((3, len(RESOURCE_NAMES)))
        for i, name in enumerate(RESOURCE_NAMES):
            low, middle, high = self.fitted.synthesis.get(name, (0.0, 0.0, 0.0))
            ratios[:, i] = np.exp([middle, low, high])
        return resources * ratios[0], resources * ratios[1], resources * ratios[2]


def shipped() -> Coefficients:
    """The coefficients in the package."""
    path = files("flow.estimate") / "coefficients" / "hls4ml.json"
    return Coefficients.from_json(path.read_text(encoding="utf-8"), "shipped coefficients")


def chosen() -> Coefficients:
    """The coefficients in the file that the environment variable ``FLOW_COEFFICIENTS`` names, else those shipped.

    Raises InputError if the file can't be read or holds none.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return shipped()
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{VARIABLE}: {name} can't be read: {error}") from error
    return Coefficients.from_json(text, f"{VARIABLE}: {name}")


def is_ultra(family: str) -> bool:
    """Whether a family has the faster logic of UltraScale and later."""
    name = family.lower()
    return "ultra" in name or "zynqmp" in name or "versal" in name


def predict_modules(c: Coefficients, f: Features, family: str = "ultrascale+") -> Module:
    """What HLS reports for the modules of rows."""
    fitted = {target: np.zeros(len(f)) for target in FITTED}
    regimes = regimes_of(f)
    for number in np.flatnonzero(np.bincount(regimes, minlength=len(REGIMES))):
        regime, chosen = REGIMES[number], regimes == number
        # Copying the rows costs more than it saves where there are few.
        part = f if len(f) < FEW else f.select(np.flatnonzero(chosen))
        for target in FITTED:
            known = c.terms[regime][target]
            value = np.zeros(len(part))
            for name, column in terms_of(regime, target, part).items():
                if known[name]:
                    value += known[name] * column
            if part is f:
                fitted[target] += np.where(chosen, value, 0.0)
            else:
                fitted[target][chosen] = value
    scale = {t: float(c.scale.get(t, 1.0)) for t in (*FITTED, "dsp", "bram18")}
    cycles, interval = times(f, fitted["cycles"])
    tiles = dsp_tiles(f.x, f.w, family)
    lut, ff = np.rint(fitted["lut"] * scale["lut"]), np.rint(fitted["ff"] * scale["ff"])
    bram18, dsp = np.ceil(memories(f) * scale["bram18"]), np.ceil(dsps(f, tiles) * scale["dsp"])
    return Module(lut, ff, bram18, dsp, interval, cycles)


def times(f: Features, extra: Floats) -> tuple[Floats, Floats]:
    """Latency and initiation interval of modules, whole cycles, from the fitted ``extra`` cycles."""
    weight = f.table.is_weight
    positions = np.where(f.conv, f.positions, 1.0)
    folded = f.rf + np.rint(extra)
    constant = np.floor(extra + shared_cycles(f) + 1e-9)
    # Latency is pipelined as far as its depth allows; Resource at reuse 1 isn't, and takes 2 cycles at most here:
    # an interval never falls as the reuse factor grows.
    pipelined = np.where(f.latency, np.minimum(f.rf, constant + 1), np.minimum(constant + 1, 2))
    one = np.where(f.folded, np.where(f.stream & ~f.conv, folded, f.rf), np.maximum(pipelined, 1))
    step = np.where(f.conv, np.where(f.folded, folded, one), one)
    plain = np.where(f.stream, np.rint(extra) + f.positions, 1.0)
    interval = np.where(weight, positions * step, plain)
    cycles = np.where(weight, np.where(f.conv, positions * step + np.where(f.folded, 0, 2),
                                       np.where(f.folded, folded, constant)),
                      np.rint(extra) + np.where(f.stream, f.positions, 0))  # fmt: skip
    return cycles, interval


def fifos(f: Features) -> Floats:
    """LUTs, flip-flops and RAMB18 of the FIFOs behind streamed layers: shape (3, rows).

    hls4ml's default depth: one entry a position. The layer behind flatten reads the stream itself.
    """
    rows = len(f)
    out = np.zeros((3, rows))
    if not f.stream.any():
        return out
    more = np.maximum(f.table.inputs - 1, 0)
    joins = np.flatnonzero(f.stream & (more > 0))
    # Both kinds at once, the bypasses of joins behind the rows: the call costs more than its elements.
    both = np.zeros((7, rows + joins.size))
    where = np.concatenate([f.stream & ~f.is_op("flatten"), np.ones(joins.size, dtype=bool)])
    width = np.concatenate([f.o * f.acc, (more * f.table.in_c * f.x)[joins]])
    add_fifo(both, where, width, np.concatenate([f.table.positions.astype(np.float64), f.positions[joins]]))
    out[:] = both[:3, :rows]
    out[:, joins] += both[:3, rows:]
    return out


def network_cycles(f: Features, interval: Floats, cycles: Floats) -> tuple[float, float]:
    """Interval and latency of one network: in parallel the layers' latencies add up, streams overlap."""
    streamed = bool(f.stream.any())
    worst = float(interval.max())
    small = cycles[~f.stream].sum() if streamed else cycles.sum() + len(cycles) / 2
    return worst, float(np.rint(small + (worst if streamed else 0)))


def _fill(f: Features, module: Module) -> Floats:
    """Cycles from a layer's first input to its first output: what it adds to the latency of its chain."""
    t = f.table
    step = module.interval / np.maximum(f.positions, 1)
    window = (t.kernel_h - 1) * f.columns + t.kernel_w - 1
    streamed = np.where(f.conv, window * step + module.cycles / f.positions + 2, 2.0)
    pool = f.is_op("maxpool")
    streamed = np.where(pool, streamed + (t.kernel_h - 1) * t.in_w + t.kernel_w, streamed)
    dense = t.is_weight & ~f.conv
    return np.where(f.stream & ~dense, streamed, module.cycles + np.where(f.stream, 2, 0))


def _rounded(value: Any) -> Any:
    """Floats to 7 significant digits, in nested plain data."""
    if isinstance(value, Mapping):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


CALIBRATED = CalibratedEstimator()
