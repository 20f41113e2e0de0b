"""The numbers a fake tool reports: given, or derived from the design so that two designs differ sensibly."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

CAPACITY: dict[str, dict[str, float]] = {
    "7z020": {"lut": 53200, "ff": 106400, "bram18": 280, "dsp": 220, "uram": 0},
    "7z007s": {"lut": 14400, "ff": 28800, "bram18": 100, "dsp": 66, "uram": 0},
    "7a35t": {"lut": 20800, "ff": 41600, "bram18": 100, "dsp": 90, "uram": 0},
    "zu": {"lut": 230400, "ff": 460800, "bram18": 624, "dsp": 1728, "uram": 96},
    "": {"lut": 1728000, "ff": 3456000, "bram18": 5376, "dsp": 12288, "uram": 1280},
}
"""Capacity by a piece of the part's name; the last entry is for any other."""


@dataclass(frozen=True)
class Numbers:
    """What the reports say. Resources in our units; cycles; None prints as the tools print what they don't know."""

    lut: int
    ff: int
    bram18: int
    dsp: int
    uram: int
    latency_min: int | None
    latency_max: int | None
    interval_min: int | None
    interval_max: int | None
    estimated_share: float = 0.73
    """Estimated clock period as a share of the target."""


def capacity(part: str) -> dict[str, float]:
    """Resources of the device."""
    return next(amounts for name, amounts in CAPACITY.items() if name in part)


def numbers(folder: Path) -> Numbers:
    """The numbers for the design in ``folder``, times FAKE_TOOL_FACTOR."""
    given = os.environ.get("FAKE_TOOL_NUMBERS", "")
    side_file = folder / "fake_numbers.json"
    if given.startswith("{"):
        base = _from_dict(json.loads(given))
    elif given:
        base = _from_dict(json.loads(Path(given).read_text(encoding="utf-8")))
    elif side_file.exists():
        base = _from_dict(json.loads(side_file.read_text(encoding="utf-8")))
    else:
        base = _derived(folder / "firmware")
    factor = float(os.environ.get("FAKE_TOOL_FACTOR", "1"))
    scaled = {name: round(getattr(base, name) * factor) for name in ("lut", "ff", "bram18", "dsp", "uram")}
    return replace(base, **scaled)


def _from_dict(data: dict[str, Any]) -> Numbers:
    """Numbers from a dictionary; ``latency_cycles`` and ``interval_cycles`` stand for both bounds."""
    known = {field.name for field in fields(Numbers)}
    values: dict[str, Any] = {"lut": 0, "ff": 0, "bram18": 0, "dsp": 0, "uram": 0}
    values |= dict.fromkeys(("latency_min", "latency_max", "interval_min", "interval_max"))
    for what in ("latency", "interval"):
        if f"{what}_cycles" in data:
            values[f"{what}_min"] = values[f"{what}_max"] = data[f"{what}_cycles"]
    values |= {name: value for name, value in data.items() if name in known}
    return Numbers(**values)


def _derived(firmware: Path) -> Numbers:
    """From the sizes and reuse factors in ``parameters.h``: one DSP a multiplier, latency and interval from reuse."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(firmware.glob("*.h")))
    defined = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)", text)}
    multipliers = outputs = 0
    reuse = [1]
    latency = 2
    for body in re.findall(r"struct config\d+\s*:\s*nnet::(?:dense|conv\w*)_config\s*\{(.*?)\};", text, re.DOTALL):
        values = {}
        for name, value in re.findall(r"static const unsigned (\w+)\s*=\s*(\w+);", body):
            values[name] = int(value) if value.isdigit() else defined.get(value, 1)
        factor = values.get("reuse_factor", 1)
        kernel = values.get("filt_height", 1) * values.get("filt_width", 1)
        inputs = values.get("n_in", kernel * values.get("n_chan", 1))
        outs = values.get("n_out", values.get("n_filt", 1))
        multipliers += math.ceil(inputs * outs / factor)
        outputs += outs
        reuse.append(factor)
        latency += factor + 3
    return Numbers(
        lut=60 * multipliers + 24 * outputs + 100,
        ff=40 * multipliers + 32 * outputs + 80,
        bram18=2 * (len(reuse) - 1),
        dsp=multipliers,
        uram=0,
        latency_min=latency,
        latency_max=latency,
        interval_min=max(reuse),
        interval_max=max(reuse),
    )
