"""What generated hardware will take, without a synthesizer: sums of terms of each part, fitted to synthesized samples.

A term is what the structure says costs something (multipliers, adders, memories by the formulas of
``flow.rtl.memories``); how much is fitted, by kind of part, and never below zero. Block RAM follows a rule. The
samples, and the script that makes them, are the project's own: ``benchmarks/rtl_samples.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.fileio import read_json
from flow.resources import Measurement, Resources
from flow.rtl.features import Facts, facts_of
from flow.rtl.memories import rom_luts

if TYPE_CHECKING:
    from flow.rtl.design import Design
    from flow.rtl.schedule import Schedule

SCHEMA = 1
DATA = Path(__file__).parent / "data"
PRICED = ("lut", "ff")
"""Resources with coefficients."""

Floats = NDArray[np.float64]


def group_of(facts: Facts) -> str:
    """The kind of part that shares coefficients."""
    if facts.kind == "mac":
        return f"mac {facts.style or facts.engine}"
    if facts.kind == "pool":
        return facts.op
    if facts.kind == "lanes":
        simple = facts.op if facts.op in ("sign", "ternary", "table") else "requantize"
        return f"lanes {simple}"
    return facts.kind


def terms_of(facts: Facts) -> Floats:
    """The terms of a part; their meaning is that of its group."""
    f = facts
    ring, inside = f.ring[0], 0.0 if f.ring_block else float(f.ring_bits)
    if f.kind == "mac":
        macs, sums = f.arrays * f.outputs * f.fan, f.arrays * f.outputs
        weight_width = 1 if f.binary else f.weight_width
        window = [1, f.counters, ring, inside + f.padded * f.ring_bits]
        adders = (macs - sums) * f.sum_width if f.style == "multiply" else sums * weight_width * f.sum_width
        array = [macs * f.in_width * weight_width, macs * weight_width, adders]
        memory = [f.rom[0], f.rom_bits * f.rom_block, rom_luts(f.bias_depth, f.lanes * f.out_width)]
        return np.array([*window, *array, *memory, f.lanes * f.out_width], dtype=float)
    if f.kind == "unrolled":
        window = [1, f.counters, ring, f.padded * f.taps * f.lanes_in * f.in_width, f.taps * f.lanes_in * f.in_width]
        return np.array([*window, f.adder_bits, f.outputs * f.out_width], dtype=float)
    if f.kind == "pool":
        mean = f.lanes * (f.in_width + math.log2(max(f.taps, 1)))
        return np.array([1, f.counters, ring, inside, f.padded * f.ring_bits, f.ring_bits, f.lanes * f.in_width, mean,
                         f.lanes * f.out_width, f.lanes * f.channels], dtype=float)  # fmt: skip
    if f.kind in ("lanes", "scale", "merge", "concat", "pad"):
        table = f.lanes * f.out_width * f.table / 64
        scale = f.lanes * f.in_width * f.out_width if f.kind == "scale" else 0
        if f.in_width <= 6 and f.kind == "lanes":  # a LUT for each bit of the result
            return np.array([1, f.lanes, f.lanes * f.out_width, table, *[0] * 9], dtype=float)
        # What is left to work on: all bits where they are added to, else those that decide.
        rounds, left = f.lanes * f.carry, max(f.in_width - f.dropped, 0)
        return np.array([1, 0, 0, table, f.lanes, f.lanes * f.in_width, f.lanes * f.out_width, rounds * left,
                         rounds * f.dropped, f.lanes * f.clipped, rounds, scale,
                         f.lanes * f.out_width * (f.op == "quantize")], dtype=float)  # fmt: skip
    if f.kind == "fifo":
        return np.array([1, f.counters, ring, inside, f.ring_bits], dtype=float)
    bits = f.lanes * f.out_width
    before = f.lanes_in * f.in_width
    return np.array([1, f.ratio, math.log2(max(f.ratio, 1)), bits, before, bits * max(f.ratio - 1, 0)], dtype=float)


@dataclass(frozen=True)
class Prices:
    """Coefficients of a device family by resource and group, and how far whole designs are from their price.

    ``samples``: how many each group was fitted to.
    ``spread``: by resource the 5% and the 95% quantile of measured / predicted of networks that were held out.
    """

    family: str
    samples: Mapping[str, int]
    coefficients: Mapping[str, Mapping[str, tuple[float, ...]]]
    spread: Mapping[str, tuple[float, float]]
    tool: str
    version: str

    def part(self, facts: Facts) -> Resources:
        """What one part takes; unknown where nothing like it was sampled."""
        if facts.kind == "argmax":  # as counted for 4, 8 and 16 bits and 10 values
            lut, ff = 8.5 + 0.6 * facts.in_width, facts.in_width + 2 * facts.out_width + 1
            return Resources(lut=lut, ff=float(ff), bram18=0.0, uram=0.0, dsp=0.0)
        group, terms = group_of(facts), terms_of(facts)
        found = {}
        for name in PRICED:
            known = self.coefficients[name].get(group)
            found[name] = None if known is None else float(terms @ np.array(known))
        return Resources(**found, bram18=float(facts.rom[1] + facts.ring[1]), uram=0.0, dsp=0.0)

    def total(self, parts: Iterable[Facts]) -> Resources:
        """What parts take together."""
        return sum((self.part(facts) for facts in parts), Resources(0, 0, 0, 0, 0))

    def design(self, design: Design, schedule: Schedule, part: str, clock_mhz: float) -> Measurement:
        """The prediction for a design on the FPGA ``part``, with its 90% interval."""
        total = self.total(facts_of(design, schedule).values())
        low, high = (
            Resources(**{name: None if amount is None else amount * self.spread.get(name, (1.0, 1.0))[end]
                         for name, amount in total})
            for end in (0, 1)
        )  # fmt: skip
        return Measurement(
            source="predicted", tool="flow rtl prices", version=f"{SCHEMA}.{sum(self.samples.values())}", part=part,
            clock_mhz=clock_mhz, resources=total, latency_cycles=schedule.latency, interval_cycles=schedule.interval,
            low=low, high=high, note=f"of what {self.tool} {self.version} would synthesize",
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "schema": SCHEMA, "family": self.family, "samples": dict(self.samples), "tool": self.tool,
            "version": self.version,
            "coefficients": {name: {g: list(v) for g, v in sorted(groups.items())}
                             for name, groups in self.coefficients.items()},
            "spread": {name: list(ends) for name, ends in self.spread.items()},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any, where: str = "prices") -> Prices:
        """Inverse of :meth:`to_dict`. Raises InputError naming ``where``."""
        try:
            if data["schema"] != SCHEMA:
                raise InputError(f"{where}: schema {data['schema']!r}, this version reads {SCHEMA}")
            found = {name: {str(g): tuple(float(c) for c in v) for g, v in data["coefficients"][name].items()}
                     for name in PRICED}  # fmt: skip
            spread = {str(name): (float(low), float(high)) for name, (low, high) in data["spread"].items()}
            samples = {str(group): int(count) for group, count in data["samples"].items()}
            return cls(str(data["family"]), samples, found, spread, str(data["tool"]), str(data["version"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: not a file of prices: {error!r}") from error


def prices_file(family: str) -> Path:
    """Where the prices of a family are."""
    return DATA / f"prices_{family}.json"


@lru_cache(maxsize=8)
def load_prices(family: str) -> Prices | None:
    """The prices of a family, None if there are none. Raises InputError for a damaged file."""
    path = prices_file(family)
    return Prices.from_dict(read_json(path, "prices"), path.name) if path.is_file() else None


def dumps(prices: Prices) -> str:
    """The text of a file of prices."""
    return json.dumps(prices.to_dict(), indent=1) + "\n"
